/** CREATE EXTERNAL CONNECTION. The checks come in CockroachDB's order (spec: §1.2), which scripts and their tests rely on. */
import { Secret } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import { typeOf } from '../external/providers.ts';
import { formatUri } from '../external/uri.ts';
import type { Command } from './command.ts';
import { checkLive, checkName, checkUri, readUri } from './connectionUri.ts';

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
    const found = await checkUri(catalog, uri);
    await checkLive(context, { statement: 'CREATE EXTERNAL CONNECTION', connection: { name } }, found, uri);
    const made = await catalog.connections.create({
      name,
      type: typeOf(found),
      provider: found.provider.word,
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
