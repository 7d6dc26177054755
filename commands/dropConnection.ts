/** DROP CONNECTION, Databend's form: unlike DROP EXTERNAL CONNECTION it fails on a missing one. */
import { PgPierError } from '../errors.ts';
import type { Command } from './command.ts';
import { tellDependants } from './dropDependants.ts';

export const dropConnection: Command<'dropConnection'> = {
  kind: 'dropConnection',
  statement: 'DROP CONNECTION',
  columns: null,
  privilege: 'DROP on it; admins alone where there is none of that name',
  nature: 'catalogChange',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    await privileges.require('DROP', name, await connections.find(name));
    await connections.lockName(name);
    const connection = await connections.find(name);
    await privileges.require('DROP', name, connection);
    if (connection !== undefined) {
      await tellDependants(context, connection, statement.restrict);
      await connections.drop(connection);
    } else if (!statement.ifExists) throw new PgPierError('databendConnectionMissing', { name });
    else context.notice({ severity: 'NOTICE', sqlstate: '00000', message: `Connection '${name}' does not exist, skipping` });
    return { rows: [], tag: 'DROP CONNECTION' };
  },
};
