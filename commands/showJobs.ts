/** SHOW JOBS, SHOW JOB id, SHOW JOB WHEN COMPLETE id: jobs as CockroachDB lists them (spec: §7). */
import type { Job } from '../catalog/jobs.ts';
import type { Column, Value } from '../protocol/values.ts';
import type { Command, CommandContext } from './command.ts';
import { jobIdOf } from './jobId.ts';

const columns: readonly Column[] = [
  { name: 'job_id', type: 'int8' },
  { name: 'job_type', type: 'text' },
  { name: 'description', type: 'text' },
  { name: 'statement', type: 'text' },
  { name: 'user_name', type: 'text' },
  { name: 'status', type: 'text' },
  { name: 'running_status', type: 'text' },
  { name: 'created', type: 'timestamptz' },
  { name: 'started', type: 'timestamptz' },
  { name: 'finished', type: 'timestamptz' },
  { name: 'modified', type: 'timestamptz' },
  { name: 'fraction_completed', type: 'float8' },
  { name: 'error', type: 'text' },
  { name: 'coordinator_id', type: 'int8' },
  // There for scripts that name them; always NULL here.
  { name: 'trace_id', type: 'int8' },
  { name: 'execution_errors', type: 'text' },
];

const privilege = 'none: shows one’s own jobs, and all with VIEWJOB or CONTROLJOB';

/** The jobs that the asker may see, as rows, under their owners' present names. */
async function rowsOf({ catalog }: CommandContext, jobs: readonly Job[]): Promise<readonly (readonly Value[])[]> {
  const visible = await catalog.privileges.visibleJobs(jobs);
  const names = await catalog.roles.namesOf([...new Set(visible.map(({ owner }) => owner))]);
  return visible.map((job) => [
    BigInt(job.id),
    job.type,
    job.description,
    '',
    names.get(job.owner) ?? job.askedAs,
    job.state,
    job.runningStatus,
    job.created,
    job.started,
    job.finished,
    job.modified,
    job.fraction ?? 0,
    job.error?.message ?? '',
    job.coordinator,
    null,
    null,
  ]);
}

export const showJobs: Command<'showJobs'> = {
  kind: 'showJobs',
  statement: 'SHOW JOBS',
  columns,
  privilege,
  nature: 'read',
  async run(context) {
    return { rows: await rowsOf(context, await context.catalog.jobs.list()), tag: 'SHOW' };
  },
};

export const showJob: Command<'showJob'> = {
  kind: 'showJob',
  statement: 'SHOW JOB',
  columns,
  privilege,
  nature: 'read',
  async run(context, statement) {
    const job = await context.catalog.jobs.find(jobIdOf(context.text(statement.job)));
    return { rows: job === undefined ? [] : await rowsOf(context, [job]), tag: 'SHOW' };
  },
};

export const showJobWhenComplete: Command<'showJobWhenComplete'> = {
  kind: 'showJobWhenComplete',
  statement: 'SHOW JOB WHEN COMPLETE',
  columns,
  privilege,
  nature: 'job',
  async run(context, statement) {
    const { jobs, privileges } = context.catalog;
    const ids = [...new Set(statement.jobs.map((job) => jobIdOf(context.text(job))))];
    const find = async () => (await Promise.all(ids.map(async (id) => jobs.find(id)))).filter((job) => job !== undefined);
    for (const { id } of await privileges.visibleJobs(await find())) await context.jobs.ended(id);
    return { rows: await rowsOf(context, await find()), tag: 'SHOW' };
  },
};
