/** What the URIs of S3 and of AWS KMS have in common: keys, roles, endpoints. Pure: the relay validates with this and never loads the SDK. */
import { PgPierError } from '../../errors.ts';
import { type ExternalUri, parameter } from '../uri.ts';

export interface AwsAccess {
  readonly credentials:
    | { readonly kind: 'implicit' }
    | { readonly kind: 'specified'; readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken?: string };
  /** Assumed one after the other with the credentials of the one before; the last is the one that works. Often empty. */
  readonly roles: readonly AssumedRole[];
}

export interface AssumedRole {
  readonly arn: string;
  /** What the role's trust policy may ask for (`sts:ExternalId`). */
  readonly externalId?: string;
}

/** The parameters that say who asks. */
export const accessParameters = ['AUTH', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'ASSUME_ROLE'] as const;

type AccessParameters = Partial<Readonly<Record<(typeof accessParameters)[number], string>>>;

/** @throws PgPierError `unsupportedAuth`, `credentialNotSet`, `assumeRoleInvalid` */
export function readAccess(given: AccessParameters): AwsAccess {
  return { credentials: readCredentials(given), roles: readRoles(given.ASSUME_ROLE) };
}

function readCredentials(given: AccessParameters): AwsAccess['credentials'] {
  if (given.AUTH === 'implicit') return { kind: 'implicit' };
  if (given.AUTH && given.AUTH !== 'specified')
    throw new PgPierError('unsupportedAuth', { value: JSON.stringify(given.AUTH.slice(0, 32)) });
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'] as const) {
    if (!given[name]) throw new PgPierError('credentialNotSet', { parameter: name });
  }
  return {
    kind: 'specified',
    accessKeyId: given.AWS_ACCESS_KEY_ID!,
    secretAccessKey: withPlus(given.AWS_SECRET_ACCESS_KEY!),
    ...(given.AWS_SESSION_TOKEN ? { sessionToken: withPlus(given.AWS_SESSION_TOKEN) } : {}),
  };
}

/** `role[;external_id=id]`, with commas between: CockroachDB's form. */
function readRoles(text: string | undefined): AssumedRole[] {
  if (!text) return [];
  return text.split(',').map((item) => {
    const [arn = '', ...settings] = item.split(';').map(withPlus);
    if (!isRoleArn(arn)) throw new PgPierError('assumeRoleInvalid', { reason: 'a role is named by its ARN' });
    const role: { arn: string; externalId?: string } = { arn };
    for (const setting of settings) {
      const [, name, value = ''] = /^([^=]*)=(.*)$/s.exec(setting) ?? [];
      if (name !== 'external_id') throw new PgPierError('assumeRoleInvalid', { reason: 'behind a role stands external_id= alone' });
      if (role.externalId !== undefined) throw new PgPierError('assumeRoleInvalid', { reason: 'a role has one external_id' });
      if (!isExternalId(value))
        throw new PgPierError('assumeRoleInvalid', { reason: 'an external_id has 2 to 1224 of A-Z a-z 0-9 + = . @ : / - _' });
      role.externalId = value;
    }
    return role;
  });
}

/** Amazon's limits; other stores have ARNs of their own (`arn:minio:…`). Without the separators of ASSUME_ROLE. */
export const isRoleArn = (text: string): boolean => /^arn:[\w+=.@:/-]{1,2044}$/.test(text);
export const isExternalId = (text: string): boolean => /^[\w+=.@:/-]{2,1224}$/.test(text);

/** Nobody's secret, role or id holds a blank: it was a "+" that should have been "%2B". */
function withPlus(text: string): string {
  return text.replaceAll(' ', '+');
}

/**
 * Where roles are assumed: stores with an endpoint of their own (MinIO, Ceph) do it there, next to everything else. Amazon's own endpoints,
 * those of private networks too, serve one service each: undefined is Amazon's STS of the region.
 */
export function stsEndpoint(endpoint: string | undefined): string | undefined {
  return endpoint !== undefined && isAmazon(endpoint) ? undefined : endpoint;
}

export const isAmazon = (endpoint: string): boolean => /\.amazonaws\.com(\.cn)?(:\d+)?$/.test(endpoint);

/** It becomes part of a host name. */
export const isRegion = (text: string): boolean => /^[A-Za-z0-9-]{1,63}$/.test(text);

/** Whether a statement needs EXTERNALIOIMPLICITACCESS for this URI: the machine's own credentials, or an endpoint of the user's choice. */
export function requiresImplicitAccess(uri: ExternalUri): boolean {
  return usesAmbientCredentials(uri) || Boolean(parameter(uri, 'AWS_ENDPOINT'));
}

export function usesAmbientCredentials(uri: ExternalUri): boolean {
  return parameter(uri, 'AUTH') === 'implicit';
}
