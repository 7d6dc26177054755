/** What AWS KMS says, as an error of ours. Of an answer only its code is repeated: its text may name keys, accounts and users. */
import { type ErrorName, PgPierError } from '../../errors.ts';
import { codeOf, statusOf, type Thrown } from '../aws/thrown.ts';
import { socketError } from '../socketErrors.ts';

export interface KmsRequest {
  readonly operation: 'encrypt' | 'decrypt';
  /** `aws-kms:///redacted`. */
  readonly location: string;
  /** `https://host:port`, or `AWS KMS`. */
  readonly endpoint: string;
  readonly signal: AbortSignal;
}

const byCode: Readonly<Record<string, ErrorName>> = {
  InvalidCiphertext: 'kmsCiphertext',
  IncorrectKey: 'kmsCiphertext',
  NotFound: 'kmsNoSuchKey',
  Disabled: 'kmsKeyUnusable',
  KMSInvalidState: 'kmsKeyUnusable',
  KeyUnavailable: 'kmsKeyUnusable',
  InvalidKeyUsage: 'kmsKeyKind',
  InvalidArn: 'awsKmsKeyInvalid',
  Validation: 'awsKmsKeyInvalid',
  AccessDenied: 'kmsDenied',
  UnrecognizedClient: 'storageCredentialsRejected',
  InvalidClientTokenId: 'storageCredentialsRejected',
  InvalidAccessKeyId: 'storageCredentialsRejected',
  IncompleteSignature: 'storageCredentialsRejected',
  InvalidSignature: 'storageSecretWrong',
  SignatureDoesNotMatch: 'storageSecretWrong',
  ExpiredToken: 'storageTokenExpired',
  RequestExpired: 'storageClockSkew',
  Throttling: 'storageBusy',
  LimitExceeded: 'storageBusy',
  DependencyTimeout: 'storageBusy',
  KMSInternal: 'storageBusy',
  ServiceUnavailable: 'storageBusy',
};

export function awsKmsError(error: unknown, { operation, location, endpoint, signal }: KmsRequest): PgPierError {
  if (error instanceof PgPierError) return error;
  const thrown = (typeof error === 'object' && error !== null ? error : {}) as Thrown;
  if (thrown.cause instanceof PgPierError) return thrown.cause;
  if (signal.aborted) {
    const late = (signal.reason as { name?: unknown } | undefined)?.name === 'TimeoutError';
    return late ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location });
  }
  const refused = socketError(thrown, endpoint, 'AWS KMS');
  if (refused) return refused;
  const code = codeOf(thrown);
  const status = statusOf(thrown);
  const values = { operation, location, endpoint, provider: 'AWS KMS', cause: code ?? `HTTP ${status ?? 'without a status'}` };
  const known = code === undefined ? undefined : byCode[code];
  if (known) return new PgPierError(known, values);
  if (status !== undefined && status >= 300 && status < 400) return new PgPierError('storageRedirected', values);
  if (status === 503 || status === 429) return new PgPierError('storageBusy', values);
  // What only speaks the protocol may refuse in XML (moto does); whether key, signature or right is wrong is then not to be told.
  if (code === undefined && (status === 401 || status === 403)) return new PgPierError('storageCredentialsRejected', values);
  if (code === undefined) return new PgPierError('storageProtocol', values);
  return new PgPierError('storageFailed', values);
}
