/** What an `azure://`, `azure-blob://` or `azure-storage://` URI says. Pure: the relay validates with this and never loads the SDK. */
import { PgPierError } from '../../errors.ts';
import { type AzureEnvironment, azureEnvironment } from '../azure/environments.ts';
import { type AzureIdentity, identityParameters, readAuth, readClientSecret } from '../azure/identity.ts';
import { cleanPath, type ExternalUri } from '../uri.ts';
import { takeParameters } from './parameters.ts';
import type { StorageSettings } from './storage.ts';

export interface AzureUri {
  readonly container: string;
  /** Of blob names, without slashes around it; empty for the whole container. */
  readonly prefix: string;
  readonly account: string;
  readonly credentials: { readonly kind: 'key'; readonly accountKey: string } | AzureIdentity;
  readonly environment: AzureEnvironment;
  /** URL of the account's blob service, without a slash at its end: `https://account.blob.core.windows.net`, `http://127.0.0.1:10000/account`. */
  readonly service: string;
  /** Whether the service is somewhere else than the cloud says. */
  readonly customEndpoint: boolean;
}

const parameterNames = [
  'AUTH',
  'AZURE_ACCOUNT_NAME',
  'AZURE_ACCOUNT_KEY',
  'AZURE_ENVIRONMENT',
  'AZURE_ENDPOINT',
  ...identityParameters,
] as const;

type Parameters = Partial<Readonly<Record<(typeof parameterNames)[number], string>>>;

/** @throws PgPierError with CockroachDB's words. */
export function parseAzureUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>): AzureUri {
  const given = takeParameters(uri, 'azure', parameterNames);
  if (!given.AZURE_ACCOUNT_NAME) throw new PgPierError('azureParameterMissing', { parameter: 'AZURE_ACCOUNT_NAME' });
  if (uri.host === '') throw new PgPierError('bucketNotSet', { provider: 'azure', bucket: 'container' });
  if (uri.userinfo !== undefined) throw new PgPierError('invalidUri', { reason: 'an azure URI has no user before the container' });
  const environment = azureEnvironment(given.AZURE_ENVIRONMENT);
  const account = given.AZURE_ACCOUNT_NAME;
  const own = `https://${account}.blob.${environment.storageDomain}`;
  const service = readEndpoint(given.AZURE_ENDPOINT) ?? own;
  const customEndpoint = service !== own;
  // It becomes part of an address, or of a header.
  if (!(customEndpoint ? /^[A-Za-z0-9_-]{1,63}$/ : /^[a-z0-9]{3,24}$/).test(account)) throw new PgPierError('azureAccount');
  const credentials = readCredentials(given);
  if (credentials.kind === 'implicit' && settings?.disableImplicitCredentials)
    throw new PgPierError('implicitDisallowed', { provider: 'azure' });
  if (customEndpoint && settings?.disableHttp) throw new PgPierError('endpointDisallowed', { provider: 'azure' });
  if (credentials.kind !== 'key' && !service.startsWith('https:')) throw new PgPierError('azureTokenPlain');
  return { container: uri.host, prefix: cleanPath(uri.path).slice(1), account, credentials, environment, service, customEndpoint };
}

/** With a key, AUTH need not be said; that was the only way once. */
function readCredentials(given: Parameters): AzureUri['credentials'] {
  const auth = readAuth(given.AUTH);
  const others = identityParameters.filter((name) => given[name]);
  if (auth === 'implicit') return { kind: 'implicit' };
  if (given.AZURE_ACCOUNT_KEY && others.length > 0) throw new PgPierError('azureTwoCredentials', { parameter: others[0]! });
  if (auth === 'specified' && !given.AZURE_ACCOUNT_KEY) return readClientSecret(given);
  if (!given.AZURE_ACCOUNT_KEY) throw new PgPierError('azureParameterMissing', { parameter: 'AZURE_ACCOUNT_KEY' });
  // A "+" that was not written "%2B".
  const accountKey = given.AZURE_ACCOUNT_KEY.replaceAll(' ', '+');
  if (!/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(accountKey)) throw new PgPierError('azureKey');
  return { kind: 'key', accountKey };
}

/**
 * What connection strings call BlobEndpoint: an emulator's has the account as its path. `host` without a scheme means https.
 * @throws PgPierError 22023
 */
function readEndpoint(text: string | undefined): string | undefined {
  if (!text) return undefined;
  let url: URL;
  try {
    url = new URL(/^https?:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    throw new PgPierError('azureEndpoint');
  }
  const { hostname, username, password, search, hash, pathname } = url;
  if (hostname === '' || username || password || search || hash || !/^(?:\/[A-Za-z0-9_-]{1,63})?\/?$/.test(pathname))
    throw new PgPierError('azureEndpoint');
  return `${url.protocol}//${url.host}${pathname.replace(/\/$/, '')}`;
}

/** What beside container and path tells where a valid URI leads: a container's name is another one's in each account. */
export function azurePlace(uri: ExternalUri): Readonly<Record<string, string>> {
  const { account, environment, service, customEndpoint } = parseAzureUri(uri);
  return {
    AZURE_ACCOUNT_NAME: account,
    ...(customEndpoint ? { AZURE_ENDPOINT: service } : {}),
    ...(environment.name === 'AzurePublicCloud' ? {} : { AZURE_ENVIRONMENT: environment.name }),
  };
}
