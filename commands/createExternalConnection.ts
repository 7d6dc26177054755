/** CREATE EXTERNAL CONNECTION. The checks come in CockroachDB's order (spec: §1.2), which scripts and their tests rely on. */
import { type CatalogTransaction, Secret } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { redactUri } from '../external/redact.ts';
import { findStorage, type StorageProvider } from '../external/storage/storages.ts';
import { type ExternalUri, formatUri, parseUri } from '../external/uri.ts';
import { requireImplicitAccess, targetOfAsker } from '../jobs/destination.ts';
import type { Command, CommandContext } from './command.ts';

/** Of its UTF-8 form. Longer ones do not fit an index, and nobody writes them in a URI. */
const longestName = 1024;

export const createExternalConnection: Command<'createExternalConnection'> = {
  kind: 'createExternalConnection',
  statement: 'CREATE EXTERNAL CONNECTION',
  columns: null,
  privilege: 'EXTERNALCONNECTION (system); also EXTERNALIOIMPLICITACCESS where the URI uses the machine’s own credentials',
  nature: 'catalogChange',
  async run(context, statement) {
    const { catalog } = context;
    if (!(await catalog.privileges.hasSystem('EXTERNALCONNECTION'))) throw new PgPierError('createConnectionDenied');
    const name = context.text(statement.name);
    checkName(name);
    const uri = readUri(context.text(statement.uri));
    const provider = await checkUri(catalog, uri);
    await checkLive(context, provider, uri);
    const made = await catalog.connections.create({
      name,
      type: 'STORAGE',
      provider: provider.word,
      uri: new Secret(formatUri(uri)),
    });
    if (made === undefined) {
      if (!statement.ifNotExists) throw new PgPierError('connectionExists', { name });
      const message = `external connection with connection name '${name}' already exists, skipping`;
      context.notice({ severity: 'NOTICE', sqlstate: '42710', message });
    } else {
      const { oid } = await catalog.roles.asker();
      const target = { kind: 'connection', connection: made } as const;
      await catalog.grants.grant({ target, grantee: oid, privileges: ['ALL'], withGrantOption: false });
    }
    return { rows: [], tag: 'CREATE EXTERNAL CONNECTION' };
  },
};

function checkName(name: string): void {
  if (name === '') throw new PgPierError('connectionNameInvalid', { reason: 'the name must not be empty' });
  if (Buffer.byteLength(name) > longestName)
    throw new PgPierError('connectionNameInvalid', { reason: `the name is longer than ${longestName} bytes` });
}

/** What cannot be redacted is not taken: it could not be shown either. */
function readUri(text: string): ExternalUri {
  try {
    const uri = parseUri(text);
    redactUri(text);
    return uri;
  } catch (error) {
    if (error instanceof PgPierError) throw new PgPierError('connectionUriUnreadable', { reason: error.message });
    throw error;
  }
}

async function checkUri(catalog: CatalogTransaction, uri: ExternalUri): Promise<StorageProvider> {
  const provider = findStorage(uri.scheme);
  if (provider === undefined) throw new PgPierError('connectionSchemeUnknown', { scheme: uri.scheme });
  try {
    provider.validate(uri);
  } catch (error) {
    throw rejected(provider, error);
  }
  if (provider.usesAmbientCredentials(uri)) await requireImplicitAccess(catalog, provider.word);
  return provider;
}

async function checkLive(context: CommandContext, provider: StorageProvider, uri: ExternalUri): Promise<void> {
  const target = await targetOfAsker(context.catalog, uri);
  try {
    await context.workers.run({ kind: 'checkStorage', target }, { signal: context.signal, onNotice: (notice) => context.notice(notice) });
  } catch (error) {
    if (context.signal.aborted) throw context.signal.reason;
    throw rejected(provider, error);
  }
}

/** The cause in CockroachDB's frame. What says nothing about the location (workers busy, shutdown) stays as it is. */
function rejected(provider: StorageProvider, error: unknown): unknown {
  if (!(error instanceof PgPierError) || ['57P01', '53000', 'XX000'].includes(error.data.sqlstate)) return error;
  const framed = new PgPierError('connectionRejected', { provider: provider.word, cause: error.message });
  return PgPierError.from({ ...error.data, message: framed.message });
}
