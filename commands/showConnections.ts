/** SHOW CONNECTIONS and DESC CONNECTION, Databend's form: every value masked (spec: databend §1.2). Connections of either dialect are shown. */
import type { ExternalConnection } from '../catalog/connections.ts';
import { PgPierError } from '../errors.ts';
import { connectionOfUri, mask } from '../external/storageTypes.ts';
import { parseUri } from '../external/uri.ts';
import type { Value } from '../protocol/values.ts';
import type { Command } from './command.ts';

const columns = [
  { name: 'name', type: 'text' },
  { name: 'storage_type', type: 'text' },
  { name: 'storage_params', type: 'text' },
] as const;

function rowOf({ name, uri }: ExternalConnection): readonly Value[] {
  const { type, values } = connectionOfUri(parseUri(uri.reveal()));
  const pairs = [...values].sort(([a], [b]) => (a < b ? -1 : 1)).map(([key, value]) => `${key}=${mask(value)}`);
  return [name, type, pairs.join(' ')];
}

export const showConnections: Command<'showConnections'> = {
  kind: 'showConnections',
  statement: 'SHOW CONNECTIONS',
  columns,
  privilege: 'none: shows those with USAGE, and one’s own',
  nature: 'read',
  async run({ catalog }) {
    const connections = await catalog.privileges.visible(await catalog.connections.list());
    return { rows: connections.map(rowOf), tag: 'SHOW' };
  },
};

export const describeConnection: Command<'describeConnection'> = {
  kind: 'describeConnection',
  statement: 'DESC CONNECTION',
  columns,
  privilege: 'USAGE on it, or being its owner',
  nature: 'read',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    const connection = await connections.find(name);
    const allowed =
      connection === undefined
        ? await privileges.isAdmin()
        : (await privileges.hasOn(connection, 'USAGE')) || (await privileges.isOwner(connection));
    if (!allowed) throw new PgPierError('showConnectionDenied', { name });
    if (connection === undefined) throw new PgPierError('databendConnectionMissing', { name });
    return { rows: [rowOf(connection)], tag: 'SHOW' };
  },
};
