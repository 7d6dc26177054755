/** What an `azure-kms://` URI says: an RSA key of Azure Key Vault, and who we are there (spec: cockroachdb §3.2). Pure. */
import { PgPierError } from '../../errors.ts';
import { type AzureEnvironment, azureEnvironment } from '../azure/environments.ts';
import { type AzureIdentity, identityParameters, readAuth, readClientSecret } from '../azure/identity.ts';
import { endpointParameter, takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

export interface AzureKmsUri {
  /** `id/version`. */
  readonly key: string;
  readonly vault: string;
  readonly identity: AzureIdentity;
  readonly environment: AzureEnvironment;
  /** `https://name.vault.azure.net`, or an endpoint of the user's choice. */
  readonly service: string;
  readonly customEndpoint: boolean;
}

const parameterNames = ['AUTH', 'AZURE_VAULT_NAME', 'AZURE_ENVIRONMENT', 'AZURE_ENDPOINT', ...identityParameters] as const;

/** @throws PgPierError 22023 with CockroachDB's words where it has some; 42501 for what the operator forbids */
export function parseAzureKmsUri(
  uri: ExternalUri,
  settings?: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'>,
): AzureKmsUri {
  const given = takeParameters(uri, 'KMS', parameterNames);
  if (uri.host !== '' || uri.userinfo !== undefined)
    throw new PgPierError('invalidUri', { reason: 'an Azure KMS URI has no host: azure-kms:///KEY/VERSION, with three slashes' });
  const key = uri.path.replace(/^\//, '');
  if (key === '') throw new PgPierError('kmsKeyMissing');
  const auth = readAuth(given.AUTH);
  if (auth === undefined) throw new PgPierError('azureKmsAuth');
  const needed = auth === 'implicit' ? (['AZURE_VAULT_NAME'] as const) : (['AZURE_VAULT_NAME', ...identityParameters] as const);
  const missing = needed.filter((name) => !given[name]);
  if (missing.length > 0) throw new PgPierError('azureKmsMissing', { parameters: missing.join(', ') });
  // Both become parts of an address.
  if (!/^[A-Za-z0-9-]{1,127}\/[A-Za-z0-9]{1,64}$/.test(key)) throw new PgPierError('azureKmsKey');
  const vault = given.AZURE_VAULT_NAME!;
  if (!/^[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]$/.test(vault)) throw new PgPierError('azureKmsVault');
  const environment = azureEnvironment(given.AZURE_ENVIRONMENT);
  const endpoint = endpointParameter('AZURE_ENDPOINT', given.AZURE_ENDPOINT);
  if (auth === 'implicit' && settings?.disableImplicitCredentials) throw new PgPierError('implicitDisallowed', { provider: 'azure kms' });
  if (endpoint !== undefined && settings?.disableHttp) throw new PgPierError('endpointDisallowed', { provider: 'azure kms' });
  if (endpoint !== undefined && !endpoint.startsWith('https:')) throw new PgPierError('azureTokenPlain');
  return {
    key,
    vault,
    identity: auth === 'implicit' ? { kind: 'implicit' } : readClientSecret(given),
    environment,
    service: endpoint ?? `https://${vault}.${environment.vaultDomain}`,
    customEndpoint: endpoint !== undefined,
  };
}

/** What beside the key tells where a valid URI leads. */
export function azureKmsPlace(uri: ExternalUri): Readonly<Record<string, string>> {
  const { vault, environment, service, customEndpoint } = parseAzureKmsUri(uri);
  return {
    AZURE_VAULT_NAME: vault,
    ...(customEndpoint ? { AZURE_ENDPOINT: service } : {}),
    ...(environment.name === 'AzurePublicCloud' ? {} : { AZURE_ENVIRONMENT: environment.name }),
  };
}
