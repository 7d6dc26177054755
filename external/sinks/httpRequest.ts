/** One HTTP request to a sink: by an agent that judges addresses, with a deadline, redirects not followed, and no more of the answer than is asked for. */
import type * as http from 'node:http';
import type { TLSSocket } from 'node:tls';
import { urlToHttpOptions } from 'node:url';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { openRequest } from '../outgoing.ts';
import { socketError } from '../socketErrors.ts';
import { shownTarget } from '../storage/httpErrors.ts';

export interface HttpRequest {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly headers?: Readonly<Record<string, string>>;
  readonly login?: { readonly user: string; readonly password: string };
  readonly body?: string;
  readonly milliseconds: number;
  readonly signal?: AbortSignal | undefined;
  /** What is expected there, for messages: `a webhook`. */
  readonly provider: string;
}

export interface HttpAnswer {
  readonly status: number;
  /** The `location` of a redirect. */
  readonly target: string | undefined;
  readonly body: Buffer;
}

const mostAnswer = 16 * 1024 * 1024;

/**
 * Answers of every status below 300, and of 4xx and 5xx.
 * @throws PgPierError 08xxx out of reach, not trusted, redirected, not HTTP; 42501 an address that is not allowed; 57014 canceled
 */
export async function sendRequest(request: HttpRequest, egress: Egress): Promise<HttpAnswer> {
  return await withDeadline(request, async (signal) => {
    const answer = await exchange(request, egress, signal);
    if (answer.status < 300 || answer.status >= 400) return answer;
    const endpoint = new URL(request.url).origin;
    throw new PgPierError('httpRedirected', { endpoint, target: shownTarget(answer.target, endpoint) });
  });
}

/**
 * Connects and shakes hands, and sends no request: whatever it is, it might be taken for a message.
 * @returns the version of TLS, `TLSv1.3`
 * @throws PgPierError as `sendRequest`
 */
export async function shakeHands(request: HttpRequest, egress: Egress): Promise<string> {
  return await withDeadline(request, async (signal) => {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    // Not ended, it is not begun either: Node sends the head with the first bytes of the body.
    const unsent = openRequest(egress, { ...urlToHttpOptions(new URL(request.url)), method: 'POST', signal });
    unsent.on('error', reject);
    unsent.on('socket', (socket) => socket.once('secureConnect', () => resolve((socket as TLSSocket).getProtocol() ?? 'TLS')));
    try {
      return await promise;
    } finally {
      unsent.destroy();
    }
  });
}

async function withDeadline<T>(request: HttpRequest, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const endpoint = new URL(request.url).origin;
  const deadline = AbortSignal.timeout(request.milliseconds);
  const signal = request.signal === undefined ? deadline : AbortSignal.any([request.signal, deadline]);
  try {
    return await work(signal);
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    if (signal.aborted) {
      const timeout = (signal.reason as { name?: unknown } | undefined)?.name === 'TimeoutError';
      throw timeout ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location: endpoint });
    }
    const thrown = error as { code?: unknown; name?: unknown };
    throw socketError(thrown, endpoint, request.provider) ?? protocol(request, String(thrown.code ?? thrown.name ?? 'no code'));
  }
}

async function exchange(request: HttpRequest, egress: Egress, signal: AbortSignal): Promise<HttpAnswer> {
  const { method, login, body } = request;
  const sent = openRequest(egress, {
    ...urlToHttpOptions(new URL(request.url)),
    method,
    signal,
    headers: {
      ...request.headers,
      'user-agent': 'PgPier',
      ...(body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }),
      ...(login === undefined ? {} : { authorization: `Basic ${Buffer.from(`${login.user}:${login.password}`).toString('base64')}` }),
    },
  });
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  sent.once('response', resolve);
  sent.on('error', reject);
  sent.end(body);
  const response = await promise;
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > mostAnswer) throw protocol(request, 'an answer of more than 16 MiB');
  }
  return { status: response.statusCode!, target: response.headers.location, body: Buffer.concat(chunks) };
}

function protocol({ url, provider }: HttpRequest, cause: string): PgPierError {
  return new PgPierError('storageProtocol', { endpoint: new URL(url).origin, provider, cause });
}

/** An answer of 4xx or 5xx as an error, in words; undefined below. */
export function refusal({ status }: HttpAnswer, location: string, operation: string): PgPierError | undefined {
  if (status < 400) return undefined;
  const cause = `HTTP ${status}`;
  if (status === 401) return new PgPierError('storageCredentialsRejected', { location, cause });
  if (status === 403) return new PgPierError('storageAccessDenied', { location, operation });
  if (status === 429 || status === 503) return new PgPierError('storageBusy', { endpoint: location, cause });
  return new PgPierError('storageFailed', { location, operation, cause });
}
