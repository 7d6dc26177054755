/** Jobs from the side of the statements: begins them, waits for them with the client, passes requests on. */
import type { Catalog, CatalogTransaction } from '../../catalog/catalog.ts';
import type { JobStatus } from '../../catalog/jobLeases.ts';
import { finishedStates, type JobRequest } from '../../catalog/jobStates.ts';
import type { NewJob } from '../../catalog/jobs.ts';
import type { Notice } from '../../commands/command.ts';
import { PgPierError } from '../../errors.ts';
import type { JobResult, JobSpec, Jobs, StatementOfJob } from '../job.ts';
import type { Log } from '../pool.ts';
import type { Doorbell } from './doorbell.ts';

export interface StatementJobs {
  /** The jobs of one statement. */
  of(statement: StatementOfJob): Jobs;
  /** Waits for cancels that are on their way. */
  settled(): Promise<void>;
}

/** Between looks at a job that somebody waits for: it starts with the first and grows with the wait. */
const LOOK_MS = { first: 20, most: 500 };
const NOTICE_MS = 5_000;
/** What a cancelled job is given to take back what it did before the client is answered. */
const CANCEL_MS = 10_000;
/** A catalog that is away while a statement waits: the job may well go on. */
const AWAY_MS = 1_000;
const LONGEST_WAIT_MS = 24 * 60 * 60_000;

export interface StatementJobsOptions {
  readonly catalog: Catalog;
  readonly doorbell: Doorbell;
  readonly nodeId: number;
  readonly log: Log;
}

export function statementJobs(options: StatementJobsOptions): StatementJobs {
  const { catalog, doorbell } = options;
  const newJob = (statement: StatementOfJob, { node, ...spec }: JobSpec, detached: boolean): NewJob => ({
    ...spec,
    asker: statement.asker,
    detached,
    node: node === 'self' ? options.nodeId : node,
  });
  const cancels = new Set<Promise<void>>();

  /** Counts at once, whatever becomes of the client's transaction. */
  function apart<T>(statement: StatementOfJob, work: (tx: CatalogTransaction) => Promise<T>): Promise<T> {
    return catalog.transaction({ ...statement.catalog.view, stamp: { kind: 'immediate' } }, work);
  }

  async function request(statement: StatementOfJob, asked: JobRequest, id: string, reason?: string): Promise<void> {
    await apart(statement, (tx) => tx.jobs.request(asked, id, reason));
    doorbell.ring(id);
  }

  function cancel(statement: StatementOfJob, id: string): void {
    const asked = request(statement, 'cancel', id)
      .catch((error) => {
        // Refused: it has ended, or is being taken back already.
        if (error instanceof PgPierError && error.data.sqlstate === '55000') return;
        options.log.warn(
          { job: id, sqlstate: error.data?.sqlstate },
          'a job whose statement was cancelled could not be cancelled: it goes on',
        );
      })
      .finally(() => cancels.delete(asked));
    cancels.add(asked);
  }

  async function run(statement: StatementOfJob, spec: JobSpec): Promise<{ readonly id: string; readonly result: JobResult }> {
    const { signal } = statement;
    signal.throwIfAborted();
    const id = await apart(statement, (tx) => tx.jobs.create(newJob(statement, spec, false)));
    doorbell.ring(id);
    let cancelled: number | undefined;
    const onAbort = () => {
      cancelled = performance.now();
      cancel(statement, id);
    };
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
    try {
      const teller = new Teller(spec, id, statement);
      for (let wait = LOOK_MS.first; ; wait = Math.min(wait * 1.3, LOOK_MS.most)) {
        const status = await look(id, teller.seen);
        if (status === undefined) throw new PgPierError('jobMissing', { id });
        if (status !== 'away') {
          teller.tell(status);
          if (status.state === 'succeeded') return { id, result: status.result as JobResult };
          if (finishedStates.has(status.state)) throw signal.aborted ? signal.reason : endOf(id, status);
          if (status.state === 'paused' && !signal.aborted) throw new PgPierError('jobPaused', { id });
        }
        if (cancelled !== undefined && performance.now() - cancelled > CANCEL_MS) {
          statement.notice(stillReverting(spec.type, id));
          throw signal.reason;
        }
        await pause(status === 'away' ? AWAY_MS : signal.aborted ? LOOK_MS.first * 5 : wait, signal.aborted ? undefined : signal);
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async function look(id: string, noticesSeen: number): Promise<JobStatus | 'away' | undefined> {
    try {
      return await catalog.leases.status(id, noticesSeen);
    } catch (error) {
      if (error instanceof PgPierError && error.data.sqlstate === '57P03') return 'away';
      throw error;
    }
  }

  async function ended(statement: StatementOfJob, id: string): Promise<void> {
    const { signal } = statement;
    const until = performance.now() + LONGEST_WAIT_MS;
    for (let wait = LOOK_MS.first; ; wait = Math.min(wait * 1.3, LOOK_MS.most)) {
      signal.throwIfAborted();
      const status = await catalog.leases.status(id, 0);
      if (status === undefined || finishedStates.has(status.state)) return;
      if (performance.now() > until) throw new PgPierError('jobWaitTooLong', { id });
      await pause(wait, signal);
    }
  }

  return {
    of: (statement) => ({
      run: (spec) => run(statement, spec),
      async create(spec) {
        const id = await statement.catalog.jobs.create(newJob(statement, spec, true));
        // Heard in vain where the client's transaction is still open: then a worker finds the job by itself once it counts.
        setTimeout(() => doorbell.ring(id), LOOK_MS.first).unref();
        return id;
      },
      request: (asked, id, reason) => request(statement, asked, id, reason),
      ended: (id) => ended(statement, id),
    }),
    async settled() {
      await Promise.all(cancels);
    },
  };
}

/** What the client is told while it waits: the job's own notices, and from time to time how far it is. */
class Teller {
  /** Notices passed on. */
  seen = 0;
  readonly #what: string;
  readonly #waiting: string;
  readonly #statement: StatementOfJob;
  #told: string | undefined;
  #last = performance.now();

  constructor({ type, node }: JobSpec, id: string, statement: StatementOfJob) {
    this.#what = `${type} job ${id}`;
    this.#waiting = typeof node === 'number' ? `waits for a worker of node ${node}` : 'waits for a worker';
    this.#statement = statement;
  }

  tell({ state, notices, fraction, runningStatus }: JobStatus): void {
    for (const text of notices) this.#statement.notice(JSON.parse(text) as Notice);
    this.seen += notices.length;
    const percent = fraction === null ? undefined : `${Math.floor(fraction * 100)}% done`;
    const words = [state === 'pending' ? this.#waiting : percent, runningStatus ?? undefined]
      .filter((word) => word !== undefined)
      .join(', ');
    if (words === '' || words === this.#told || performance.now() - this.#last < NOTICE_MS) return;
    this.#told = words;
    this.#last = performance.now();
    this.#statement.notice({ severity: 'NOTICE', message: `${this.#what}: ${words}` });
  }
}

const stillReverting = (type: string, id: string): Notice => ({
  severity: 'WARNING',
  sqlstate: '01000',
  message: `${type} job ${id} has been asked to cancel and has not yet taken back what it had done`,
  hint: `SHOW JOB ${id} tells when it has.`,
});

function endOf(id: string, { state, error }: JobStatus): PgPierError {
  return state === 'canceled' || error === null ? new PgPierError('jobCanceled', { id }) : PgPierError.from(error);
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    signal?.addEventListener('abort', wake, { once: true });
  });
}
