/**
 * What `partWriter.ts` asks of Google Cloud Storage for one object: one request, or a resumable upload. That is a sequence: a part is sent when the one before it has
 * arrived, and the last one makes the object, so one part is held back until it is known which is the last.
 */
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { PgPierError } from '../../errors.ts';
import { Crc32c } from '../../formats/crc32c.ts';
import type { GoogleClient } from '../google/client.ts';
import { attempts, backOff, type GoogleRequest, isRetryable, readJson } from '../google/http.ts';
import { type GsRequest, gsError, provider } from './gsErrors.ts';
import { abortMilliseconds, mebibyte, type PartUpload } from './partWriter.ts';

/** A multiple of 256 KiB, as Google demands of all parts but the last. */
const partBytes = 8 * mebibyte;
const mostBytes = 5 * 1024 * 1024 * mebibyte;

export interface GsObject {
  readonly client: GoogleClient;
  readonly bucket: string;
  readonly name: string;
  /** `userProject=…&` or nothing. */
  billing(): string;
  readonly ifAbsent: boolean;
  readonly request: GsRequest;
}

/** Up to 5 TiB. */
export function gsUpload({ client, bucket, name, billing, ifAbsent, request }: GsObject): PartUpload {
  // Generation 0 is no object.
  const condition = ifAbsent ? '&ifGenerationMatch=0' : '';
  const { location, endpoint } = request;
  const objects = `/storage/v1/b/${encodeURIComponent(bucket)}/o`;
  const fields = 'fields=size,crc32c,generation';
  const sum = new Crc32c();
  /** Path and query of the session. */
  let session = '';
  let held: Buffer | undefined;
  let sent = 0;
  let tail = Promise.resolve();

  /** What the store says it has, against what was sent. A damaged object goes away again, unless it was replaced meanwhile. */
  const verify = async (answer: IncomingMessage, size: number, signal: AbortSignal): Promise<void> => {
    const made = (await readJson(answer, { endpoint, provider })) as { size?: unknown; crc32c?: unknown; generation?: unknown };
    if (typeof made.generation !== 'string' || !/^\d+$/.test(made.generation)) throw client.stranger('no object');
    if (made.crc32c === sum.base64() && Number(made.size ?? 0) === size) return;
    const url = `${objects}/${encodeURIComponent(name)}?${billing()}ifGenerationMatch=${made.generation}`;
    await client.send({ method: 'DELETE', url, accept: [404, 412], signal }).then((deleted) => deleted.resume());
    throw new PgPierError('storageDamaged', { path: request.path ?? '' });
  };

  /** The bytes from `sent` on; with `last` they end the object. Goes on where the server says it stopped. */
  const transmit = async (body: Buffer, last: boolean, signal: AbortSignal): Promise<void> => {
    const from = sent;
    const total = last ? String(from + body.length) : '*';
    let at = 0;
    for (let attempt = 0; ; attempt++) {
      const rest = body.subarray(at);
      const range = rest.length === 0 ? `bytes */${total}` : `bytes ${from + at}-${from + body.length - 1}/${total}`;
      const hash = last ? { 'x-goog-hash': `crc32c=${sum.base64()}` } : {};
      const put: GoogleRequest = { method: 'PUT', url: session, accept: [308], signal };
      let answer: IncomingMessage;
      try {
        answer = await client.attempt({ ...put, headers: { 'content-range': range, ...hash }, body: [rest] });
      } catch (error) {
        if (attempt >= attempts - 1 || signal.aborted || !isRetryable(error)) throw error;
        await backOff(attempt, error, signal);
        // How much of it arrived, nobody else knows.
        answer = await client.send({ ...put, headers: { 'content-range': 'bytes */*' } });
      }
      if (answer.statusCode !== 308) {
        if (!last) throw client.stranger('the upload ended early');
        await verify(answer, from + body.length, signal);
        break;
      }
      answer.resume();
      const arrived = arrivedBytes(answer.headers.range) - from;
      if (!(arrived >= at && arrived <= body.length)) throw client.stranger('parts are missing');
      if (arrived === body.length && !last) break;
      if (arrived > at) attempt = -1;
      else if (attempt >= attempts - 1) throw client.stranger('the upload does not go on');
      at = arrived;
    }
    sent = from + body.length;
  };

  return {
    location,
    signal: request.signal,
    // A part waits for the next one: the last must be told as such.
    reusesMemory: false,
    mostParts: mostBytes / partBytes,
    partSize: () => partBytes,

    async put(body, signal) {
      sum.update(body);
      const boundary = `pgpier-${randomUUID()}`;
      const metadata = JSON.stringify({ name, crc32c: sum.base64() });
      const head = `--${boundary}\r\ncontent-type: application/json\r\n\r\n${metadata}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
      const answer = await client.send({
        method: 'POST',
        url: `/upload${objects}?${billing()}uploadType=multipart${condition}&${fields}`,
        headers: { 'content-type': `multipart/related; boundary=${boundary}` },
        body: [Buffer.from(head), body, Buffer.from(`\r\n--${boundary}--\r\n`)],
        signal,
      });
      await verify(answer, body.length, signal);
    },

    async begin() {
      const answer = await client.send({
        method: 'POST',
        url: `/upload${objects}?${billing()}uploadType=resumable&name=${encodeURIComponent(name)}${condition}&${fields}`,
        headers: { 'x-upload-content-type': 'application/octet-stream' },
      });
      answer.resume();
      const at = answer.headers.location;
      if (at === undefined || !URL.canParse(at, endpoint)) throw client.stranger('no upload session');
      // The session's address is taken for a name: it does not lead elsewhere than the endpoint.
      const { pathname, search } = new URL(at, endpoint);
      session = pathname + search;
    },

    async send(_number, body, signal) {
      const earlier = held;
      held = body;
      sum.update(body);
      if (earlier === undefined) return;
      tail = tail.then(() => transmit(earlier, false, signal));
      await tail;
    },

    async complete(signal) {
      await tail;
      await transmit(held ?? Buffer.alloc(0), true, signal);
    },

    async remove() {
      const signal = AbortSignal.timeout(abortMilliseconds);
      // 499 is Google's word for "ended by the client"; what stays even so ends by itself after a week, and nobody pays for it.
      const gone = { method: 'DELETE', url: session, accept: [404, 410, 499], signal } as const;
      await client.send(gone).then(
        (answer) => answer.resume(),
        () => {},
      );
    },

    toError: (error, signal) => gsError(error, { ...request, signal }),
  };
}

/** `bytes=0-N` are N + 1; without the header there is none. */
function arrivedBytes(range: string | undefined): number {
  if (range === undefined) return 0;
  const [, last] = /^(?:bytes=)?0-(\d+)$/.exec(range) ?? [];
  return last === undefined ? Number.NaN : Number(last) + 1;
}
