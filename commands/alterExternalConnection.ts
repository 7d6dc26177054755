/** ALTER EXTERNAL CONNECTION: another URI, with other credentials, for the same name, owner and rights. Jobs take it up when they next ask for it. */
import { Secret } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { typeOf } from '../external/providers.ts';
import { formatUri } from '../external/uri.ts';
import type { Command } from './command.ts';
import { checkLive, checkUri, readUri } from './connectionUri.ts';

export const alterExternalConnection: Command<'alterExternalConnection'> = {
  kind: 'alterExternalConnection',
  statement: 'ALTER EXTERNAL CONNECTION',
  columns: null,
  privilege:
    'UPDATE on it (admins alone where there is none of that name); also EXTERNALIOIMPLICITACCESS where the URI uses the machine’s own credentials',
  nature: 'catalogChange',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    // Without the right nothing is locked, and nobody learns that another session is changing something.
    await privileges.require('UPDATE', name, await connections.find(name));
    await connections.lockName(name);
    const connection = await connections.find(name);
    await privileges.require('UPDATE', name, connection);
    if (connection === undefined) {
      if (!statement.ifExists) throw new PgPierError('connectionMissing', { name });
      context.notice({ severity: 'NOTICE', sqlstate: '00000', message: `external connection with name ${name} does not exist, skipping` });
      return { rows: [], tag: 'ALTER EXTERNAL CONNECTION' };
    }
    const uri = readUri(context.text(statement.uri));
    const found = await checkUri(context.catalog, uri);
    if (typeOf(found) !== connection.type)
      throw new PgPierError('connectionTypeFixed', { name, type: connection.type, wanted: typeOf(found) });
    await checkLive(context, found, uri);
    await connections.alter(connection, { provider: found.provider.word, uri: new Secret(formatUri(uri)) });
    return { rows: [], tag: 'ALTER EXTERNAL CONNECTION' };
  },
};
