/** Who PgPier is to Microsoft Entra ID, as the parameters of a URI say it; the same for storage and key vaults. Pure. */
import { PgPierError } from '../../errors.ts';
import { type ExternalUri, parameter } from '../uri.ts';

export type AzureIdentity =
  /** What the machine was given: environment, workload identity, managed identity. */
  | { readonly kind: 'implicit' }
  /** A service principal. */
  | { readonly kind: 'secret'; readonly clientId: string; readonly clientSecret: string; readonly tenantId: string };

export const identityParameters = ['AZURE_CLIENT_ID', 'AZURE_CLIENT_SECRET', 'AZURE_TENANT_ID'] as const;

type Given = Partial<Readonly<Record<(typeof identityParameters)[number], string>>>;

/** @throws PgPierError 22023 for a parameter that is missing or is none */
export function readClientSecret(given: Given): AzureIdentity {
  for (const name of identityParameters) if (!given[name]) throw new PgPierError('credentialNotSet', { parameter: name });
  const tenantId = given.AZURE_TENANT_ID!;
  // It becomes part of an address.
  if (!/^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$/.test(tenantId)) throw new PgPierError('azureTenant');
  // Secrets of Entra ID hold no blank; it was a "+" that should have been "%2B".
  return {
    kind: 'secret',
    clientId: given.AZURE_CLIENT_ID!,
    clientSecret: given.AZURE_CLIENT_SECRET!.replaceAll(' ', '+'),
    tenantId,
  };
}

/** @returns what AUTH says; @throws PgPierError 22023 for a word that is none */
export function readAuth(value: string | undefined): 'implicit' | 'specified' | undefined {
  if (!value) return undefined;
  if (value === 'implicit' || value === 'specified') return value;
  throw new PgPierError('unsupportedAuth', { value: JSON.stringify(value.slice(0, 32)) });
}

/** Whether the URI uses what the machine was given. */
export function azureUsesAmbientCredentials(uri: ExternalUri): boolean {
  return parameter(uri, 'AUTH') === 'implicit';
}

/** Whether the caller needs EXTERNALIOIMPLICITACCESS outside CREATE: the machine's own credentials, or an endpoint of the caller's choice. */
export function azureRequiresImplicitAccess(uri: ExternalUri): boolean {
  return azureUsesAmbientCredentials(uri) || Boolean(parameter(uri, 'AZURE_ENDPOINT'));
}
