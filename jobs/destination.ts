/**
 * Where a statement or its job goes outside: the check that each makes (spec: §2.5), and what `external://` stands for (§1.10). A statement
 * asks it before it begins, a job at each attempt: rights taken away and credentials replaced meanwhile count.
 */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { ExternalConnection } from '../catalog/connections.ts';
import { PgPierError } from '../errors.ts';
import { requireKeyService } from '../external/kms/keyServices.ts';
import type { Provider, ProviderTarget } from '../external/provider.ts';
import { type ConnectionProvider, findProvider } from '../external/providers.ts';
import { requireSink } from '../external/sinks/sinks.ts';
import { findStorage, requireStorage } from '../external/storage/storages.ts';
import { parseUserfileUri } from '../external/storage/userfileUri.ts';
import { isWithoutBucket } from '../external/storageTypes.ts';
import { type ExternalUri, formatUri, parseUri, withSubPath } from '../external/uri.ts';
import type { StorageTarget } from './task.ts';

/**
 * A storage URI of a statement, checked and resolved for the asker. The query of an `external://` URI is discarded, as in CockroachDB; its
 * path goes below the connection's own. Loopback and private addresses may be reached where an admin chose them: the asker, or who wrote
 * the connection's URI. Throws 42501 without the privilege, 42704 or 22023 for a URI that leads nowhere.
 */
export async function resolveStorage(context: { readonly catalog: CatalogTransaction }, text: string): Promise<StorageTarget> {
  const { catalog } = context;
  const given = parseUri(text);
  if (given.scheme === 'external') return resolveConnection(catalog, given);
  await requireWrittenUri(catalog, requireStorage(given.scheme), given);
  return targetOfAsker(catalog, given);
}

/** As `resolveStorage`, for a collection of backups. Throws `collectionNotListed` too. */
export async function resolveCollection(
  context: { readonly catalog: CatalogTransaction },
  text: string,
  statement: string,
): Promise<StorageTarget> {
  const target = await resolveStorage(context, text);
  const { word, unlisted } = requireStorage(parseUri(target.uri).scheme);
  if (unlisted) throw new PgPierError('collectionNotListed', { statement, provider: word });
  return target;
}

/** The target of a URI that stands in the asker's own statement: what `userfile:///` means is bound to the asker. Throws `userfileDenied`. */
export async function targetOfAsker(catalog: CatalogTransaction, uri: ExternalUri): Promise<StorageTarget> {
  const asker = await catalog.roles.asker();
  return { uri: formatUri(uri), trusted: asker.admin, ...(await userfileOf(catalog, uri, asker.oid)) };
}

/** `nodelocal://self` as that of the node where the statement was: the work may be done by another. */
export function onNode(target: StorageTarget, node: number | undefined): StorageTarget {
  const uri = parseUri(target.uri);
  if (node === undefined || uri.scheme !== 'nodelocal' || uri.host !== 'self') return target;
  return { ...target, uri: formatUri({ ...uri, host: String(node) }) };
}

/** The node whose directory `nodelocal://N` is; `self` is the one that is asked. Undefined for storages that every node reaches. */
export function nodeOf(target: StorageTarget): number | 'self' | undefined {
  const { scheme, host } = parseUri(target.uri);
  if (scheme !== 'nodelocal') return undefined;
  return host === 'self' ? 'self' : Number(host);
}

/** Ids of the connections that led to these targets. */
export function connectionsOf(...targets: readonly ProviderTarget[]): readonly string[] {
  return [...new Set(targets.flatMap(({ connection }) => (connection === undefined ? [] : [connection.id])))];
}

/** A key service's URI of a statement, checked and resolved as a storage's is; path and query of an `external://` one mean nothing (spec §1.10). */
export async function resolveKeyService({ catalog }: { readonly catalog: CatalogTransaction }, text: string): Promise<ProviderTarget> {
  const given = parseUri(text);
  if (given.scheme !== 'external') return resolveOther(catalog, requireKeyService(given.scheme), given);
  const { connection, stored, led } = await usableConnection(catalog, given);
  if (connection.type !== 'KMS') throw new PgPierError('connectionTypeMismatch', { wanted: 'KMS', found: connection.type });
  return { uri: formatUri(stored), ...led };
}

/** A sink's; path and query of an `external://` one mean nothing (spec §1.10). */
export async function resolveSink({ catalog }: { readonly catalog: CatalogTransaction }, text: string): Promise<ProviderTarget> {
  const given = parseUri(text);
  if (given.scheme !== 'external') return resolveOther(catalog, requireSink(given.scheme), given);
  const { stored, led } = await usableConnection(catalog, given);
  requireSink(stored.scheme);
  return { uri: formatUri(stored), ...led };
}

/** What a URI leads to, by its scheme or by that of the connection that it names: for statements that take all kinds. Throws as the others do. */
export async function providerOf(
  { catalog }: { readonly catalog: CatalogTransaction },
  text: string,
): Promise<ConnectionProvider | undefined> {
  const given = parseUri(text);
  if (given.scheme === 'external') return findProvider((await usableConnection(catalog, given)).stored.scheme);
  // What http:// in a statement means is a web server; connections alone are registries of schemas.
  const provider = findStorage(given.scheme);
  return provider === undefined ? findProvider(given.scheme) : { kind: 'storage', provider };
}

async function resolveOther(catalog: CatalogTransaction, provider: Provider, given: ExternalUri): Promise<ProviderTarget> {
  await requireWrittenUri(catalog, provider, given);
  return { uri: formatUri(given), trusted: await catalog.privileges.isAdmin() };
}

/** That the asker may write a URI of this provider into a statement, and that it is a valid one. */
async function requireWrittenUri(catalog: CatalogTransaction, provider: Provider, given: ExternalUri): Promise<void> {
  if (!(await catalog.privileges.mayWriteUris())) throw new PgPierError('namedConnectionsOnly');
  if (provider.requiresImplicitAccess(given)) await requireImplicitAccess(catalog, provider.word);
  provider.validate(given);
}

interface UsableConnection {
  readonly connection: ExternalConnection;
  readonly stored: ExternalUri;
  /** `trusted`: whether an admin chose the place, the asker or who wrote the URI. */
  readonly led: Required<Pick<ProviderTarget, 'trusted' | 'connection'>>;
}

/** The connection that an `external://` URI names, which the asker may use. */
async function usableConnection(catalog: CatalogTransaction, given: ExternalUri): Promise<UsableConnection> {
  const name = given.host;
  // Only the scheme and the path: a query may hold somebody's secret all the same.
  if (name === '')
    throw new PgPierError('connectionHostEmpty', {
      uri: formatUri({ scheme: given.scheme, host: '', path: given.path, query: '', parameters: [] }),
    });
  const connection = await catalog.connections.find(name);
  await catalog.privileges.require('USAGE', name, connection);
  if (connection === undefined) throw new PgPierError('connectionNotLoaded', { name });
  const stored = parseUri(connection.uri.reveal());
  const { id, owner, version } = connection;
  return { connection, stored, led: { trusted: await isTrusted(catalog, connection.author), connection: { id, name, owner, version } } };
}

async function isTrusted(catalog: CatalogTransaction, author: number): Promise<boolean> {
  return (await catalog.privileges.isAdmin()) || (await catalog.roles.isAdminRole(author));
}

async function resolveConnection(catalog: CatalogTransaction, given: ExternalUri): Promise<StorageTarget> {
  const { connection, stored, led } = await usableConnection(catalog, given);
  const { name, fallback } = connection;
  if (connection.type !== 'STORAGE') throw new PgPierError('connectionTypeMismatch', { wanted: 'STORAGE', found: connection.type });
  if (findStorage(stored.scheme) === undefined) throw new PgPierError('connectionNotStorage', { name, scheme: stored.scheme });
  const uri = below(name, stored, given.path);
  const first = { uri: formatUri(uri), ...led };
  if (stored.scheme !== 'userfile') {
    if (fallback === undefined) return first;
    const second = formatUri(below(name, parseUri(fallback.uri.reveal()), given.path));
    return { ...first, fallback: { uri: second, trusted: await isTrusted(catalog, fallback.author) } };
  }
  // The files of whoever wrote the URI: USAGE on the connection is the right to them.
  if (!(await catalog.roles.namesOf([connection.author])).has(connection.author)) throw new PgPierError('userfileOwnerGone', { name });
  return { ...first, ...(await userfileOf(catalog, uri, connection.author)) };
}

function below(name: string, stored: ExternalUri, given: string): ExternalUri {
  return isWithoutBucket(stored) ? withBucket(name, stored, given) : withSubPath(stored, given);
}

/** The first segment behind the name of a bucket-less connection is the bucket. */
function withBucket(name: string, stored: ExternalUri, given: string): ExternalUri {
  const { path, ...rest } = withSubPath(stored, given);
  const [, bucket = '', below = ''] = /^\/?([^/]*)(.*)$/s.exec(path) ?? [];
  if (bucket === '') throw new PgPierError('connectionBucketMissing', { name });
  const uri = { ...rest, host: bucket, path: below };
  requireStorage(uri.scheme).validate(uri);
  return uri;
}

/**
 * Whose files a `userfile://` URI means when the role `holder` (an oid) says it; nothing for other schemes. A role's own files, and names that it was first
 * to write under or that are still free, are its own; all others are for admins. Throws `userfileDenied`, `roleMissing`.
 */
async function userfileOf(catalog: CatalogTransaction, uri: ExternalUri, holder: number): Promise<Pick<StorageTarget, 'userfile'>> {
  if (uri.scheme !== 'userfile') return {};
  const { place } = parseUserfileUri(uri);
  if (place.kind === 'own') return { userfile: { owner: holder, name: '' } };
  const name = place.kind === 'role' ? '' : place.name;
  const owner = place.kind === 'role' ? await catalog.roles.oidOf(place.role) : await catalog.userfiles.ownerOf(place.name);
  if (owner === holder) return { userfile: { owner, name } };
  if (owner === undefined ? !isReserved(name) : await catalog.roles.isAdminRole(holder)) {
    return { userfile: { owner: owner ?? holder, name } };
  }
  throw new PgPierError('userfileDenied', { prefix: uri.host });
}

/** Names that the catalog gives (catalog/userfiles.ts). */
const isReserved = (name: string): boolean => name.startsWith('pgpier.');

/** Throws `implicitAccessDenied`. `provider` is CockroachDB's word for it. */
export async function requireImplicitAccess(catalog: CatalogTransaction, provider: string): Promise<void> {
  if (await catalog.privileges.hasSystem('EXTERNALIOIMPLICITACCESS')) return;
  throw new PgPierError('implicitAccessDenied', { provider });
}
