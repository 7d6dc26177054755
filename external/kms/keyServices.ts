/**
 * Every key service that PgPier knows. A new one is a file and a row here. `validate` is pure and belongs to the relay; `open` loads the provider's
 * code (and SDK) only when it is called, in a worker process.
 */
import { PgPierError } from '../../errors.ts';
import { requireAllowedLocation } from '../allowedLocations.ts';
import * as aws from '../aws/awsUri.ts';
import { azureRequiresImplicitAccess, azureUsesAmbientCredentials } from '../azure/identity.ts';
import * as google from '../google/login.ts';
import type { Provider, ProviderTarget } from '../provider.ts';
import { endpointPlace } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type ExternalUri, parseUri } from '../uri.ts';
import { parseAwsKmsUri } from './awsKmsUri.ts';
import { azureKmsPlace, parseAzureKmsUri } from './azureKmsUri.ts';
import { parseGcpKmsUri } from './gcpKmsUri.ts';
import type { KeyService } from './keyService.ts';
import { parseLocalKmsUri } from './localKmsUri.ts';

export interface KeyServiceProvider extends Provider {
  /** Another scheme that means the same where a KMS URI is expected; never that of a connection (`aws:///`, `gs:///`: spec §3.2). */
  readonly alias?: string;
  open(target: ProviderTarget, uri: ExternalUri, settings: StorageSettings): Promise<KeyService>;
}

export const keyServices: readonly KeyServiceProvider[] = [
  {
    scheme: 'aws-kms',
    alias: 'aws',
    word: 'AWS KMS',
    validate: parseAwsKmsUri,
    requiresImplicitAccess: aws.requiresImplicitAccess,
    usesAmbientCredentials: aws.usesAmbientCredentials,
    placeParameters: endpointPlace('AWS_ENDPOINT'),
    open: async (target, uri, settings) =>
      (await import('./awsKms.ts')).openAwsKms(parseAwsKmsUri(uri, settings), target.trusted, settings),
  },
  {
    scheme: 'gcp-kms',
    alias: 'gs',
    word: 'GCP KMS',
    validate: parseGcpKmsUri,
    requiresImplicitAccess: google.requiresImplicitAccess,
    usesAmbientCredentials: google.usesAmbientCredentials,
    placeParameters: google.placeParameters,
    open: async (target, uri, settings) =>
      (await import('./gcpKms.ts')).openGcpKms(parseGcpKmsUri(uri, settings), target.trusted, settings),
  },
  {
    scheme: 'azure-kms',
    word: 'Azure KMS',
    validate: parseAzureKmsUri,
    requiresImplicitAccess: azureRequiresImplicitAccess,
    usesAmbientCredentials: azureUsesAmbientCredentials,
    placeParameters: azureKmsPlace,
    open: async (target, uri, settings) =>
      (await import('./azureKms.ts')).openAzureKms(parseAzureKmsUri(uri, settings), target.trusted, settings),
  },
  {
    scheme: 'local-kms',
    word: 'local KMS',
    validate: parseLocalKmsUri,
    requiresImplicitAccess: () => true,
    // The key is the machine's own: whoever may use it reads whatever was ever encrypted with it.
    usesAmbientCredentials: () => true,
    open: async (_target, uri, settings) => (await import('./localKms.ts')).openLocalKms(parseLocalKmsUri(uri, settings), settings),
  },
];

/** The provider of a scheme, `undefined` if it is none of a key service. */
export function findKeyService(scheme: string): KeyServiceProvider | undefined {
  return keyServices.find((provider) => provider.scheme === scheme);
}

/**
 * The provider of a scheme where a KMS URI is expected, aliases included.
 * @throws PgPierError 22023 `unsupported KMS scheme: "x"`
 */
export function requireKeyService(scheme: string): KeyServiceProvider {
  const provider = keyServices.find((each) => each.scheme === scheme || each.alias === scheme);
  if (!provider) throw new PgPierError('unsupportedKmsScheme', { scheme });
  return provider;
}

/** Opens a resolved target. Goes outside only as far as the provider must; a wrong key shows at the first operation. */
export async function openKeyService(target: ProviderTarget, settings: StorageSettings): Promise<KeyService> {
  const uri = parseUri(target.uri);
  const provider = requireKeyService(uri.scheme);
  requireAllowedLocation(provider, uri, settings);
  return await provider.open(target, uri, settings);
}
