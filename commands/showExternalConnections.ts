/** SHOW EXTERNAL CONNECTIONS and SHOW EXTERNAL CONNECTION name: what there is, redacted. */
import type { ExternalConnection } from '../catalog/connections.ts';
import { PgPierError } from '../errors.ts';
import { redactUri } from '../external/redact.ts';
import type { Value } from '../protocol/values.ts';
import type { Command } from './command.ts';

const columns = [
  { name: 'connection_name', type: 'text' },
  { name: 'connection_uri', type: 'text' },
  { name: 'connection_type', type: 'text' },
] as const;

function rowOf({ name, uri, type }: ExternalConnection): readonly Value[] {
  return [name, redactUri(uri.reveal()), type];
}

export const showExternalConnections: Command<'showExternalConnections'> = {
  kind: 'showExternalConnections',
  statement: 'SHOW EXTERNAL CONNECTIONS',
  columns,
  privilege: 'none: shows those with USAGE, and one’s own',
  nature: 'read',
  async run({ catalog }) {
    const connections = await catalog.privileges.visible(await catalog.connections.list());
    return { rows: connections.map(rowOf), tag: 'SHOW' };
  },
};

export const showExternalConnection: Command<'showExternalConnection'> = {
  kind: 'showExternalConnection',
  statement: 'SHOW EXTERNAL CONNECTION',
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
    if (connection === undefined) throw new PgPierError('connectionMissing', { name });
    return { rows: [rowOf(connection)], tag: 'SHOW' };
  },
};
