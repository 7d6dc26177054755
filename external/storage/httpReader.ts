/** The bytes of a GET: what of an answer is asked for, and what proves that two answers are of the same object. */
import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import { pipeline, type Readable, Transform } from 'node:stream';
import { PgPierError } from '../../errors.ts';
import { silentMilliseconds } from '../outgoing.ts';
import { readBody } from './body.ts';
import { type HttpOperation, httpError } from './httpErrors.ts';
import { attempts, discard, type HttpTarget, send } from './httpRequest.ts';
import type { ReadOptions } from './storage.ts';

/** As `Storage.read`. A server that knows no ranges sends everything; what is not wanted of it is passed over. */
export async function* readObject(target: HttpTarget, request: HttpOperation, { start = 0, end }: ReadOptions): AsyncIterable<Buffer> {
  if (end !== undefined && end <= start) {
    // Whether there is such an object, and not a byte of it. Not HEAD: a signed address is good for GET alone.
    (await send(target, request, {})).destroy();
    return;
  }
  let first: IncomingHttpHeaders | undefined;
  const get = async (from: number, version: string | undefined) => {
    const range = from === 0 && end === undefined ? {} : { range: `bytes=${from}-${end === undefined ? '' : end - 1}` };
    const condition = version === undefined ? {} : conditionOf(first!);
    const response = await send(target, request, { ...range, ...condition }, { accepted: [416] });
    if (response.statusCode === 416) {
      discard(response);
      // Behind the end: where it broke off, exactly there.
      if (first !== undefined && sizeOf(response.headers) !== String(from)) throw changed(request);
      return undefined;
    }
    // Also of a server that does not look at the condition.
    if (first !== undefined && !sameObject(first, response.headers)) {
      response.destroy();
      throw changed(request);
    }
    first ??= response.headers;
    const stream = part(response, from, end, request);
    return { stream, version: conditionOf(first) === undefined ? undefined : 'first' };
  };
  const toError = (error: unknown) => httpError(error, request);
  yield* readBody({ get, start, end, signal: request.signal, toError, silentMilliseconds, attempts });
}

/** The bytes from `from` up to `end` of an answer, wherever it begins. @throws PgPierError `storageProtocol` for another range than was asked for */
function part(response: IncomingMessage, from: number, end: number | undefined, { endpoint }: HttpOperation): Readable {
  if (response.statusCode === 206) {
    const [, begun] = /^bytes (\d{1,15})-/.exec(response.headers['content-range'] ?? '') ?? [];
    if (Number(begun) === from) return response;
    response.destroy();
    throw new PgPierError('storageProtocol', { endpoint, provider: 'a web server', cause: 'another range than was asked for' });
  }
  return from === 0 && end === undefined ? response : cut(response, from, end);
}

/** Whoever destroys it ends the answer, too. */
function cut(whole: Readable, from: number, end = Number.MAX_SAFE_INTEGER): Readable {
  let offset = 0;
  const wanted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const bytes = chunk.subarray(Math.max(0, from - offset), Math.max(0, end - offset));
      if (bytes.length > 0) this.push(bytes);
      if (offset < end && offset + chunk.length >= end) this.push(null);
      offset += chunk.length;
      done();
    },
  });
  return pipeline(whole, wanted, () => {});
}

/**
 * What a later request is made to depend on; undefined where nothing would prove anything. A weak ETag is the same for texts that differ in bytes. A time is
 * good when it lies at least a second before the answer: else the object could have been replaced in the same second (RFC 9110, 8.8.2.2).
 */
function conditionOf({ etag, 'last-modified': modified, date }: IncomingHttpHeaders): OutgoingHttpHeaders | undefined {
  if (etag?.startsWith('"')) return { 'if-match': etag };
  if (modified !== undefined && Date.parse(date ?? '') - Date.parse(modified) >= 1000) return { 'if-unmodified-since': modified };
  return undefined;
}

function sameObject(before: IncomingHttpHeaders, now: IncomingHttpHeaders): boolean {
  const [size, sizeNow] = [sizeOf(before), sizeOf(now)];
  return (
    before.etag === now.etag &&
    before['last-modified'] === now['last-modified'] &&
    (size === undefined || sizeNow === undefined || size === sizeNow)
  );
}

/** Bytes of the whole object, where the server tells. */
function sizeOf({ 'content-range': range, 'content-length': length }: IncomingHttpHeaders): string | undefined {
  return range === undefined ? length : /\/(\d{1,15})$/.exec(range)?.[1];
}

function changed({ path }: HttpOperation): PgPierError {
  return new PgPierError('storageChanged', { path });
}
