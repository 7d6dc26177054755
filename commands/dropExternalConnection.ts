/** DROP EXTERNAL CONNECTION. A missing one is no error, as in CockroachDB, but it is said. */
import type { Command } from './command.ts';
import { tellDependants } from './dropDependants.ts';

export const dropExternalConnection: Command<'dropExternalConnection'> = {
  kind: 'dropExternalConnection',
  statement: 'DROP EXTERNAL CONNECTION',
  columns: null,
  privilege: 'DROP on it; admins alone where there is none of that name',
  nature: 'catalogChange',
  async run(context, statement) {
    const { connections, privileges } = context.catalog;
    const name = context.text(statement.name);
    // Without the right nothing is locked, and nobody learns that another session is changing something.
    await privileges.require('DROP', name, await connections.find(name));
    await connections.lockName(name);
    const connection = await connections.find(name);
    await privileges.require('DROP', name, connection);
    if (connection === undefined) {
      context.notice({ severity: 'NOTICE', sqlstate: '00000', message: `external connection with name ${name} does not exist, skipping` });
    } else {
      await tellDependants(context, connection, statement.restrict);
      await connections.drop(connection);
    }
    return { rows: [], tag: 'DROP EXTERNAL CONNECTION' };
  },
};
