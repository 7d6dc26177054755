/**
 * What two nodes say to each other on their connection: HTTP/1.1, since it frames, streams, holds back and keeps connections; no browser ever speaks it.
 *
 * `PUT /object`, `GET /object`, `DELETE /object`, `GET /list`, `DELETE /partial`, `GET /node`, with the operation's values in the query. A refusal has status
 * 400 and ErrorData as JSON. A stream ends with the trailer `pgpier-end`: only that tells an end from a break.
 */
import { type ErrorData, PgPierError } from '../../errors.ts';

export const endTrailer = 'pgpier-end';

/** How a stream ended: of an upload `finish` or `abort`, of a download `whole` or an error. */
export const ends = { finish: 'finish', abort: 'abort', whole: 'whole' } as const;

export type NodeOperation = 'PUT /object' | 'GET /object' | 'DELETE /object' | 'GET /list' | 'DELETE /partial' | 'GET /node';

export interface NodeValues {
  /** The node that is meant. */
  readonly node: number;
  /** The URI's path. */
  readonly base?: string;
  readonly path?: string;
  readonly ifAbsent?: true;
  readonly prefix?: string;
  readonly after?: string | undefined;
  readonly start?: number | undefined;
  readonly end?: number | undefined;
  /** Of a file that was read before, by the answer's `etag`: another one is refused. */
  readonly version?: string | undefined;
  /** ISO 8601. */
  readonly before?: string | undefined;
}

export function requestTarget(operation: NodeOperation, values: NodeValues): { readonly method: string; readonly path: string } {
  const [method = '', name = ''] = operation.split(' ');
  const query = Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`]));
  return { method, path: `${name}?${query.join('&')}` };
}

/** For a trailer, which holds ASCII alone. */
export function errorTrailer(data: ErrorData): string {
  return `error ${Buffer.from(JSON.stringify(data)).toString('base64url')}`;
}

/** Undefined: `trailer` is no error. */
export function readErrorTrailer(trailer: string): PgPierError | undefined {
  const [, encoded] = /^error ([\w-]+)$/.exec(trailer) ?? [];
  return encoded === undefined ? undefined : readError(Buffer.from(encoded, 'base64url').toString());
}

/** The other node's error as it is: it was made for the user there. */
export function readError(text: string): PgPierError {
  const data = JSON.parse(text) as ErrorData;
  return PgPierError.from(data);
}
