/** Worker processes, the logins of jobs, jobs themselves. */
import type { ErrorEntry } from './entry.ts';

export const jobsErrors = {
  // Worker processes and the logins of jobs. No class 08, which drivers take as the end of the client's own connection.
  workersStopped: { sqlstate: '57P01', text: 'PgPier is shutting down', hint: 'Try again once it is back.' },
  workersBusy: {
    sqlstate: '53000',
    text: 'no worker process was free for {minutes} minutes',
    hint: 'Start PgPier with more --workers, or wait for the running statements.',
  },
  workerEnded: {
    sqlstate: '58000',
    text: 'the worker process ended while it ran {task}',
    hint: 'What it had written was removed unless a warning says otherwise. A new worker process has taken its place: try again.',
  },
  jobLoginDenied: { sqlstate: '42501', text: 'permission denied to create the short-lived login of a job for role "{role}"' },
  jobBackendUnreachable: { sqlstate: '57P03', text: 'a worker process could not log in to PostgreSQL: {reason}' },
  jobBackendLost: { sqlstate: '58000', text: 'the connection to PostgreSQL was lost during {task}' },
  jobBackendProtocol: { sqlstate: '58000', text: 'PostgreSQL sent something unexpected during {task}: {detail}' },

  // Jobs.
  jobMissing: { sqlstate: '42704', text: 'job with ID {id} does not exist' },
  jobIdInvalid: { sqlstate: '22P02', text: 'invalid job ID: "{id}"', hint: 'SHOW JOBS lists them.' },
  jobStateRefuses: { sqlstate: '55000', text: 'job with status {state} cannot be {what}' },
  jobControlDenied: { sqlstate: '42501', text: 'user {role} does not have privileges for job {id}' },
  jobCanceled: { sqlstate: '57014', text: 'job {id} was canceled' },
  jobRevertFailed: {
    sqlstate: '58000',
    text: 'job {id} failed, and what it had done could not be taken back: {reason}',
    hint: 'Part of its work may be left behind.',
  },
  jobTakenOver: { sqlstate: '57P01', text: "job {id} is now another worker's" },
  jobLeaseLost: { sqlstate: '57P01', text: 'job {id} was given up because the catalog did not answer in time' },
  jobPaused: {
    sqlstate: '57014',
    text: 'job {id} was paused before it completed',
    hint: 'RESUME JOB lets it go on, SHOW JOB WHEN COMPLETE waits for it.',
  },
  jobWorkersLost: {
    sqlstate: '58000',
    text: 'job {id} was given up: its worker process was lost {count} times',
    hint: "PgPier's log may say more: a process that runs out of memory is ended by the operating system without a word.",
  },
  jobWaitTooLong: { sqlstate: '57014', text: 'job {id} did not end within 24 hours; it goes on' },
  jobKindUnknown: { sqlstate: '0A000', text: 'this version of PgPier cannot carry out jobs of type {type}' },
} as const satisfies Record<string, ErrorEntry>;
