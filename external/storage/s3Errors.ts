/**
 * What an S3 server, the SDK or a socket says when something fails, as an error of ours. Of an answer only its code is repeated, and
 * only if it looks like one: the text may quote keys, signatures, or a page of some machine inside.
 */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';

export interface S3Request {
  readonly operation: 'write' | 'read' | 'list' | 'delete';
  /** `s3://bucket/prefix`. */
  readonly location: string;
  /** `https://host:port`, or a word for AWS. */
  readonly endpoint: string;
  /** The object's path, for `does not exist`. */
  readonly path?: string;
  readonly signal?: AbortSignal | undefined;
}

/** The fields of what the SDK throws that are looked at. */
interface Thrown {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly Code?: unknown;
  readonly cause?: unknown;
  readonly message?: unknown;
  readonly $metadata?: { readonly httpStatusCode?: number };
  readonly $response?: { readonly statusCode?: number; readonly headers?: Readonly<Record<string, string>> };
}

export function s3Error(error: unknown, request: S3Request): PgPierError {
  if (error instanceof PgPierError) return error;
  const thrown = (typeof error === 'object' && error !== null ? error : {}) as Thrown;
  if (thrown.cause instanceof PgPierError) return thrown.cause;
  const { location, endpoint, signal } = request;
  if (signal?.aborted) {
    return isTimeout(signal.reason) ? fail('storageTimeout', { endpoint }) : fail('storageCanceled', { location });
  }
  return socketError(thrown, endpoint, 'S3') ?? answerError(thrown, request);
}

const byCode: Readonly<Record<string, ErrorName>> = {
  NoSuchKey: 'storageObjectMissing',
  NoSuchBucket: 'storageBucketMissing',
  InvalidBucketName: 'storageBucketMissing',
  AccessDenied: 'storageAccessDenied',
  AllAccessDisabled: 'storageAccessDenied',
  MethodNotAllowed: 'storageAccessDenied',
  InvalidAccessKeyId: 'storageCredentialsRejected',
  ExpiredToken: 'storageTokenExpired',
  InvalidToken: 'storageCredentialsRejected',
  InvalidTokenId: 'storageCredentialsRejected',
  TokenRefreshRequired: 'storageCredentialsRejected',
  NotSignedUp: 'storageCredentialsRejected',
  // Ceph's, of a user who is shut out.
  UserSuspended: 'storageCredentialsRejected',
  AccountProblem: 'storageCredentialsRejected',
  SignatureDoesNotMatch: 'storageSecretWrong',
  RequestTimeTooSkewed: 'storageClockSkew',
  CredentialsProviderError: 'storageCredentialsMissing',
  SlowDown: 'storageBusy',
  SlowDownRead: 'storageBusy',
  SlowDownWrite: 'storageBusy',
  ServiceUnavailable: 'storageBusy',
  TooManyRequests: 'storageBusy',
  // Somebody writes the same name under a condition in this moment.
  ConditionalRequestConflict: 'storageBusy',
  RequestTimeout: 'storageTimeout',
  XMinioStorageFull: 'storageFull',
  XMinioAdminBucketQuotaExceeded: 'storageFull',
  QuotaExceeded: 'storageFull',
  InsufficientStorage: 'storageFull',
  EntityTooLarge: 'storageTooLarge',
  InvalidObjectState: 's3Archived',
  PreconditionFailed: 'storageChanged',
  InvalidStorageClass: 's3StorageClassUnknown',
};

function answerError(thrown: Thrown, request: S3Request): PgPierError {
  const { operation, location, endpoint } = request;
  const status = thrown.$metadata?.httpStatusCode ?? thrown.$response?.statusCode;
  const code = [thrown.Code, thrown.name].find((text) => typeof text === 'string' && /^[A-Za-z][A-Za-z0-9.:]{2,63}$/.test(text)) as
    | string
    | undefined;
  const values = { operation, location, endpoint, path: request.path ?? '', provider: 's3', cause: code ?? 'no code' };
  const region = thrown.$response?.headers?.['x-amz-bucket-region'];
  if (status === 301 || code === 'AuthorizationHeaderMalformed' || code === 'IllegalLocationConstraintException') {
    if (status === 301 && region === undefined && code !== 'PermanentRedirect') return fail('storageRedirected', values);
    return fail('storageWrongRegion', { region: region && /^[a-z0-9-]+$/.test(region) ? `; it is in ${region}` : '' });
  }
  if (status !== undefined && status > 301 && status < 400 && status !== 304) return fail('storageRedirected', values);
  // Writing has one condition alone.
  if (code === 'PreconditionFailed' && operation === 'write') return fail('storageObjectExists', values);
  const known = code === undefined ? undefined : (byCode[code] ?? (/^kms[.:]/i.test(code) ? 's3KmsKeyUnusable' : undefined));
  if (known) return fail(known, values);
  if (code === 'XMinioInvalidObjectName') return fail('storagePathInvalid', { path: JSON.stringify(values.path) });
  if (status === 507) return fail('storageFull', values);
  if (status === 503 || status === 429) return fail('storageBusy', values);
  // Answers without an S3 code: a HEAD, a proxy in between, or no S3 server at all.
  const coded = thrown.Code !== undefined;
  if (!coded && status === 404 && (code === 'NotFound' || code === undefined)) return fail('storageObjectMissing', values);
  if (!coded && (status === 403 || status === 401)) return fail('storageAccessDenied', values);
  if (status !== undefined && !coded) return fail('storageProtocol', { ...values, provider: 'S3', cause: `HTTP ${status}` });
  return fail('storageFailed', { ...values, cause: status === undefined ? values.cause : `${values.cause}, HTTP ${status}` });
}

/** The reason of `AbortSignal.timeout`, or the SDK's. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof Error && reason.name === 'TimeoutError';
}

function fail(name: ErrorName, values: Readonly<Record<string, string | number>>): PgPierError {
  return new PgPierError(name, values);
}
