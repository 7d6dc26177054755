/** What statements that are jobs answer: BACKUP and RESTORE have the same columns (spec: cockroachdb §4.1). */
import type { JobResult, JobSpec } from '../jobs/job.ts';
import type { Column } from '../protocol/values.ts';
import type { CommandContext, CommandResult } from './command.ts';

export const jobColumns: readonly Column[] = [
  { name: 'job_id', type: 'int8' },
  { name: 'status', type: 'text' },
  { name: 'fraction_completed', type: 'float8' },
  { name: 'rows', type: 'int8' },
];

export const detachedJobColumns: readonly Column[] = [{ name: 'job_id', type: 'int8' }];

/** Waits for the job: one row of `jobColumns`. */
export async function runJob({ jobs }: CommandContext, spec: JobSpec): Promise<CommandResult> {
  const { id, result }: { id: string; result: JobResult } = await jobs.run(spec);
  return { rows: [[BigInt(id), 'succeeded', 1, result.rows]], tag: spec.type };
}

/** Begins it when the client's transaction commits: one row of `detachedJobColumns`. */
export async function createJob({ jobs }: CommandContext, spec: JobSpec): Promise<CommandResult> {
  return { rows: [[BigInt(await jobs.create(spec))]], tag: spec.type };
}
