/** The bytes of a GET, continued where they broke off: a restore of hours should not end because one connection did. */
import type { Readable } from 'node:stream';
import { PgPierError } from '../../errors.ts';

interface Body {
  /**
   * Asks for the bytes from `from` on; with an ETag (which may be any name of a version), of that version alone. Undefined when the range begins at or behind
   * the object's end.
   */
  get(from: number, etag: string | undefined): Promise<{ readonly stream: Readable; readonly etag: string | undefined } | undefined>;
  readonly start: number;
  readonly end: number | undefined;
  readonly signal: AbortSignal | undefined;
  /** What the store, the SDK or a socket threw, as an error of ours. */
  translate(error: unknown): PgPierError;
  readonly silentMilliseconds: number;
  /** Connections that may break without a byte in between. */
  readonly attempts: number;
}

export async function* resumedBody({ get, start, end, signal, translate, silentMilliseconds, attempts }: Body): AsyncIterable<Buffer> {
  let at = start;
  let etag: string | undefined;
  let left = attempts;
  for (;;) {
    let stream: Readable;
    try {
      const answer = await get(at, etag);
      if (answer === undefined) return;
      stream = answer.stream;
      etag ??= answer.etag;
    } catch (error) {
      throw translate(error);
    }
    try {
      for await (const chunk of watched(stream, signal, silentMilliseconds)) {
        at += chunk.length;
        left = attempts;
        yield chunk;
      }
      return;
    } catch (error) {
      const told = translate(error);
      left -= 1;
      // Without an ETag nothing says that the rest belongs to the same object.
      if (!told.data.sqlstate.startsWith('08') || left === 0 || etag === undefined || signal?.aborted) throw told;
      if (end !== undefined && at >= end) return;
    } finally {
      stream.destroy();
    }
  }
}

/** The stream's chunks; an error when none comes for too long, or at the signal. Time in which the consumer is busy does not count. */
async function* watched(stream: Readable, signal: AbortSignal | undefined, silentMilliseconds: number): AsyncIterable<Buffer> {
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
