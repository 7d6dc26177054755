/** Requests to a web server: each with its deadlines, repeated only where that may help and cannot harm. Redirects are not followed. */
import type * as http from 'node:http';
import type { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { openRequest, silentMilliseconds, timedOut } from '../outgoing.ts';
import { answerError, type HttpOperation, httpError, methods } from './httpErrors.ts';
import type { HttpUri } from './httpUri.ts';

export const attempts = 3;
/** Before the second attempt; doubled before the third. */
const pauseMilliseconds = 250;
/** A server that asks for more patience than this is not waited for. */
const longestPauseMilliseconds = 20_000;
/** What is read of an answer that nobody wants, for the sake of its connection. */
const smallAnswer = 64 * 1024;

const passing = new Set([408, 429, 500, 502, 503, 504]);
const passingCodes = new Set(['ECONNREFUSED', 'ECONNRESET', 'ECONNABORTED', 'EPIPE', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH']);

export interface HttpTarget {
  readonly uri: HttpUri;
  readonly egress: Egress;
}

/** Begins a request; the caller writes its body and ends it. No listener is left out: errors reach `answer`. */
export function begin(
  { uri, egress }: HttpTarget,
  request: HttpOperation,
  headers: http.OutgoingHttpHeaders,
): { readonly outgoing: http.ClientRequest; readonly answer: Promise<http.IncomingMessage> } {
  const { secure, hostname, port, base, query, credentials } = uri;
  const path = `${base}/${request.path.split('/').map(encodeURIComponent).join('/')}${query}`;
  const outgoing = openRequest(egress, {
    protocol: secure ? 'https:' : 'http:',
    hostname,
    port,
    path,
    method: methods[request.operation],
    headers: {
      'user-agent': 'PgPier',
      // What is stored, not what a server makes of it on the way.
      'accept-encoding': 'identity',
      ...(credentials && { authorization: `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}` }),
      ...headers,
    },
  });
  const { signal } = request;
  const cancel = () => outgoing.destroy(new Error('canceled'));
  const answer = new Promise<http.IncomingMessage>((resolve, reject) => {
    outgoing.once('response', resolve);
    outgoing.on('error', reject);
    outgoing.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
  answer.catch(() => {});
  signal?.addEventListener('abort', cancel, { once: true });
  outgoing.once('close', () => signal?.removeEventListener('abort', cancel));
  if (signal?.aborted) cancel();
  // Of an upload in chunks both sides may be slow: `unlessSilent` watches the other one alone.
  outgoing.setTimeout(0);
  return { outgoing, answer };
}

/**
 * Sends a request whose body, if it has one, is in memory, and resolves to the answer's head; its body is the caller's to read or to discard.
 * @param accepted statuses beside 2xx that are an answer too
 * @throws PgPierError
 */
export async function send(
  target: HttpTarget,
  request: HttpOperation,
  headers: http.OutgoingHttpHeaders,
  { body, accepted = [] }: { readonly body?: readonly Buffer[]; readonly accepted?: readonly number[] } = {},
): Promise<http.IncomingMessage> {
  for (let tried = 1; ; tried++) {
    const { outgoing, answer } = begin(target, request, headers);
    let failure: PgPierError;
    let pause = pauseMilliseconds * 2 ** (tried - 1) * (0.5 + Math.random() / 2);
    let again: boolean;
    try {
      for (const chunk of body ?? []) outgoing.write(chunk);
      outgoing.end();
      const response = await unlessSilent(outgoing, answer);
      const status = response.statusCode ?? 0;
      if ((status >= 200 && status < 300) || accepted.includes(status)) return response;
      const wanted = retryAfter(response);
      discard(response);
      failure = answerError(status, response.headers.location, request);
      again = passing.has(status) && (wanted ?? 0) <= longestPauseMilliseconds;
      pause = Math.max(pause, wanted ?? 0);
    } catch (error) {
      outgoing.destroy();
      failure = httpError(error, request);
      again = passingCodes.has(String((error as NodeJS.ErrnoException).code));
    }
    if (!again || tried === attempts || request.signal?.aborted) throw failure;
    await sleep(pause, request);
  }
}

/** Waits for something on the other side's part; destroys the request when it takes too long. */
export async function unlessSilent<T>(outgoing: http.ClientRequest, wait: Promise<T>): Promise<T> {
  const silent = setTimeout(() => outgoing.destroy(timedOut()), silentMilliseconds);
  try {
    return await wait;
  } finally {
    clearTimeout(silent);
  }
}

/** Reads what is left where it is little, so that the connection can serve again; else closes it. */
export function discard(response: http.IncomingMessage): void {
  response.on('error', () => {});
  if (Number(response.headers['content-length'] ?? smallAnswer) < smallAnswer) response.resume();
  else response.destroy();
}

/** Milliseconds. A date, which a server may write too, is not read. */
function retryAfter({ headers }: http.IncomingMessage): number | undefined {
  const text = headers['retry-after'] ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined;
}

function sleep(milliseconds: number, request: HttpOperation): Promise<void> {
  const { signal } = request;
  return new Promise((resolve, reject) => {
    const canceled = () => {
      clearTimeout(timer);
      reject(httpError(new Error('canceled'), request));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', canceled);
      resolve();
    }, milliseconds);
    signal?.addEventListener('abort', canceled, { once: true });
  });
}
