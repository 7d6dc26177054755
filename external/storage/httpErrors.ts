/** What a web server or a socket says when something fails, as an error of ours. Of an answer only its status is repeated, never its text. */
import { PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';

export interface HttpOperation {
  readonly operation: 'write' | 'read' | 'delete';
  /** The object's path. */
  readonly path: string;
  /** `https://host/path`, without secrets. */
  readonly location: string;
  /** `https://host:port`. */
  readonly endpoint: string;
  readonly signal?: AbortSignal | undefined;
}

/** The fields of what is thrown that are looked at. */
interface Thrown {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly errors?: readonly Thrown[];
}

export const methods = { write: 'PUT', read: 'GET', delete: 'DELETE' } as const;

/** Of what was thrown while a request was under way. */
export function httpError(error: unknown, { location, endpoint, operation, signal }: HttpOperation): PgPierError {
  if (error instanceof PgPierError) return error;
  if (signal?.aborted) {
    const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
    return late ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location });
  }
  const thrown = (typeof error === 'object' && error !== null ? error : {}) as Thrown;
  // Of a name with several addresses, all of which failed.
  const first = thrown.errors?.[0];
  const cause = String(thrown.code ?? thrown.name ?? 'unknown');
  return (
    socketError(thrown, endpoint, 'a web server') ??
    (first === undefined ? undefined : socketError(first, endpoint, 'a web server')) ??
    new PgPierError('storageFailed', { location, operation, cause })
  );
}

/** Of an answer that is no success. `target`: where a redirect leads. */
export function answerError(status: number, target: string | undefined, request: HttpOperation): PgPierError {
  const { operation, path, location, endpoint } = request;
  const values = { operation, path, location, endpoint, provider: 'http', cause: `HTTP ${status}` };
  if (status >= 300 && status < 400) return new PgPierError('httpRedirected', { endpoint, target: shownTarget(target, endpoint) });
  switch (status) {
    case 401:
      return new PgPierError('storageCredentialsRejected', values);
    case 403:
      return new PgPierError('storageAccessDenied', values);
    case 404:
    case 409:
    case 410:
      return operation === 'write' ? new PgPierError('httpFolderMissing', { ...values, status }) : missing(status, values);
    case 405:
    case 501:
      return new PgPierError('httpMethodRefused', { endpoint, method: methods[operation], status });
    case 408:
    case 504:
      return new PgPierError('storageTimeout', values);
    case 411:
      return new PgPierError('httpLengthRequired', { endpoint });
    case 412:
      // Writing has one condition alone.
      return new PgPierError(operation === 'write' ? 'storageObjectExists' : 'storageChanged', values);
    case 413:
      return new PgPierError('storageTooLarge', values);
    case 429:
    case 503:
      return new PgPierError('storageBusy', values);
    case 507:
      return new PgPierError('storageFull', values);
    default:
      return new PgPierError('storageFailed', values);
  }
}

function missing(status: number, values: Readonly<Record<string, string>>): PgPierError {
  return new PgPierError(status === 409 ? 'storageFailed' : 'storageObjectMissing', values);
}

/** Host and path: what stands before the host or behind the path may be a secret, of whoever signed the address. */
export function shownTarget(target: string | undefined, endpoint: string): string {
  try {
    const { origin, pathname } = new URL(target ?? '', endpoint);
    if (target !== undefined && origin !== 'null') return `${origin}${pathname}`.slice(0, 200);
  } catch {
    // It names nothing.
  }
  return 'an address that it does not tell';
}
