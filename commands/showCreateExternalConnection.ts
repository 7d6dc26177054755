/** SHOW CREATE [ALL] EXTERNAL CONNECTION[S]: the statement that makes it again, credentials included. */
import type { Secret } from '../catalog/catalog.ts';
import type { ExternalConnection } from '../catalog/connections.ts';
import { PgPierError } from '../errors.ts';
import { redactUri } from '../external/redact.ts';
import { connectionOfUri, isWithoutBucket } from '../external/storageTypes.ts';
import { type ExternalUri, parseUri } from '../external/uri.ts';
import type { Value } from '../protocol/values.ts';
import type { Asker, Command } from './command.ts';

const columns = [
  { name: 'connection_name', type: 'text' },
  { name: 'create_statement', type: 'text' },
] as const;

function rowOf({ name, uri, fallback }: ExternalConnection, asker: Asker): readonly Value[] {
  const print = (secret: Secret): string => (hidesSecrets(asker) ? redactUri(secret.reveal()) : secret.reveal());
  const shown = print(uri);
  const parsed = parseUri(shown);
  const create = isWithoutBucket(parsed)
    ? createConnection(name, parsed)
    : `CREATE EXTERNAL CONNECTION ${quoted(name)} AS ${quoted(shown)}`;
  const second = fallback && `ALTER EXTERNAL CONNECTION ${quoted(name)} SET FALLBACK ${quoted(print(fallback.uri))}`;
  return [name, second === undefined ? create : `${create}; ${second}`];
}

/** Databend's form: without a bucket the other would be refused. */
function createConnection(name: string, uri: ExternalUri): string {
  const { type, values } = connectionOfUri(uri);
  const options = [...values].map(([key, value]) => ` ${key.toUpperCase()} = ${quoted(value)}`);
  return `CREATE CONNECTION ${quoted(name)} STORAGE_TYPE = ${quoted(type)}${options.join('')}`;
}

/** `SET pgpier.show_secrets = off`: for screens that others see. */
function hidesSecrets({ settings }: Asker): boolean {
  return ['off', 'false', 'no', '0', 'f', 'n', 'of'].includes((settings['pgpier.show_secrets'] ?? '').trim().toLowerCase());
}

/** Backslashes would mean something with standard_conforming_strings off; E'…' reads the same whatever it is. */
function quoted(text: string): string {
  const doubled = text.replaceAll("'", "''");
  return doubled.includes('\\') ? `E'${doubled.replaceAll('\\', '\\\\')}'` : `'${doubled}'`;
}

export const showCreateAllExternalConnections: Command<'showCreateAllExternalConnections'> = {
  kind: 'showCreateAllExternalConnections',
  statement: 'SHOW CREATE ALL EXTERNAL CONNECTIONS',
  columns,
  privilege: 'VIEWCLUSTERMETADATA (system)',
  nature: 'read',
  async run({ catalog, asker }) {
    if (!(await catalog.privileges.hasSystem('VIEWCLUSTERMETADATA'))) throw new PgPierError('showCreateAllDenied');
    const connections = await catalog.connections.list();
    return { rows: connections.map((connection) => rowOf(connection, asker)), tag: 'SHOW' };
  },
};

export const showCreateExternalConnection: Command<'showCreateExternalConnection'> = {
  kind: 'showCreateExternalConnection',
  statement: 'SHOW CREATE EXTERNAL CONNECTION',
  columns,
  privilege: 'VIEWCLUSTERMETADATA (system), or being its owner',
  nature: 'read',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    const connection = await connections.find(name);
    const own = connection !== undefined && (await privileges.isOwner(connection));
    if (!own && !(await privileges.hasSystem('VIEWCLUSTERMETADATA'))) throw new PgPierError('showCreateConnectionDenied', { name });
    if (connection === undefined) throw new PgPierError('connectionMissing', { name });
    return { rows: [rowOf(connection, context.asker)], tag: 'SHOW' };
  },
};
