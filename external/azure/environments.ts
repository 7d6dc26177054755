/** Azure's clouds: AZURE_ENVIRONMENT names one (Microsoft's words for them in Go, which CockroachDB reads). Pure. */
import { PgPierError } from '../../errors.ts';

export interface AzureEnvironment {
  /** Microsoft's word. */
  readonly name: string;
  /** Where tokens come from. */
  readonly authority: string;
  /** What follows `<account>.blob.` */
  readonly storageDomain: string;
  /** What follows `<vault>.` */
  readonly vaultDomain: string;
  /** Nobody named one: the operator's AZURE_AUTHORITY_HOST, which all SDKs of Azure read, may say another authority. */
  readonly unnamed?: true;
}

const publicCloud: AzureEnvironment = {
  name: 'AzurePublicCloud',
  authority: 'https://login.microsoftonline.com',
  storageDomain: 'core.windows.net',
  vaultDomain: 'vault.azure.net',
};
const usGovernmentCloud: AzureEnvironment = {
  name: 'AzureUSGovernmentCloud',
  authority: 'https://login.microsoftonline.us',
  storageDomain: 'core.usgovcloudapi.net',
  vaultDomain: 'vault.usgovcloudapi.net',
};
const chinaCloud: AzureEnvironment = {
  name: 'AzureChinaCloud',
  authority: 'https://login.chinacloudapi.cn',
  storageDomain: 'core.chinacloudapi.cn',
  vaultDomain: 'vault.azure.cn',
};

/** By upper-cased name. Germany's cloud was closed in 2021. */
const environments: Readonly<Record<string, AzureEnvironment>> = {
  AZURECLOUD: publicCloud,
  AZUREPUBLICCLOUD: publicCloud,
  AZUREUSGOVERNMENT: usGovernmentCloud,
  AZUREUSGOVERNMENTCLOUD: usGovernmentCloud,
  AZURECHINACLOUD: chinaCloud,
};

/** @throws PgPierError 22023 with CockroachDB's words, the name in upper case */
export function azureEnvironment(name: string | undefined): AzureEnvironment {
  if (!name) return { ...publicCloud, unnamed: true };
  const known = name.toUpperCase();
  const found = Object.hasOwn(environments, known) ? environments[known] : undefined;
  if (found === undefined) throw new PgPierError('azureEnvironment', { name: /^[\w-]{1,64}$/.test(known) ? known : '...' });
  return found;
}

/** @param operators AZURE_AUTHORITY_HOST */
export function authorityOf(environment: AzureEnvironment, operators: string | undefined): string {
  if (!environment.unnamed || !operators) return environment.authority;
  return (operators.startsWith('https://') ? operators : `https://${operators}`).replace(/\/$/, '');
}
