/**
 * What a service of Azure, its SDKs, Entra ID or a socket says when something fails, as an error of ours. Of an answer only its code is repeated, and only if it
 * looks like one: the text may quote signatures, or be a page of some machine inside.
 */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';

export interface AzureRequest {
  readonly operation: string;
  /** `azure://container/prefix`, `azure-kms:///redacted`. */
  readonly location: string;
  /** `https://host:port`. */
  readonly endpoint: string;
  /** The blob's path, for `does not exist`. */
  readonly path?: string;
  readonly signal?: AbortSignal | undefined;
}

/** The fields of what is thrown that are looked at. */
interface Thrown {
  readonly name?: unknown;
  readonly message?: unknown;
  readonly code?: unknown;
  readonly statusCode?: number;
  readonly cause?: unknown;
  readonly errors?: readonly unknown[];
  readonly response?: { readonly headers?: { get(name: string): string | undefined } };
}

/** No token was had. */
export class TokenFailure extends Error {
  readonly kind: 'implicit' | 'secret';
  /** `https://login.microsoftonline.com`. */
  readonly authority: string;
  /** Of all that was thrown. To look for codes in; never to be shown. */
  readonly text: string;
  /** What the last request to the authority ended with, where it had no answer. */
  readonly failed: unknown;

  constructor(kind: 'implicit' | 'secret', authority: string, error: unknown, failed: unknown) {
    super('no token', { cause: failed });
    this.kind = kind;
    this.authority = authority;
    this.text = String((error as Thrown | undefined)?.message);
    this.failed = failed;
  }
}

/**
 * @param byCode what the service's own codes mean
 * @param service its name, for an answer that is none of its
 */
export function azureError(
  error: unknown,
  request: AzureRequest,
  service: string,
  byCode: Readonly<Record<string, ErrorName>>,
): PgPierError {
  const { operation, location, endpoint, signal } = request;
  const ours = inChain(error, (each) => each instanceof PgPierError) as PgPierError | undefined;
  if (ours) return ours;
  if (signal?.aborted) {
    const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
    return late ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location });
  }
  const thrown = (typeof error === 'object' && error !== null ? error : {}) as Thrown;
  if (error instanceof TokenFailure) return tokenError(error, location);
  const socket = socketError(thrown, endpoint, service);
  if (socket) return socket;
  const code = codeOf(thrown);
  const status = thrown.statusCode;
  const values = { operation, location, endpoint, path: request.path ?? '', provider: 'azure', cause: code ?? 'no code' };
  const known = code === undefined ? undefined : byCode[code];
  if (known === 'storageSecretWrong' && clockIsOff(thrown)) return new PgPierError('storageClockSkew', values);
  if (known) return new PgPierError(known, values);
  // What the SDK trips over: an answer that lacks what each of this service's has.
  const unreadable = thrown.code === 'PARSE_ERROR' || /^(Type|Range|Syntax)Error$/.test(String(thrown.name));
  if (unreadable) return new PgPierError('storageProtocol', { ...values, provider: service, cause: 'not such an answer' });
  if (status === undefined) return new PgPierError('storageFailed', values);
  if (status === 429 || status === 503) return new PgPierError('storageBusy', values);
  if (code === undefined) {
    if (status === 401 || status === 403) return new PgPierError('storageAccessDenied', values);
    return new PgPierError('storageProtocol', { ...values, provider: service, cause: `HTTP ${status}` });
  }
  if (status === 401) return new PgPierError('storageCredentialsRejected', values);
  if (status === 403) return new PgPierError('storageAccessDenied', values);
  return new PgPierError('storageFailed', { ...values, cause: `${code}, HTTP ${status}` });
}

/** What the service called it, in the answer or, where an answer has no body, in its header. */
function codeOf({ code, statusCode, response }: Thrown): string | undefined {
  if (statusCode === undefined) return undefined;
  return [code, response?.headers?.get('x-ms-error-code')].find(
    (each): each is string => typeof each === 'string' && /^[A-Z][A-Za-z0-9]{2,63}$/.test(each),
  );
}

/** A signature is as wrong as can be when it is of another time; Azure says so in words alone. It takes 15 minutes. */
function clockIsOff({ response }: Thrown): boolean {
  const there = Date.parse(response?.headers?.get('date') ?? '');
  return Math.abs(there - Date.now()) > 14 * 60_000;
}

function tokenError(failure: TokenFailure, location: string): PgPierError {
  const code = /AADSTS\d{4,8}/.exec(failure.text)?.[0] ?? /\b(invalid|unauthorized)_(client|request|grant|scope)\b/.exec(failure.text)?.[0];
  if (code !== undefined) return new PgPierError('storageCredentialsRejected', { location, cause: code });
  const broken = failure.failed ? socketError(failure.failed as Thrown, failure.authority, 'Microsoft Entra ID') : undefined;
  if (broken) return broken;
  if (failure.kind === 'implicit') return new PgPierError('storageCredentialsMissing');
  return new PgPierError('storageCredentialsRejected', { location, cause: 'no token from Microsoft Entra ID' });
}

/** The first of an error, its causes and its parts that `is` so. */
function inChain(error: unknown, is: (each: object) => boolean, depth = 0): unknown {
  if (typeof error !== 'object' || error === null || depth > 6) return undefined;
  if (is(error)) return error;
  const { cause, errors } = error as Thrown;
  for (const each of [cause, ...(Array.isArray(errors) ? errors : [])]) {
    const found = inChain(each, is, depth + 1);
    if (found) return found;
  }
  return undefined;
}
