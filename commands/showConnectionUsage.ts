/** SHOW EXTERNAL CONNECTION name USAGE, SHOW EXTERNAL CONNECTIONS USAGE: who used them, when, for what, and how it ended. */
import type { RecordedUse } from '../catalog/connectionUse.ts';
import { PgPierError } from '../errors.ts';
import type { Value } from '../protocol/values.ts';
import type { Command } from './command.ts';

/** The rest is in the view `pgpier.connection_usage` of the catalog. */
const mostRows = 1_000;

function rowOf(use: RecordedUse): readonly Value[] {
  const number = (text: string | null): bigint | null => (text === null ? null : BigInt(text));
  return [
    use.connection,
    use.user,
    use.statement,
    number(use.job),
    use.started,
    use.finished,
    use.outcome,
    use.sqlstate,
    number(use.bytesWritten),
    number(use.bytesRead),
    use.credentials,
  ];
}

export const showConnectionUsage: Command<'showConnectionUsage'> = {
  kind: 'showConnectionUsage',
  statement: 'SHOW EXTERNAL CONNECTIONS USAGE',
  columns: [
    { name: 'connection_name', type: 'text' },
    { name: 'user_name', type: 'text' },
    { name: 'statement', type: 'text' },
    { name: 'job_id', type: 'int8' },
    { name: 'started', type: 'timestamptz' },
    { name: 'finished', type: 'timestamptz' },
    { name: 'outcome', type: 'text' },
    { name: 'sqlstate', type: 'text' },
    { name: 'bytes_written', type: 'int8' },
    { name: 'bytes_read', type: 'int8' },
    { name: 'credentials', type: 'text' },
  ],
  privilege:
    'none: shows one’s own uses and those of one’s own connections, and all with VIEWJOB or CONTROLJOB; of a name, also USAGE on it',
  nature: 'read',
  async run(context, statement) {
    const { connections, privileges, usage } = context.catalog;
    const name = statement.name === undefined ? undefined : context.text(statement.name);
    const all = await privileges.seesAllWork();
    const uses = await usage.list({ name, all, most: mostRows + 1 });
    if (name !== undefined && uses.length === 0) {
      // A dropped one is known by what is remembered of it.
      const connection = await connections.find(name);
      const allowed = connection === undefined ? all : all || (await privileges.hasAnyOn(connection));
      if (!allowed) throw new PgPierError('showConnectionDenied', { name });
      if (connection === undefined) throw new PgPierError('connectionMissing', { name });
    }
    if (uses.length > mostRows) {
      const message = `only the latest ${mostRows} uses are shown`;
      const hint = 'The view pgpier.connection_usage in the database of the catalog has all of them.';
      context.notice({ severity: 'NOTICE', sqlstate: '00000', message, hint });
    }
    return { rows: uses.slice(0, mostRows).map(rowOf), tag: 'SHOW' };
  },
};
