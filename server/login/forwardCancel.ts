/** A CancelRequest on its way from us to PostgreSQL, or to another PgPier. */
import { type CancelKey, cancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import type { BackendConnection } from './backend.ts';

/** How long a cancel may take in all. */
export const cancelTimeoutMs = 10_000;

/** Sends it on a connection that `again` makes; resolves when the other side closed it, failed, or took too long. Never rejects. */
export async function forwardCancel(key: CancelKey, session: Pick<BackendConnection, 'again'>): Promise<void> {
  const signal = AbortSignal.timeout(cancelTimeoutMs);
  try {
    const { link } = await session.again(signal);
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => link.destroy(), { once: true });
      link.onBytes = () => true;
      link.onEnd = () => link.destroy();
      link.onClose = () => resolve();
      link.resume();
      link.write(cancelRequest(key));
      if (signal.aborted) link.destroy();
    });
  } catch {
    // A cancel is a wish: who sent it is told nothing, and a session whose backend is gone ends by itself.
  }
}
