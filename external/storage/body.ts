/** The bytes of a GET, continued where they broke off: a restore of hours should not end because one connection did. */
import type { Readable } from 'node:stream';
import { PgPierError } from '../../errors.ts';

export interface BodySource {
  /**
   * Asks for the bytes from `from` on; with a version, of that one alone. Undefined when the range begins at or behind the object's end. The version
   * is the store's: an ETag, a generation.
   */
  get(from: number, version: string | undefined): Promise<{ readonly stream: Readable; readonly version: string | undefined } | undefined>;
  readonly start: number;
  readonly end: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** What `get` or the stream threw, in our words; 08xxx is a connection that broke. */
  toError(error: unknown): PgPierError;
  readonly silentMilliseconds: number;
  /** Connections that may break without a byte in between. */
  readonly attempts: number;
}

export async function* readBody({ get, start, end, signal, toError, silentMilliseconds, attempts }: BodySource): AsyncIterable<Buffer> {
  let at = start;
  let version: string | undefined;
  let left = attempts;
  for (;;) {
    let stream: Readable;
    try {
      const answer = await get(at, version);
      if (answer === undefined) return;
      stream = answer.stream;
      version ??= answer.version;
    } catch (error) {
      throw toError(error);
    }
    try {
      for await (const chunk of watched(stream, signal, silentMilliseconds)) {
        at += chunk.length;
        left = attempts;
        yield chunk;
      }
      return;
    } catch (error) {
      const told = toError(error);
      left -= 1;
      // Without a version nothing says that the rest belongs to the same object.
      if (!told.data.sqlstate.startsWith('08') || left === 0 || version === undefined || signal?.aborted) throw told;
      if (end !== undefined && at >= end) return;
    } finally {
      stream.destroy();
    }
  }
}

/** The stream's chunks; an error when none comes for too long, or at the signal. Time in which the consumer is busy does not count. */
export async function* watched(stream: Readable, signal: AbortSignal | undefined, silentMilliseconds: number): AsyncIterable<Buffer> {
  const cancel = () => stream.destroy(new Error('canceled'));
  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted) cancel();
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const silent = setTimeout(() => stream.destroy(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' })), silentMilliseconds);
      let next: IteratorResult<Buffer>;
      try {
        next = await chunks.next();
      } finally {
        clearTimeout(silent);
      }
      if (next.done) return;
      if (!Buffer.isBuffer(next.value)) throw new PgPierError('internal', { detail: 'a body that is not bytes' });
      yield next.value;
    }
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
