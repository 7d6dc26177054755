/** What AWS STS, or what stands in for it, says when a role is not to be had, as an error of ours. Of an answer only its code is repeated. */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';
import type { AssumedRole } from './awsUri.ts';
import { codeOf, statusOf, type Thrown } from './thrown.ts';

export interface AssumeRequest {
  readonly role: AssumedRole;
  /** `https://host:port`, or `Amazon STS`. */
  readonly endpoint: string;
  /** That it took too long. */
  readonly signal: AbortSignal;
}

const byCode: Readonly<Record<string, ErrorName>> = {
  AccessDenied: 'assumeRoleDenied',
  NoSuchEntity: 'assumeRoleMissing',
  NoSuchRole: 'assumeRoleMissing',
  ValidationError: 'assumeRoleRefused',
  InvalidParameterValue: 'assumeRoleRefused',
  InvalidClientTokenId: 'storageCredentialsRejected',
  InvalidAccessKeyId: 'storageCredentialsRejected',
  UnrecognizedClient: 'storageCredentialsRejected',
  ExpiredToken: 'storageTokenExpired',
  SignatureDoesNotMatch: 'storageSecretWrong',
  RequestExpired: 'storageClockSkew',
  RequestTimeTooSkewed: 'storageClockSkew',
  Throttling: 'storageBusy',
  ServiceUnavailable: 'storageBusy',
};

export function stsError(error: unknown, { role, endpoint, signal }: AssumeRequest): PgPierError {
  if (error instanceof PgPierError) return error;
  const thrown = (typeof error === 'object' && error !== null ? error : {}) as Thrown;
  if (thrown.cause instanceof PgPierError) return thrown.cause;
  if (signal.aborted) return new PgPierError('storageTimeout', { endpoint });
  const refused = socketError(thrown, endpoint, 'STS');
  if (refused) return refused;
  const status = statusOf(thrown);
  const code = codeOf(thrown);
  const values = { role: role.arn, endpoint, location: endpoint, cause: code ?? `HTTP ${status ?? 'without a status'}` };
  const known = code === undefined ? undefined : byCode[code];
  if (known === 'assumeRoleDenied' && role.externalId !== undefined) return new PgPierError('assumeRoleDeniedWithId', values);
  if (known) return new PgPierError(known, values);
  if (status !== undefined && status >= 300 && status < 400) return new PgPierError('storageRedirected', values);
  if (status === 503 || status === 429) return new PgPierError('storageBusy', values);
  // What is no store at all answers with a page; a store without STS takes the request for something about a bucket.
  if (code === undefined) return new PgPierError('storageProtocol', { ...values, provider: 'STS' });
  return new PgPierError('assumeRoleFailed', values);
}
