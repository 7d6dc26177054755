/** BACKUP: databases or tables to a collection on an external storage, by a job. */
import { PgPierError } from '../errors.ts';
import type { BackupPayload } from '../jobs/backup/backupPayload.ts';
import { connectionsOf, nodeOf, resolveCollection } from '../jobs/destination.ts';
import type { JobSpec } from '../jobs/job.ts';
import { patternText } from '../statement/names.ts';
import type { BackupTargets, StatementOf, TablePattern } from '../statement/statement.ts';
import type { Command, CommandContext } from './command.ts';
import { jobDescription } from './jobDescription.ts';
import { createJob, detachedJobColumns, jobColumns, runJob } from './jobResult.ts';

const privilege = 'SELECT on every table and sequence, as PostgreSQL says; the destination check';

export const backup: Command<'backup'> = {
  kind: 'backup',
  statement: 'BACKUP',
  columns: jobColumns,
  privilege,
  nature: 'job',
  async run(context, statement) {
    return runJob(context, await jobOf(context, statement));
  },
};

export const backupDetached: Command<'backupDetached'> = {
  kind: 'backupDetached',
  statement: 'BACKUP',
  columns: detachedJobColumns,
  privilege,
  nature: 'catalogChange',
  async run(context, statement) {
    return createJob(context, await jobOf(context, statement));
  },
};

/** The destination is looked at now; databases, tables and rights to them by the job, in its snapshot. */
async function jobOf(context: CommandContext, statement: StatementOf<'backup' | 'backupDetached'>): Promise<JobSpec> {
  const uri = context.text(statement.uri);
  const target = await resolveCollection(context, uri, 'BACKUP');
  const targets = targetsOf(statement.targets, context.asker.database);
  const payload = { uri, targets } satisfies BackupPayload;
  return {
    type: 'BACKUP',
    description: jobDescription(statement, context),
    payload,
    node: nodeOf(target),
    connections: connectionsOf(target),
  };
}

/** A pattern's first name of three is its database, `d.*` too where it is not a schema's of the session's database: `s.*` is far commoner. */
function targetsOf(targets: BackupTargets, home: string): BackupPayload['targets'] {
  if (targets.kind === 'database') return { kind: 'database', databases: [...new Set(targets.databases)] };
  const named = new Set<string>();
  const patterns = targets.patterns.map((pattern): TablePattern => {
    const full = pattern.names.length === (pattern.all ? 2 : 3);
    if (full) named.add(pattern.names[0]!);
    return full ? { ...pattern, names: pattern.names.slice(1) } : pattern;
  });
  if (named.size > 1) throw new PgPierError('backupOneDatabase');
  return { kind: 'table', database: [...named][0] ?? home, patterns, texts: targets.patterns.map(patternText) };
}
