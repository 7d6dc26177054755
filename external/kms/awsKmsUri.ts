/** What an `aws-kms://` URI says, or an `aws://` one where a KMS URI is expected (spec: cockroachdb §3.2). Pure. */
import { PgPierError } from '../../errors.ts';
import { type AwsAccess, accessParameters, isRegion, readAccess } from '../aws/awsUri.ts';
import { endpointParameter, takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

export interface AwsKmsUri {
  /** An ARN, an id, or `alias/name`. */
  readonly key: string;
  readonly region: string;
  readonly access: AwsAccess;
  /** An absolute `http(s)://host[:port]`. */
  readonly endpoint?: string;
}

/** @throws PgPierError 22023 with CockroachDB's words where it has some; 42501 for what the operator forbids */
export function parseAwsKmsUri(
  uri: ExternalUri,
  settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>,
): AwsKmsUri {
  const given = takeParameters(uri, 'KMS', [...accessParameters, 'AWS_ENDPOINT', 'REGION']);
  if (uri.host !== '' || uri.userinfo !== undefined)
    throw new PgPierError('invalidUri', { reason: 'an AWS KMS URI has no host: aws-kms:///KEY, with three slashes' });
  const key = uri.path.replace(/^\//, '');
  if (key === '') throw new PgPierError('kmsKeyMissing');
  if (!/^[A-Za-z0-9:/_-]{1,2048}$/.test(key)) throw new PgPierError('awsKmsKeyInvalid');
  if (!given.REGION) throw new PgPierError('awsKmsRegionMissing');
  if (!isRegion(given.REGION)) throw new PgPierError('awsRegionInvalid', { parameter: 'REGION' });
  const access = readAccess(given);
  if (access.credentials.kind === 'implicit' && settings?.disableImplicitCredentials)
    throw new PgPierError('implicitDisallowed', { provider: 'aws kms' });
  const endpoint = endpointParameter('AWS_ENDPOINT', given.AWS_ENDPOINT);
  if (endpoint !== undefined && settings?.disableHttp) throw new PgPierError('endpointDisallowed', { provider: 'aws kms' });
  return { key, region: given.REGION, access, ...(endpoint === undefined ? {} : { endpoint }) };
}
