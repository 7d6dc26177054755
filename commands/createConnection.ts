/** CREATE CONNECTION, Databend's form (spec: databend §1): credentials without a bucket. Nothing is dialled: there is no place to look at. */
import { Secret } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { requireStorage } from '../external/storage/storages.ts';
import { uriOfConnection } from '../external/storageTypes.ts';
import { type ExternalUri, formatUri } from '../external/uri.ts';
import { requireImplicitAccess } from '../jobs/destination.ts';
import type { ConnectionOption } from '../statement/statement.ts';
import type { Command, CommandContext } from './command.ts';
import { checkName } from './connectionUri.ts';

export const createConnection: Command<'createConnection'> = {
  kind: 'createConnection',
  statement: 'CREATE CONNECTION',
  columns: null,
  privilege: 'EXTERNALCONNECTION (system), which is CREATE CONNECTION ON *.*; OR REPLACE also UPDATE on the one that is there',
  nature: 'catalogChange',
  async run(context, statement) {
    const { connections, privileges, roles, grants } = context.catalog;
    if (!(await privileges.hasSystem('EXTERNALCONNECTION'))) throw new PgPierError('createDatabendConnectionDenied');
    const name = context.text(statement.name);
    checkName(name);
    const uri = readOptions(context, statement.options);
    const { word: provider, usesAmbientCredentials } = requireStorage(uri.scheme);
    if (usesAmbientCredentials(uri)) await requireImplicitAccess(context.catalog, provider);
    const secret = new Secret(formatUri(uri));
    const made = await connections.create({ name, type: 'STORAGE', provider, uri: secret });
    if (made !== undefined) {
      const { oid } = await roles.asker();
      await grants.grant({ target: { kind: 'connection', connection: made }, grantee: oid, privileges: ['ALL'], withGrantOption: false });
    } else if (statement.orReplace) {
      const present = await connections.find(name);
      await privileges.require('UPDATE', name, present);
      // What is replaced is replaced as a whole.
      await connections.alter(present!, { provider, uri: secret, fallback: undefined });
    } else if (statement.ifNotExists) {
      context.notice({ severity: 'NOTICE', sqlstate: '42710', message: `Connection '${name}' already exists, skipping` });
    } else throw new PgPierError('databendConnectionExists', { name });
    return { rows: [], tag: 'CREATE CONNECTION' };
  },
};

function readOptions(context: CommandContext, options: readonly ConnectionOption[]): ExternalUri {
  const values = new Map(options.map(({ key, value }) => [key, context.text(value)]));
  const type = values.get('storage_type');
  values.delete('storage_type');
  if (type === undefined) throw new PgPierError('storageTypeMissing');
  const uri = uriOfConnection(type, values);
  // With any bucket: the rest of the URI is judged as it will be with a real one.
  requireStorage(uri.scheme).validate({ ...uri, host: 'bucket' });
  return uri;
}
