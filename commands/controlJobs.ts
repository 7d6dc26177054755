/** PAUSE, RESUME and CANCEL JOB(S): requests that take effect at once; the worker that has the job answers them in its time (spec: §7). */

import type { JobRequest } from '../catalog/jobStates.ts';
import { PgPierError } from '../errors.ts';
import type { ControlJobsStatement } from '../statement/statement.ts';
import type { Command, CommandContext, CommandResult } from './command.ts';
import { jobIdOf } from './jobId.ts';

const shared = {
  columns: null,
  privilege: 'one’s own jobs; CONTROLJOB for those of others, admins for those of admins',
  nature: 'request',
} as const;

export const pauseJobs: Command<'pauseJobs'> = {
  kind: 'pauseJobs',
  statement: 'PAUSE JOBS',
  ...shared,
  run: (context, statement) => control(context, 'pause', statement),
};

export const resumeJobs: Command<'resumeJobs'> = {
  kind: 'resumeJobs',
  statement: 'RESUME JOBS',
  ...shared,
  run: (context, statement) => control(context, 'resume', statement),
};

export const cancelJobs: Command<'cancelJobs'> = {
  kind: 'cancelJobs',
  statement: 'CANCEL JOBS',
  ...shared,
  run: (context, statement) => control(context, 'cancel', statement),
};

/** All of them or, where one may not be touched or is not there, none; a refusal by a later one's state leaves what was asked of those before it. */
async function control(context: CommandContext, request: JobRequest, statement: ControlJobsStatement): Promise<CommandResult> {
  const { jobs, privileges } = context.catalog;
  const reason = statement.reason && context.text(statement.reason);
  const ids = [...new Set(statement.jobs.map((job) => jobIdOf(context.text(job))))];
  for (const id of ids) {
    const job = await jobs.find(id);
    if (job === undefined) throw new PgPierError('jobMissing', { id });
    await privileges.requireJobControl(job);
  }
  for (const id of ids) await context.jobs.request(request, id, reason);
  return { rows: [], tag: `${request.toUpperCase()} JOBS ${ids.length}` };
}
