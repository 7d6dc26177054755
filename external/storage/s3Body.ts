/** The bytes of a GET, continued where they broke off: a restore of hours should not end because one connection did. */
import type { Readable } from 'node:stream';
import { PgPierError } from '../../errors.ts';
import { type S3Request, s3Error } from './s3Errors.ts';

interface Body {
  /** Asks for the bytes from `from` on; with an ETag, of that version alone. */
  get(from: number, etag: string | undefined): Promise<{ readonly Body?: unknown; readonly ETag?: string | undefined }>;
  readonly start: number;
  readonly end: number | undefined;
  readonly request: S3Request;
  readonly silentMilliseconds: number;
  /** Connections that may break without a byte in between. */
  readonly attempts: number;
}

export async function* readBody({ get, start, end, request, silentMilliseconds, attempts }: Body): AsyncIterable<Buffer> {
  let at = start;
  let etag: string | undefined;
  let left = attempts;
  for (;;) {
    let stream: Readable;
    try {
      const answer = await get(at, etag);
      stream = answer.Body as Readable;
      etag ??= answer.ETag;
    } catch (error) {
      // The range begins at or behind the end.
      if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 416) return;
      throw s3Error(error, request);
    }
    try {
      for await (const chunk of watched(stream, request.signal, silentMilliseconds)) {
        at += chunk.length;
        left = attempts;
        yield chunk;
      }
      return;
    } catch (error) {
      const told = s3Error(error, request);
      left -= 1;
      // Without an ETag nothing says that the rest belongs to the same object.
      if (!told.data.sqlstate.startsWith('08') || left === 0 || etag === undefined || request.signal?.aborted) throw told;
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
