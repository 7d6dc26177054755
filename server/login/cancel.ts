/**
 * Cancel keys. A client is given the backend's own pid (drivers use it) with a secret of ours, so that a cancel comes to us, who know whether a statement
 * of ours runs. A request with a wrong key is dropped without a word.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { type CancelKey, cancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import type { BackendConnection } from './backend.ts';
import type { SessionHandle } from './loggedIn.ts';

const cancelTimeoutMs = 10_000;
/** Cancels under way at once: a burst must not use up the backend's connections. */
const maxAtOnce = 64;
/** Cancels waiting for their turn; more are dropped, as a lost network packet would be. */
const maxWaiting = 4096;

/** As long as the backend's own key: what the client's protocol version allows. */
export function mintSecret(length: number): Buffer {
  return randomBytes(length);
}

export class CancelRegistry {
  /** Several backends behind one address may use the same pid. */
  readonly #sessions = new Map<number, { readonly secret: Buffer; readonly handle: SessionHandle }[]>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** Until the session is done. */
  register(key: CancelKey, handle: SessionHandle): void {
    const entry = { secret: key.secret, handle };
    const samePid = this.#sessions.get(key.pid);
    if (samePid) samePid.push(entry);
    else this.#sessions.set(key.pid, [entry]);
    const remove = (): void => {
      const left = (this.#sessions.get(key.pid) ?? []).filter((other) => other !== entry);
      if (left.length > 0) this.#sessions.set(key.pid, left);
      else this.#sessions.delete(key.pid);
    };
    handle.done.then(remove, remove);
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Resolves when the cancel has been delivered, dropped, or has taken too long; false: no session has this key. Never rejects. */
  async cancel(key: CancelKey): Promise<boolean> {
    const handle = this.#find(key);
    if (!handle) return false;
    if (!(await this.#turn())) return true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, cancelTimeoutMs);
    });
    try {
      await Promise.race([handle.cancel().catch(() => {}), late]);
    } finally {
      clearTimeout(timer);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
    return true;
  }

  #find(key: CancelKey): SessionHandle | undefined {
    let found: SessionHandle | undefined;
    for (const { secret, handle } of this.#sessions.get(key.pid) ?? []) {
      if (secret.length === key.secret.length && timingSafeEqual(secret, key.secret)) found = handle;
    }
    return found;
  }

  /** False: too many wait already. */
  async #turn(): Promise<boolean> {
    if (this.#running < maxAtOnce) {
      this.#running++;
      return true;
    }
    if (this.#waiting.length >= maxWaiting) return false;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return true;
  }
}

/** CancelRequest with the backend's own key, on a connection like the session's; resolves when the backend closed it, failed, or took too long. */
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
