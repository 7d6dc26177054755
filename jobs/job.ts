/**
 * What a long statement is once it has become a job: the contract between the queue (`queue/`), which knows nothing of backups, and the kinds
 * of jobs (`jobKinds.ts`), which know nothing of leases. The row in `pgpier.job` is the one truth about a job's state.
 */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { JobRequest } from '../catalog/jobStates.ts';
import type { Asker, JobLogins, Notice } from '../commands/command.ts';
import type { Storage } from '../external/storage/storage.ts';

export type JobType = 'BACKUP' | 'RESTORE';

/** What a statement hands over. `payload` is JSON; it is stored encrypted, because URIs may carry credentials. */
export interface JobSpec {
  readonly type: JobType;
  /** The statement with its secrets redacted, as SHOW JOBS prints it. */
  readonly description: string;
  readonly payload: unknown;
  /** Ids of the connections that the statement names: what depends on them. */
  readonly connections: readonly string[];
  /** Where its files are (`nodeOf` in destination.ts): workers of that node come first, others must reach it. `self` is the statement's own. Absent: any. */
  readonly node?: number | 'self' | undefined;
}

/** What a finished job tells: the result row of its statement. */
export interface JobResult {
  readonly rows: number;
}

/** One attempt at a job. */
export interface JobRun<Payload = unknown> {
  /** Decimal int8; unique for ever within a catalog. */
  readonly id: string;
  /** 1 for the first; a takeover after a worker's death, and a RESUME, is another. */
  readonly attempt: number;
  readonly payload: Payload;
  /** Who asked, as the session said when the statement ran. The role is looked up anew by its oid. */
  readonly asker: Asker;
  /** What an earlier attempt saved; undefined if it saved nothing. */
  readonly checkpoint: unknown;
  /** Aborted on cancel, pause, a lost lease and shutdown; nothing may be changed outside once it is. The reason is a PgPierError. */
  readonly signal: AbortSignal;
  /** Resolves when the checkpoint is durable. Rejects, and aborts `signal`, when another worker has taken the job over (fencing token). */
  saveCheckpoint(checkpoint: unknown): Promise<void>;
  /** `fraction` 0…1. Cheap: written with the next heartbeat. */
  progress(progress: { readonly fraction?: number; readonly rows?: number; readonly runningStatus?: string }): void;
  /** Reaches the client of a foreground statement; for a detached one the log. */
  notice(notice: Notice): void;
  /** The storage of a URI of the statement (`external://` too), after the privilege check of the asker. The caller closes it. */
  openStorage(uri: string): Promise<Storage>;
  readonly logins: JobLogins;
}

export interface JobKind<Payload = unknown> {
  readonly type: JobType;
  /** Carries the job out. When `attempt` > 1 it first undoes or carries on what the checkpoint tells of. Rejects with PgPierError. */
  run(run: JobRun<Payload>): Promise<JobResult>;
  /** Takes back what attempts left, after a failure or CANCEL. `signal` here is a deadline. Must bear being repeated. */
  revert(run: JobRun<Payload>): Promise<void>;
}

/** Jobs, as a statement sees them. Reject with PgPierError. */
export interface Jobs {
  /**
   * Foreground: makes the job, which counts at once, and waits for its end; tells its progress by NOTICE. When the statement's signal aborts, the
   * job is cancelled and undone before the signal's reason is thrown. Otherwise rejects with the job's own error.
   */
  run(spec: JobSpec): Promise<{ readonly id: string; readonly result: JobResult }>;
  /** Detached: a catalog change, which counts and begins when the client's transaction commits. Resolves to the job's id. */
  create(spec: JobSpec): Promise<string>;
  /** PAUSE, RESUME, CANCEL: takes effect at once, whatever becomes of the client's transaction. Whether the asker may is for the caller to ask. */
  request(request: JobRequest, id: string, reason?: string): Promise<void>;
  /** Resolves when the job has ended or is gone; rejects with the signal's reason, and after 24 hours with 57014. */
  ended(id: string): Promise<void>;
}

/** The statement that begins jobs. */
export interface StatementOfJob {
  readonly asker: Asker;
  readonly catalog: CatalogTransaction;
  notice(notice: Notice): void;
  readonly signal: AbortSignal;
}
