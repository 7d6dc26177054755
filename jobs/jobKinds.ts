/** Every kind of job, loaded when the first job of its kind begins. A new one is a file and a line here. */
import type { JobKind, JobType } from './job.ts';

export type JobKinds = { readonly [Type in JobType]?: () => Promise<JobKind> };

/** A kind's payload is what its own statement handed over: nothing else makes jobs of that type. */
export const jobKinds: JobKinds = {
  BACKUP: async () => (await import('./backup/backupJob.ts')).backupJob as JobKind,
  RESTORE: async () => (await import('./restore/restoreJob.ts')).restoreJob as JobKind,
};
