/**
 * Databend's STORAGE_TYPE and keys (spec: databend §1.3) as the URI that says the same: `CREATE CONNECTION` and `CREATE EXTERNAL CONNECTION` make one kind
 * of object. A CONNECTION has credentials without a bucket: its URI has no host, and `external://name/bucket/path` names the bucket. Pure.
 */
import { PgPierError } from '../errors.ts';
import { isExternalId, isRoleArn } from './aws/awsUri.ts';
import { type ExternalUri, formatUri, parseUri, percentEncode } from './uri.ts';

export interface StorageType {
  /** Databend's word, lower case. */
  readonly type: string;
  readonly scheme: string;
  /** Databend's key and the parameter of the URI. */
  readonly keys: readonly (readonly [key: string, parameter: string])[];
  /** Keys that a parameter says in another way. */
  readonly flags: readonly { readonly key: string; readonly parameter: string; readonly negated: boolean; readonly absent: boolean }[];
  readonly aliases: Readonly<Record<string, string>>;
  /** Known to Databend, and why not here; to ignore one would be to do something else than was asked for. */
  readonly refused: Readonly<Record<string, string>>;
  readonly required: readonly string[];
  /** Its service has no address of its own. */
  readonly needsEndpoint?: true;
  /** Keys of a role, and the parameter that names it. With a role and without what is `required`, the machine's own credentials assume it. */
  readonly role?: { readonly arn: string; readonly externalId: string; readonly parameter: string };
}

export const storageTypes: readonly StorageType[] = [
  {
    type: 's3',
    scheme: 's3',
    keys: [
      ['access_key_id', 'AWS_ACCESS_KEY_ID'],
      ['endpoint_url', 'AWS_ENDPOINT'],
      ['region', 'AWS_REGION'],
      ['secret_access_key', 'AWS_SECRET_ACCESS_KEY'],
      ['session_token', 'AWS_SESSION_TOKEN'],
    ],
    // Path style unless told otherwise, at Amazon too.
    flags: [{ key: 'enable_virtual_host_style', parameter: 'AWS_USE_PATH_STYLE', negated: true, absent: false }],
    aliases: {
      aws_key_id: 'access_key_id',
      aws_secret_key: 'secret_access_key',
      aws_token: 'session_token',
      security_token: 'session_token',
      aws_role_arn: 'role_arn',
      aws_external_id: 'external_id',
    },
    refused: {
      master_key: 'nothing is encrypted on the way to the store; AWS_SERVER_ENC_MODE of CREATE EXTERNAL CONNECTION has the store do it',
    },
    // Databend sends unsigned requests without them.
    required: ['access_key_id', 'secret_access_key'],
    role: { arn: 'role_arn', externalId: 'external_id', parameter: 'ASSUME_ROLE' },
  },
  {
    type: 'gcs',
    scheme: 'gs',
    keys: [
      ['credential', 'CREDENTIALS'],
      ['endpoint_url', 'GOOGLE_ENDPOINT'],
    ],
    flags: [],
    aliases: {},
    refused: {},
    required: ['credential'],
  },
  {
    type: 'azblob',
    scheme: 'azure',
    keys: [
      ['account_key', 'AZURE_ACCOUNT_KEY'],
      ['account_name', 'AZURE_ACCOUNT_NAME'],
      ['endpoint_url', 'AZURE_ENDPOINT'],
    ],
    flags: [],
    aliases: {},
    refused: {},
    required: ['account_name', 'account_key'],
    needsEndpoint: true,
  },
];

/**
 * @param type as given
 * @param values by key as given; of repeated keys the last
 * @returns a URI without a host, its parameters in the order of the table
 * @throws PgPierError `storageTypeUnknown`, `connectionKeyUnknown`, `connectionKeyInvalid`, `credentialNotSet`, `connectionKeyRefused`, `storageEndpointMissing`
 */
export function uriOfConnection(type: string, values: ReadonlyMap<string, string>): ExternalUri {
  const found = storageTypes.find((each) => each.type === type.toLowerCase());
  if (found === undefined) throw new PgPierError('storageTypeUnknown', { type: shown(type) });
  const given = canonical(found, values);
  for (const [key, reason] of Object.entries(found.refused))
    if (given.has(key)) throw new PgPierError('connectionKeyRefused', { key: key.toUpperCase(), reason });
  if (found.needsEndpoint && !given.get('endpoint_url')) throw new PgPierError('storageEndpointMissing', { type: found.type });
  const role = readRole(found, given);
  const parameters: string[] = [];
  if (role !== undefined && found.required.every((key) => !given.get(key))) parameters.push('AUTH=implicit');
  else for (const key of found.required) if (!given.get(key)) throw new PgPierError('credentialNotSet', { parameter: key });
  for (const [key, parameter] of found.keys) {
    const value = given.get(key);
    if (value) parameters.push(`${parameter}=${percentEncode(value)}`);
  }
  for (const { key, parameter, negated, absent } of found.flags) {
    const set = readFlag(key, given.get(key)) ?? absent;
    parameters.push(`${parameter}=${set !== negated}`);
  }
  if (role !== undefined) parameters.push(role);
  return parseUri(`${found.scheme}://?${parameters.join('&')}`);
}

/** The role as a parameter of the URI. */
function readRole({ role }: StorageType, given: ReadonlyMap<string, string>): string | undefined {
  if (role === undefined) return undefined;
  const arn = given.get(role.arn);
  const externalId = given.get(role.externalId);
  if (!arn) {
    if (externalId) throw new PgPierError('connectionKeyInvalid', { key: role.externalId, reason: `it belongs to a ${role.arn}` });
    return undefined;
  }
  if (!isRoleArn(arn)) throw new PgPierError('connectionKeyInvalid', { key: role.arn, reason: 'a role is named by its ARN' });
  if (externalId && !isExternalId(externalId))
    throw new PgPierError('connectionKeyInvalid', { key: role.externalId, reason: 'it has 2 to 1224 of A-Z a-z 0-9 + = . @ : / - _' });
  return `${role.parameter}=${percentEncode(externalId ? `${arn};external_id=${externalId}` : arn)}`;
}

function canonical(type: StorageType, values: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const roles = type.role === undefined ? [] : [type.role.arn, type.role.externalId];
  const known = [...type.keys.map(([key]) => key), ...type.flags.map(({ key }) => key), ...Object.keys(type.refused), ...roles];
  const given = new Map([...values].map(([key, value]) => [type.aliases[key] ?? key, value]));
  const unknown = [...given.keys()].filter((key) => !known.includes(key));
  if (unknown.length > 0)
    throw new PgPierError('connectionKeyUnknown', { expected: known.sort().join(','), got: unknown.map(shown).join(',') });
  return given;
}

function readFlag(key: string, value: string | undefined): boolean | undefined {
  if (value === undefined) return undefined;
  const word = value.toLowerCase();
  if (word !== 'true' && word !== 'false') throw new PgPierError('connectionKeyInvalid', { key, reason: 'it must be true or false' });
  return word === 'true';
}

/** The type and keys of any connection's URI. What Databend has no key for goes by the parameter's own name, and the place by `url`. */
export function connectionOfUri(uri: ExternalUri): { readonly type: string; readonly values: ReadonlyMap<string, string> } {
  const found = storageTypes.find(({ scheme }) => scheme === uri.scheme);
  const values = new Map<string, string>();
  for (const [parameter, value] of uri.parameters) {
    if (found?.role?.parameter === parameter && !value.includes(',')) {
      const [arn = '', id] = value.split(';external_id=');
      values.set(found.role.arn, arn);
      if (id !== undefined) values.set(found.role.externalId, id);
      continue;
    }
    // With a role, to have no keys is how Databend says it.
    if (parameter === 'AUTH' && value === 'implicit' && found?.role && uri.parameters.some(([name]) => name === found.role?.parameter))
      continue;
    const flag = found?.flags.find((each) => each.parameter === parameter);
    const key = flag?.key ?? found?.keys.find((each) => each[1] === parameter)?.[0] ?? parameter.toLowerCase();
    values.set(key, flag === undefined ? value : String((value === 'true') !== flag.negated));
  }
  if (!isWithoutBucket(uri)) values.set('url', formatUri({ ...uri, query: '', parameters: [] }));
  return { type: found?.type ?? uri.scheme, values };
}

/** A CONNECTION's: the first segment of what stands behind its name is the bucket. */
export function isWithoutBucket(uri: ExternalUri): boolean {
  return uri.host === '' && storageTypes.some(({ scheme }) => scheme === uri.scheme);
}

/** Databend's: of short values nothing is seen, of others the two first and the two last characters. */
export function mask(value: string): string {
  const characters = [...value];
  return characters.length <= 4 ? '***' : `${characters.slice(0, 2).join('')}***${characters.slice(-2).join('')}`;
}

/** A word that was to be a key or a type may be a piece of a secret. */
const shown = (word: string): string => (/^\w{1,40}$/.test(word) ? word.toLowerCase() : '...');
