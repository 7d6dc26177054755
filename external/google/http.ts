/**
 * Requests to Google's JSON APIs over the agents of egress.ts. Google's own clients choose their sockets, follow redirects, use the proxy of the environment and put
 * the answer's text into their errors; here each socket is judged, and nothing but codes of an answer is kept.
 */
import type * as http from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { urlToHttpOptions } from 'node:url';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { openRequest, silentMilliseconds, timedOut } from '../outgoing.ts';

export interface GoogleRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | readonly Buffer[];
  /** Statuses that are answers too, beside 2xx. */
  readonly accept?: readonly number[];
  readonly signal?: AbortSignal | undefined;
  /** Until the answer begins, for an upload until all was sent, too. */
  readonly milliseconds?: number;
}

/** An answer that is no success. Of its text only the codes are kept. */
export class GoogleFailure extends Error {
  override readonly name = 'GoogleFailure';
  readonly status: number;
  /** Google's word, such as `notFound` or `PERMISSION_DENIED`; undefined when it was not Google's JSON. */
  readonly code: string | undefined;
  /** Whether the text says that a bucket, rather than an object, is missing. */
  readonly bucketMissing: boolean;
  /** Seconds that the server asks to wait. */
  readonly retryAfter: number | undefined;
  /** The server's clock, in milliseconds since 1970. */
  readonly date: number | undefined;

  constructor(answer: http.IncomingMessage, text: string) {
    super(`HTTP ${answer.statusCode}`);
    this.status = answer.statusCode!;
    this.code = codeOf(text);
    this.bucketMissing = /bucket does not exist/i.test(text);
    const seconds = Number(answer.headers['retry-after'] ?? Number.NaN);
    this.retryAfter = Number.isFinite(seconds) ? seconds : undefined;
    const date = Date.parse(answer.headers.date ?? '');
    this.date = Number.isNaN(date) ? undefined : date;
  }
}

/** `{"error": {"errors": [{"reason"}], "status"}}` of the APIs, `{"error": "invalid_grant"}` of OAuth. */
function codeOf(text: string): string | undefined {
  let error: unknown;
  try {
    error = (JSON.parse(text) as { error?: unknown } | null)?.error;
  } catch {
    return undefined;
  }
  const { errors, status } = (error ?? {}) as { errors?: readonly { readonly reason?: unknown }[]; status?: unknown };
  const first = Array.isArray(errors) ? (errors[0]?.reason as unknown) : undefined;
  return [first, status, error].find((each): each is string => typeof each === 'string' && /^[A-Za-z_]{3,64}$/.test(each));
}

/** What one request may take, uploads of a part over slow lines included. */
const requestMilliseconds = 300_000;
const errorTextBytes = 64 * 1024;
const jsonBytes = 32 * 1024 * 1024;

/**
 * One request, one answer: 2xx or one of `accept`. The body of the answer is the caller's to read or destroy.
 * @throws GoogleFailure for any other status; PgPierError 42501 for an address that is not allowed; what sockets throw
 */
export async function exchange(egress: Egress, request: GoogleRequest): Promise<http.IncomingMessage> {
  const answer = await dial(egress, request);
  const status = answer.statusCode!;
  if ((status >= 200 && status < 300) || request.accept?.includes(status)) return answer;
  throw new GoogleFailure(answer, await readText(answer, errorTextBytes).catch(() => ''));
}

function dial(egress: Egress, { method, url, headers, body = [], signal, milliseconds }: GoogleRequest): Promise<http.IncomingMessage> {
  const parts = typeof body === 'string' ? [Buffer.from(body)] : body;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  return new Promise((resolve, reject) => {
    const outgoing = openRequest(egress, {
      ...urlToHttpOptions(new URL(url)),
      method,
      headers: { 'user-agent': 'PgPier', ...headers, ...(method === 'GET' ? {} : { 'content-length': length }) },
      ...(signal === undefined ? {} : { signal }),
    });
    const deadline = setTimeout(() => outgoing.destroy(timedOut()), milliseconds ?? requestMilliseconds);
    outgoing.once('response', (answer) => {
      clearTimeout(deadline);
      outgoing.setTimeout(0);
      resolve(answer);
    });
    outgoing.on('error', (error) => {
      clearTimeout(deadline);
      reject(error);
    });
    for (const part of parts) outgoing.write(part);
    outgoing.end();
  });
}

/** @throws PgPierError storageProtocol when it is not a JSON object */
export async function readJson(
  answer: http.IncomingMessage,
  service: { readonly endpoint: string; readonly provider: string },
): Promise<object> {
  const text = await readText(answer, jsonBytes);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new PgPierError('storageProtocol', { ...service, cause: 'no JSON' });
}

async function readText(answer: http.IncomingMessage, most: number): Promise<string> {
  const late = setTimeout(() => answer.destroy(timedOut()), silentMilliseconds);
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      length += chunk.length;
      // Leaving the loop destroys the stream.
      if (length > most) break;
      chunks.push(chunk);
    }
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks).toString();
}

/** How often a request is made that may be made again. */
export const attempts = 4;
const firstWaitMilliseconds = 250;
const longestWaitMilliseconds = 8_000;

/** Whether the same request may succeed a moment later. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof GoogleFailure) return [408, 429, 500, 502, 503, 504].includes(error.status) || busyCodes.has(error.code ?? '');
  const { code } = error as NodeJS.ErrnoException;
  return ['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN'].includes(code ?? '');
}

/** Refusals of 403 that pass. */
export const busyCodes: ReadonlySet<string> = new Set(['rateLimitExceeded', 'userRateLimitExceeded', 'backendError']);

/** Waits before the next attempt: twice as long each time, at random below that, as long as the server asks. */
export async function backOff(attempt: number, error: unknown, signal: AbortSignal | undefined): Promise<void> {
  const most = Math.min(longestWaitMilliseconds, firstWaitMilliseconds * 2 ** attempt);
  const asked = error instanceof GoogleFailure ? (error.retryAfter ?? 0) * 1000 : 0;
  const wait = Math.max(Math.random() * most, Math.min(asked, longestWaitMilliseconds));
  await sleep(wait, undefined, signal === undefined ? {} : { signal });
}

/** Work that has no effect when it is done twice, until it succeeds or fails for good. */
export async function retrying<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (attempt === attempts - 1 || signal?.aborted || !isRetryable(error)) throw error;
      await backOff(attempt, error, signal);
    }
  }
}

/** Why work with a signal that has fired ended: somebody's wish, or a time limit. */
export function stopped(signal: AbortSignal, location: string, endpoint: string): PgPierError {
  const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
  return late ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location });
}
