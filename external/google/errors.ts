/** What one of Google's APIs, or a socket on the way there, says when something fails, as an error of ours: what all of them have in common. */
import { PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';
import { busyCodes, GoogleFailure, stopped } from './http.ts';

export interface GoogleOperation {
  /** A verb, for messages. */
  readonly operation: string;
  /** A URI without secrets. */
  readonly location: string;
  /** `https://host:port`. */
  readonly endpoint: string;
  /** `Google Cloud Storage`. */
  readonly provider: string;
  readonly signal?: AbortSignal | undefined;
}

/** @param own what a refusal means to the API that was asked, where that is not what it means to all */
export function googleError(
  error: unknown,
  { operation, location, endpoint, provider, signal }: GoogleOperation,
  own: (failure: GoogleFailure) => PgPierError | undefined,
): PgPierError {
  if (error instanceof PgPierError) return error;
  if (signal?.aborted) return stopped(signal, location, endpoint);
  if (!(error instanceof GoogleFailure)) {
    const { code } = error as NodeJS.ErrnoException;
    const cause = typeof code === 'string' && /^[A-Z_0-9]{1,40}$/.test(code) ? code : 'no code';
    return socketError(error as object, endpoint, provider) ?? new PgPierError('storageFailed', { location, operation, cause });
  }
  const { status, code } = error;
  const cause = code ?? `HTTP ${status}`;
  if (status >= 300 && status < 400) return new PgPierError('storageRedirected', { endpoint });
  if (status === 429 || status === 503 || (status === 403 && busyCodes.has(code ?? '')))
    return new PgPierError('storageBusy', { endpoint, cause });
  const told = own(error);
  if (told !== undefined) return told;
  if (status === 401) return new PgPierError('storageCredentialsRejected', { location, cause });
  if (status === 408 || status === 504) return new PgPierError('storageTimeout', { endpoint });
  // No API of Google's, or something in between.
  if (code === undefined && status < 500) return new PgPierError('storageProtocol', { endpoint, provider, cause });
  return new PgPierError('storageFailed', { location, operation, cause: code === undefined ? cause : `${code}, HTTP ${status}` });
}
