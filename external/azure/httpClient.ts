/**
 * The one door through which the SDKs of Azure go out. Each socket's address is judged (`egress.ts`), redirects are refused, no proxy of the environment is used,
 * nothing waits for ever, and what is worth it is tried again.
 */
import type * as http from 'node:http';
import { urlToHttpOptions } from 'node:url';
import {
  createHttpHeaders,
  type HttpClient,
  type PipelineRequest,
  type PipelineResponse,
  RestError,
  type RetryStrategy,
  retryPolicy,
} from '@azure/core-rest-pipeline';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { openRequest } from '../outgoing.ts';

export const attempts = 3;
/** A page of a listing has some megabytes; what is longer is no answer of Azure's. */
const mostText = 64 * 1024 * 1024;
const longestWait = 30_000;

export function azureHttpClient(egress: Pick<Egress, 'httpAgent' | 'httpsAgent'>): HttpClient {
  const policy = retryPolicy([jittered], { maxRetries: attempts - 1 });
  return { sendRequest: (request) => policy.sendRequest(request, (each) => send(each, egress)) };
}

/** Broken connections and answers that say "later". Half of each wait is chance, so that many clients do not come back at once. */
const jittered: RetryStrategy = {
  name: 'jittered',
  retry({ retryCount, response, responseError }) {
    const broken = responseError !== undefined && /^(ECONN|EPIPE|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)/.test(responseError.code ?? '');
    const later = response !== undefined && [408, 429, 500, 502, 503, 504].includes(response.status);
    if (!broken && !later) return { skipStrategy: true };
    const asked = Number(response?.headers.get('retry-after') ?? 0) * 1000;
    const wait = 200 * 2 ** retryCount * (1 + Math.random());
    return { retryAfterInMs: Math.min(Number.isFinite(asked) ? Math.max(wait, asked) : wait, longestWait) };
  },
};

function send(request: PipelineRequest, egress: Pick<Egress, 'httpAgent' | 'httpsAgent'>): Promise<PipelineResponse> {
  const headers = request.headers.toJSON({ preserveCase: true });
  const body = bodyOf(request);
  if (body !== undefined) headers['Content-Length'] = String(body.length);
  return new Promise((resolve, reject) => {
    const outgoing = openRequest(egress, { ...urlToHttpOptions(new URL(request.url)), method: request.method, headers });
    const cancel = () => outgoing.destroy(Object.assign(new Error('canceled'), { name: 'AbortError' }));
    const settle = () => request.abortSignal?.removeEventListener('abort', cancel);
    const fail = (error: unknown) => {
      settle();
      reject(asRestError(error, request));
    };
    request.abortSignal?.addEventListener('abort', cancel);
    if (request.abortSignal?.aborted) cancel();
    outgoing.on('error', fail);
    outgoing.once('response', (incoming) => {
      answer(incoming, request).then((response) => {
        // From here on whoever reads the stream watches it.
        outgoing.setTimeout(0);
        settle();
        resolve(response);
      }, fail);
    });
    outgoing.end(body);
  });
}

async function answer(incoming: http.IncomingMessage, request: PipelineRequest): Promise<PipelineResponse> {
  const status = incoming.statusCode ?? 0;
  if (status >= 300 && status < 400 && status !== 304) {
    incoming.destroy();
    throw new PgPierError('storageRedirected', { endpoint: new URL(request.url).origin });
  }
  const headers = createHttpHeaders();
  for (const [name, value] of Object.entries(incoming.headers)) if (typeof value === 'string') headers.set(name, value);
  const wanted = request.streamResponseStatusCodes;
  if (wanted?.has(status) || wanted?.has(Number.POSITIVE_INFINITY)) return { request, status, headers, readableStreamBody: incoming };
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > mostText)
      throw new PgPierError('storageProtocol', {
        endpoint: new URL(request.url).origin,
        provider: 'Azure',
        cause: 'an answer without end',
      });
  }
  return { request, status, headers, bodyAsText: Buffer.concat(chunks).toString('utf8') };
}

/** Bytes and text alone: a stream could not be sent again. */
function bodyOf({ body }: PipelineRequest): Buffer | undefined {
  if (body === undefined || body === null) return undefined;
  if (typeof body === 'string') return Buffer.from(body);
  if (ArrayBuffer.isView(body)) return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  throw new PgPierError('internal', { detail: 'a body that is neither bytes nor text' });
}

/** The kind that policies of the SDK look at. Errors of ours pass as they are, and are never tried again. */
function asRestError(error: unknown, request: PipelineRequest): unknown {
  if (error instanceof PgPierError || (error as Error).name === 'AbortError') return error;
  const { code } = error as NodeJS.ErrnoException;
  return new RestError('the connection failed', { request, code: code ?? RestError.REQUEST_SEND_ERROR });
}
