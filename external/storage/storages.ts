/**
 * Every storage that PgPier knows. A new one is a file and a row here. `validate` is pure and belongs to the relay; `open` loads the
 * provider's code (and SDK) only when it is called, in a worker process.
 */
import { PgPierError } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { requireAllowedLocation } from '../allowedLocations.ts';
import * as aws from '../aws/awsUri.ts';
import { azureRequiresImplicitAccess, azureUsesAmbientCredentials } from '../azure/identity.ts';
import * as google from '../google/login.ts';
import type { Provider } from '../provider.ts';
import { type ExternalUri, parseUri } from '../uri.ts';
import { azurePlace, parseAzureUri } from './azureUri.ts';
import { parseGsUri } from './gsUri.ts';
import { parseHttpEndpoint } from './httpUri.ts';
import { isHere, parseNodelocalUri } from './nodelocalUri.ts';
import { endpointPlace } from './parameters.ts';
import { parseS3Uri } from './s3Uri.ts';
import type { OtherCredentials, Storage, StorageSettings } from './storage.ts';
import { parseUserfileUri } from './userfileUri.ts';

export interface StorageProvider extends Provider {
  /** It cannot tell what it holds, as collections of backups need it. */
  readonly unlisted?: true;
  /** `others`: where the statement named a connection, and only for a storage with `renew`. */
  open(target: StorageTarget, uri: ExternalUri, settings: StorageSettings, others?: OtherCredentials): Promise<Storage>;
}

const overHttp = (scheme: 'http' | 'https'): StorageProvider => ({
  scheme,
  word: 'http',
  unlisted: true,
  validate: parseHttpEndpoint,
  requiresImplicitAccess: () => true,
  usesAmbientCredentials: () => false,
  open: async (target, uri, settings) => (await import('./http.ts')).openHttp(parseHttpEndpoint(uri, settings), target.trusted, settings),
});

export const storages: readonly StorageProvider[] = [
  {
    scheme: 's3',
    word: 's3',
    validate: parseS3Uri,
    requiresImplicitAccess: aws.requiresImplicitAccess,
    usesAmbientCredentials: aws.usesAmbientCredentials,
    placeParameters: endpointPlace('AWS_ENDPOINT'),
    open: async (target, uri, settings, others) =>
      (await import('./s3.ts')).openS3(parseS3Uri(uri, settings), target.trusted, settings, others),
  },
  {
    scheme: 'gs',
    word: 'gs',
    validate: parseGsUri,
    requiresImplicitAccess: google.requiresImplicitAccess,
    usesAmbientCredentials: google.usesAmbientCredentials,
    placeParameters: google.placeParameters,
    open: async (target, uri, settings, others) =>
      (await import('./gs.ts')).openGs(parseGsUri(uri, settings), target.trusted, settings, others),
  },
  ...['azure', 'azure-blob', 'azure-storage'].map((scheme) => ({
    scheme,
    word: 'azure',
    validate: parseAzureUri,
    requiresImplicitAccess: azureRequiresImplicitAccess,
    usesAmbientCredentials: azureUsesAmbientCredentials,
    placeParameters: azurePlace,
    open: openAzure,
  })),
  {
    scheme: 'nodelocal',
    word: 'nodelocal',
    validate: parseNodelocalUri,
    requiresImplicitAccess: () => true,
    usesAmbientCredentials: () => false,
    open: async (_target, uri, settings) => {
      const place = parseNodelocalUri(uri, settings);
      if (isHere(place.host, settings)) return (await import('./nodelocal.ts')).openNodelocal(place, settings);
      return (await import('../nodes/remoteFolder.ts')).openRemoteFolder(place, settings);
    },
  },
  {
    scheme: 'userfile',
    word: 'userfile',
    validate: parseUserfileUri,
    requiresImplicitAccess: () => false,
    usesAmbientCredentials: () => false,
    open: async (target, uri, settings) => (await import('./userfile.ts')).openUserfile(parseUserfileUri(uri), target.userfile, settings),
  },
  overHttp('http'),
  overHttp('https'),
];

async function openAzure(target: StorageTarget, uri: ExternalUri, settings: StorageSettings, others?: OtherCredentials): Promise<Storage> {
  return (await import('./azure.ts')).openAzure(parseAzureUri(uri, settings), target.trusted, settings, others);
}

/** The provider of a scheme, `undefined` if it is none of a storage. */
export function findStorage(scheme: string): StorageProvider | undefined {
  return storages.find((provider) => provider.scheme === scheme);
}

/** @throws PgPierError 22023 `unsupported storage scheme: "x"` */
export function requireStorage(scheme: string): StorageProvider {
  const provider = findStorage(scheme);
  if (!provider) throw new PgPierError('unsupportedStorageScheme', { scheme });
  return provider;
}

/** Opens a resolved target. Goes outside only as far as the provider must; a wrong key shows at the first operation. */
export async function openStorage(target: StorageTarget, settings: StorageSettings, others?: OtherCredentials): Promise<Storage> {
  const uri = parseUri(target.uri);
  const provider = requireStorage(uri.scheme);
  requireAllowedLocation(provider, uri, settings);
  return await provider.open(target, uri, settings, others);
}
