/** What Google Cloud Storage or a socket says when something fails, as an error of ours. */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { busyCodes, GoogleFailure, stopped } from '../google/http.ts';
import { socketError } from '../socketErrors.ts';

export const provider = 'Google Cloud Storage';

export interface GsRequest {
  readonly operation: 'write' | 'read' | 'list' | 'delete';
  /** `gs://bucket/prefix`. */
  readonly location: string;
  /** `https://host:port`. */
  readonly endpoint: string;
  /** The object's path, for `does not exist`. */
  readonly path?: string;
  readonly signal?: AbortSignal | undefined;
  /** Whether the URI says who pays. */
  readonly billed: boolean;
}

export function gsError(error: unknown, request: GsRequest): PgPierError {
  const { location, endpoint, signal, operation } = request;
  if (error instanceof PgPierError) return error;
  if (signal?.aborted) return stopped(signal, location, endpoint);
  if (error instanceof GoogleFailure) return answerError(error, request);
  const { code } = error as NodeJS.ErrnoException;
  const cause = typeof code === 'string' && /^[A-Z_0-9]{1,40}$/.test(code) ? code : 'no code';
  return socketError(error as object, endpoint, provider) ?? new PgPierError('storageFailed', { location, operation, cause });
}

const byStatus: Readonly<Record<number, ErrorName>> = {
  401: 'storageCredentialsRejected',
  403: 'storageAccessDenied',
  408: 'storageTimeout',
  412: 'storageChanged',
  413: 'storageTooLarge',
  429: 'storageBusy',
  503: 'storageBusy',
};

function answerError({ status, code, bucketMissing }: GoogleFailure, request: GsRequest): PgPierError {
  const { operation, location, endpoint, path = '', billed } = request;
  const fail = (name: ErrorName, cause = code ?? `HTTP ${status}`) =>
    new PgPierError(name, { operation, location, endpoint, path, provider: 'gs', cause });
  if (status >= 300 && status < 400) return fail('storageRedirected');
  if (status === 403 && busyCodes.has(code ?? '')) return fail('storageBusy');
  if (status === 404) {
    // Only reading and deleting are about an object that may be missing.
    const objects = operation === 'read' || operation === 'delete';
    return fail(objects && !bucketMissing ? 'storageObjectMissing' : 'storageBucketMissing');
  }
  if (status === 400 && code === 'required' && !billed) return fail('gsBillingProjectNotSet');
  const known = byStatus[status];
  if (known) return fail(known);
  // No API of Google's, or something in between.
  if (code === undefined && status < 500) return new PgPierError('storageProtocol', { endpoint, provider, cause: `HTTP ${status}` });
  return fail('storageFailed', code === undefined ? `HTTP ${status}` : `${code}, HTTP ${status}`);
}
