/** The operator's way to files of userfile://: into the catalog with PgPier's own login, past every right. */
import pg from 'pg';
import { systemIdentifier } from '../../catalog/cluster.ts';
import { PgPierError } from '../../errors.ts';
import type { CatalogLogin, Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { parseUserfileUri, roleHost } from '../../external/storage/userfileUri.ts';
import { cleanPath, type ExternalUri, formatUri, parseUri } from '../../external/uri.ts';
import type { Config } from '../config.ts';
import { findCatalog } from '../findCatalog.ts';
import type { ServiceLogin } from '../serviceLogin.ts';

/** A path on the command line: where it lies, and what to call it in messages. */
export interface FilePlace {
  readonly storage: Storage;
  /** Below the storage; '' for all of it. */
  readonly path: string;
  /** Of a path in the same place. */
  uriOf(path: string): string;
}

export interface CatalogFiles {
  /** A path, or a `userfile://` URI. @throws PgPierError 22023, 42704 */
  place(text: string): Promise<FilePlace>;
  close(): Promise<void>;
}

/** @throws Error in words for the person at the terminal */
export async function openCatalogFiles(config: Config, user: string | undefined): Promise<CatalogFiles> {
  const { target, service, elsewhere, login } = await findCatalog(config);
  const backend = await connect(service.config);
  const storages = new Map<string, Storage>();
  try {
    const catalog = await connectCatalog(login, elsewhere ?? service);
    try {
      await mustBelong(catalog, backend);
      const role = user ?? target.user;
      const self = await oidOf(backend, role);
      return {
        async place(text) {
          const { uri, path } = readPath(text, role);
          const owner = await ownerOf(uri, self, backend, catalog);
          const key = `${owner.owner} ${owner.name}`;
          const settings = { nodeId: config.nodeId, allowedNetworks: [], catalog: login };
          const storage = storages.get(key) ?? (await openStorage({ uri: 'userfile:///', trusted: true, userfile: owner }, settings));
          storages.set(key, storage);
          return {
            storage,
            path,
            uriOf: (each) => formatUri({ scheme: 'userfile', host: uri.host, path: `/${each}`, query: '', parameters: [] }),
          };
        },
        async close() {
          for (const storage of storages.values()) await storage.close();
          await catalog.end();
          await backend.end();
        },
      };
    } catch (error) {
      await catalog.end().catch(() => {});
      throw error;
    }
  } catch (error) {
    await backend.end().catch(() => {});
    throw error;
  }
}

/** `path/to/file` or a URI; the host is always told, so that messages say whose file it is. */
function readPath(text: string, role: string): { readonly uri: ExternalUri; readonly path: string } {
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) {
    const path = text.startsWith('/') ? text : `/${text}`;
    const below = path.endsWith('/') ? path.slice(0, -1) : path;
    if (below !== '' && cleanPath(below) !== below) throw new PgPierError('userfilePathChanges', { path, normal: cleanPath(path) });
    return { uri: { scheme: 'userfile', host: roleHost(role), path, query: '', parameters: [] }, path: path.slice(1) };
  }
  const uri = parseUri(text);
  if (uri.scheme !== 'userfile') throw new PgPierError('unsupportedStorageScheme', { scheme: uri.scheme });
  parseUserfileUri(uri);
  return { uri: uri.host === '' ? { ...uri, host: roleHost(role) } : uri, path: uri.path.replace(/^\//, '') };
}

async function ownerOf(uri: ExternalUri, self: number, backend: pg.Client, catalog: pg.Client): Promise<{ owner: number; name: string }> {
  const { place } = parseUserfileUri({ ...uri, path: '/' });
  switch (place.kind) {
    case 'own':
      return { owner: self, name: '' };
    case 'role':
      return { owner: await oidOf(backend, place.role), name: '' };
    case 'named': {
      const { rows } = await catalog.query('select p.owner from pgpier.userfile_prefix p where p.name = $1', [place.name]);
      return { owner: rows[0]?.owner ?? self, name: place.name };
    }
  }
}

async function oidOf(backend: pg.Client, role: string): Promise<number> {
  const { rows } = await backend.query('select r.oid from pg_catalog.pg_roles r where r.rolname::pg_catalog.text = $1', [role]);
  if (rows[0] === undefined) throw new PgPierError('roleMissing', { role });
  return rows[0].oid;
}

async function connect(config: pg.ClientConfig): Promise<pg.Client> {
  const client = new pg.Client({
    ...config,
    application_name: 'pgpier userfile',
    options: '-c search_path=',
    connectionTimeoutMillis: 10_000,
  });
  // A connection that breaks shows at the next query.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The login without its own database may have none of ours yet: the program that serves makes it, not this one. */
async function connectCatalog(login: CatalogLogin, { config }: ServiceLogin): Promise<pg.Client> {
  const absent = () =>
    new Error(`the database "${login.database}" holds no files yet: start this version of pgpier on it once, which makes its tables`);
  const client = await connect({ ...config, database: login.database }).catch((error) => {
    throw (error as { code?: string }).code === '3D000' ? absent() : error;
  });
  const { rows } = await client.query(`select pg_catalog.to_regclass('pgpier.userfile') is not null as yes`);
  if (rows[0].yes) return client;
  await client.end();
  throw absent();
}

/** On another cluster the same oids are other roles. */
async function mustBelong(catalog: pg.Client, backend: pg.Client): Promise<void> {
  const found = await systemIdentifier({ query: async (text, values) => (await backend.query(text, values as unknown[])).rows });
  const { rows } = await catalog.query('select c.system_identifier::pg_catalog.text as id from pgpier.cluster c');
  const stored = rows[0]?.id as string | null | undefined;
  if (found !== undefined && stored && stored !== found)
    throw new PgPierError('catalogOfAnotherCluster', { found: stored, expected: found });
}
