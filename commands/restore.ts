/** RESTORE: databases or tables of a backup, by a job. */
import { PgPierError } from '../errors.ts';
import { connectionsOf, nodeOf, resolveCollection } from '../jobs/destination.ts';
import type { JobSpec } from '../jobs/job.ts';
import type { RestorePayload } from '../jobs/restore/restorePayload.ts';
import type { StatementOf } from '../statement/statement.ts';
import type { Command, CommandContext } from './command.ts';
import { jobDescription } from './jobDescription.ts';
import { createJob, detachedJobColumns, jobColumns, runJob } from './jobResult.ts';

type Restore = StatementOf<'restore' | 'restoreDetached'>;

const privilege = 'CREATEDB for a database, CREATE in the target for tables, as PostgreSQL says; the destination check';

export const restore: Command<'restore'> = {
  kind: 'restore',
  statement: 'RESTORE',
  columns: jobColumns,
  privilege,
  nature: 'job',
  async run(context, statement) {
    return runJob(context, await jobOf(context, statement));
  },
};

export const restoreDetached: Command<'restoreDetached'> = {
  kind: 'restoreDetached',
  statement: 'RESTORE',
  columns: detachedJobColumns,
  privilege,
  nature: 'catalogChange',
  async run(context, statement) {
    return createJob(context, await jobOf(context, statement));
  },
};

/** What is wrong with the statement itself is told now; what the backup holds is for the job to see. */
async function jobOf(context: CommandContext, statement: Restore): Promise<JobSpec> {
  const { targets, options, from } = statement;
  const uri = context.text(statement.uri);
  const target = await resolveCollection(context, uri, 'RESTORE');
  if (options.newDbName !== undefined && !(targets.kind === 'database' && targets.databases.length === 1))
    throw new PgPierError('restoreNewDbName');
  if (options.intoDb !== undefined && targets.kind !== 'table') throw new PgPierError('restoreIntoDb');
  if (options.verifyBackupTableData) throw new PgPierError('notSupported', { what: 'RESTORE … WITH verify_backup_table_data' });
  const payload: RestorePayload = {
    uri,
    choice: from.kind === 'latest' ? from : { kind: 'subdirectory', path: context.text(from.path) },
    targets,
    ...(options.newDbName === undefined ? {} : { newDbName: context.text(options.newDbName) }),
    ...(options.intoDb === undefined ? {} : { intoDb: context.text(options.intoDb) }),
    schemaOnly: options.schemaOnly,
    skipMissingForeignKeys: options.skipMissingForeignKeys,
    grants: options.grants,
  };
  return {
    type: 'RESTORE',
    description: jobDescription(statement, context),
    payload,
    node: nodeOf(target),
    connections: connectionsOf(target),
  };
}
