/** What an `s3://` URI says. Pure: the relay validates with this and never loads the SDK. */
import { PgPierError } from '../../errors.ts';
import { type AwsAccess, accessParameters, isAmazon, isRegion, readAccess } from '../aws/awsUri.ts';
import { cleanPath, type ExternalUri } from '../uri.ts';
import { booleanParameter, endpointParameter, takeParameters } from './parameters.ts';
import type { StorageSettings } from './storage.ts';

export interface S3Uri {
  readonly bucket: string;
  /** Key prefix without slashes around it; empty for the whole bucket. */
  readonly prefix: string;
  readonly access: AwsAccess;
  readonly region?: string;
  /** An absolute `http(s)://host[:port]`. */
  readonly endpoint?: string;
  readonly pathStyle: boolean;
  readonly skipChecksum: boolean;
  readonly skipTlsVerify: boolean;
  readonly encryption?: { readonly mode: 'AES256' } | { readonly mode: 'aws:kms'; readonly keyId: string };
  readonly storageClass?: string;
}

const parameterNames = [
  ...accessParameters,
  'AWS_REGION',
  'AWS_ENDPOINT',
  'AWS_USE_PATH_STYLE',
  'AWS_SKIP_CHECKSUM',
  'AWS_SKIP_TLS_VERIFY',
  'AWS_SERVER_ENC_MODE',
  'AWS_SERVER_KMS_ID',
  'S3_STORAGE_CLASS',
] as const;

type Parameters = Partial<Readonly<Record<(typeof parameterNames)[number], string>>>;

/** @throws PgPierError with CockroachDB's words. */
export function parseS3Uri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>): S3Uri {
  const given = takeParameters(uri, 'S3', parameterNames);
  if (uri.host === '') throw new PgPierError('bucketNotSet', { provider: 's3', bucket: 'bucket' });
  if (uri.userinfo !== undefined) throw new PgPierError('invalidUri', { reason: 'an s3 URI has no user before the bucket' });
  const access = readAccess(given);
  if (access.credentials.kind === 'implicit' && settings?.disableImplicitCredentials)
    throw new PgPierError('implicitDisallowed', { provider: 's3' });
  const endpoint = endpointParameter('AWS_ENDPOINT', given.AWS_ENDPOINT);
  if (endpoint !== undefined && settings?.disableHttp) throw new PgPierError('endpointDisallowed', { provider: 's3' });
  if (given.AWS_REGION && !isRegion(given.AWS_REGION)) throw new PgPierError('awsRegionInvalid', { parameter: 'AWS_REGION' });
  const encryption = readEncryption(given);
  return {
    bucket: uri.host,
    prefix: cleanPath(uri.path).slice(1),
    access,
    ...(given.AWS_REGION ? { region: given.AWS_REGION } : {}),
    ...(endpoint === undefined ? {} : { endpoint }),
    // A store behind an endpoint of its own seldom has a DNS name for every bucket; AWS always has.
    pathStyle: given.AWS_USE_PATH_STYLE
      ? booleanParameter('AWS_USE_PATH_STYLE', given.AWS_USE_PATH_STYLE)
      : endpoint !== undefined && !isAmazon(endpoint),
    skipChecksum: booleanParameter('AWS_SKIP_CHECKSUM', given.AWS_SKIP_CHECKSUM),
    skipTlsVerify: booleanParameter('AWS_SKIP_TLS_VERIFY', given.AWS_SKIP_TLS_VERIFY),
    ...(encryption === undefined ? {} : { encryption }),
    ...(given.S3_STORAGE_CLASS ? { storageClass: readStorageClass(given.S3_STORAGE_CLASS) } : {}),
  };
}

function readEncryption(given: Parameters): S3Uri['encryption'] {
  const mode = given.AWS_SERVER_ENC_MODE;
  if (!mode) return undefined;
  if (mode === 'AES256') return { mode };
  if (mode !== 'aws:kms') throw new PgPierError('s3EncryptionMode', { mode: mode.replace(/[^\w:.-]/g, '?').slice(0, 32) });
  if (!given.AWS_SERVER_KMS_ID) throw new PgPierError('s3KmsIdNotSet');
  return { mode, keyId: given.AWS_SERVER_KMS_ID };
}

/** Which classes a store knows is the store's business; the answer to a wrong one is clear. */
function readStorageClass(value: string): string {
  if (!/^[A-Z0-9_-]{1,64}$/.test(value)) throw new PgPierError('s3StorageClass');
  return value;
}
