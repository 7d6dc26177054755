/** One attempt at a job, from its claim to the moment its worker lets go of it: carry out, or take back, or hand on. */
import type { Catalog } from '../../catalog/catalog.ts';
import { type HeldJob, JobTakenOver } from '../../catalog/jobLeases.ts';
import type { Asker } from '../../commands/command.ts';
import { type ErrorData, PgPierError, toErrorData } from '../../errors.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import type { JobKind, JobRun, JobType } from '../job.ts';
import type { JobKinds } from '../jobKinds.ts';
import type { SweepingJobLogins } from '../loginRole.ts';
import type { Log } from '../pool.ts';
import { JobStorages, type Opening, roleName } from './jobStorages.ts';
import { throughOutage } from './outage.ts';
import { Pulse } from './pulse.ts';

export interface AttemptParts {
  readonly catalog: Catalog;
  readonly kinds: JobKinds;
  readonly logins: SweepingJobLogins;
  readonly storageSettings: StorageSettings;
  readonly log: Log;
  /** The work did not stop although the job is no longer this worker's: only ending the process stops it. */
  readonly stuck: (job: string) => void;
}

/** A job whose workers die so often is given up: it may be what kills them. */
const MOST_DEATHS = 5;
const REVERT_TRIES = 3;
const REVERT_PAUSE_MS = 2_000;
/** One try at taking back. */
const REVERT_MS = 15 * 60_000;
/** What work may take to stop once its job is lost. */
const STUCK_MS = 10_000;

/** What was decided about a job that is to be taken back. */
interface Ending {
  readonly ending: 'failed' | 'canceled';
  readonly error: ErrorData | null;
  /** Nothing was begun in any attempt: there is nothing to take back. */
  readonly untouched: boolean;
}

export class Attempt {
  readonly #parts: AttemptParts;
  readonly #job: HeldJob;
  #pulse: Pulse;
  #shuttingDown = false;
  /** The last that is durable, of this attempt or an earlier one. */
  #checkpoint: unknown;
  readonly #storages: JobStorages;
  readonly done: Promise<void>;

  /** `claimed`: performance.now() before the lease was taken. */
  constructor(parts: AttemptParts, job: HeldJob, claimed: number) {
    this.#parts = parts;
    this.#job = job;
    this.#checkpoint = job.checkpoint ?? undefined;
    this.#pulse = new Pulse(parts.catalog.leases, job.lease, claimed, job.state === 'reverting');
    this.#storages = new JobStorages({
      ...parts,
      job,
      settings: parts.storageSettings,
      notice: (notice) => this.#pulse.notice(notice),
    });
    this.done = this.#go().catch((error) => {
      this.#pulse.close();
      const fields = { job: job.lease.job, ...whatFailed(error) };
      if (error instanceof JobTakenOver) parts.log.warn(fields, 'a job was taken over by another worker');
      else parts.log.error(fields, 'a job was left: another worker will take it over');
    });
  }

  /** A request may have come. */
  hurry(): void {
    this.#pulse.hurry();
  }

  /** The work stops and the job is handed back. */
  shutdown(): void {
    this.#shuttingDown = true;
    this.#pulse.shutdown();
  }

  async #go(): Promise<void> {
    const { log } = this.#parts;
    const { lease, type, attempt, state } = this.#job;
    log.info({ job: lease.job, type, attempt, state }, 'a job begins');
    const ending = await this.#carryOut();
    if (ending !== undefined) await this.#takeBack(ending);
  }

  /** Undefined when the worker is done with the job; else how it is to end, and it is to be taken back. */
  async #carryOut(): Promise<Ending | undefined> {
    const job = this.#job;
    if (job.state === 'reverting') return { ending: job.ending ?? 'failed', error: job.error, untouched: false };
    let ending: Ending;
    let untouched = job.attempt === 1;
    try {
      if (job.deaths >= MOST_DEATHS) throw new PgPierError('jobWorkersLost', { id: job.lease.job, count: job.deaths });
      const kind = await this.#kind();
      const run = await this.#run('carryOut', this.#pulse.signal);
      untouched = false;
      const result = await this.#untilStopped(kind.run(run));
      await this.#storages.end('succeeded');
      await this.#pulse.leave({ kind: 'succeeded', result });
      this.#parts.log.info({ job: job.lease.job }, 'a job has succeeded');
      return undefined;
    } catch (error) {
      if (error instanceof JobTakenOver) throw error;
      const { stop } = this.#pulse;
      if (stop === 'cancel') ending = { ending: 'canceled', error: null, untouched };
      else if (stop !== undefined) {
        await this.#storages.end('interrupted');
        await this.#stopped();
        return undefined;
      } else ending = { ending: 'failed', error: this.#told(error), untouched };
    }
    await this.#storages.end(ending.ending, ending.error?.sqlstate);
    this.#pulse = await this.#pulse.beginRevert(ending.ending, ending.error);
    if (this.#shuttingDown) this.#pulse.shutdown();
    return ending;
  }

  async #takeBack({ ending, error, untouched }: Ending): Promise<void> {
    const { lease, deaths } = this.#job;
    if (untouched) {
      await this.#pulse.leave({ kind: 'reverted' });
      this.#parts.log.info({ job: lease.job, ending, ...(error && { sqlstate: error.sqlstate }) }, 'a job ended before it began');
      return;
    }
    let failure: unknown;
    for (let tried = 0; tried < REVERT_TRIES; tried++) {
      if (tried > 0) await new Promise((resolve) => setTimeout(resolve, REVERT_PAUSE_MS * tried));
      try {
        this.#pulse.signal.throwIfAborted();
        if (this.#job.state === 'reverting' && deaths >= MOST_DEATHS)
          throw new PgPierError('jobWorkersLost', { id: lease.job, count: deaths });
        const kind = await this.#kind();
        const signal = AbortSignal.any([this.#pulse.signal, AbortSignal.timeout(REVERT_MS)]);
        await this.#untilStopped(kind.revert(await this.#run('takeBack', signal)));
        await this.#storages.end('succeeded');
        await this.#pulse.leave({ kind: 'reverted' });
        this.#parts.log.info({ job: lease.job, ending, ...(error && { sqlstate: error.sqlstate }) }, 'a job was taken back');
        return;
      } catch (thrown) {
        if (thrown instanceof JobTakenOver) throw thrown;
        await this.#storages.end(this.#pulse.stop === undefined ? 'failed' : 'interrupted', toErrorData(thrown).sqlstate);
        if (this.#pulse.stop !== undefined) return this.#stopped();
        failure = thrown;
        this.#parts.log.warn({ job: lease.job, ...whatFailed(thrown) }, 'a job could not be taken back');
      }
    }
    const reason = this.#told(failure).message;
    const told = new PgPierError('jobRevertFailed', { id: lease.job, reason }, error ? { detail: `It failed with: ${error.message}` } : {});
    await this.#pulse.leave({ kind: 'revertFailed', error: told.data });
  }

  /** The work has stopped because it was told to, other than by CANCEL. */
  async #stopped(): Promise<void> {
    const { log } = this.#parts;
    const { job } = this.#job.lease;
    switch (this.#pulse.stop) {
      case 'pause':
        await this.#pulse.leave({ kind: 'paused' });
        log.info({ job }, 'a job is paused');
        return;
      case 'shutdown':
        await this.#pulse.leave({ kind: 'handedBack' });
        log.info({ job }, 'a job was handed back');
        return;
      default:
        this.#pulse.close();
        log.warn({ job }, 'the hold on a job was lost; another worker takes it over');
    }
  }

  async #kind(): Promise<JobKind> {
    const { type } = this.#job;
    const load = this.#parts.kinds[type as JobType];
    if (load === undefined) throw new PgPierError('jobKindUnknown', { type });
    return load();
  }

  /** Waits for the work, however long; but not when it goes on with a job that is lost. */
  async #untilStopped<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#pulse;
    const timer = setInterval(() => {
      if (this.#pulse.stop !== 'lost') return;
      clearInterval(timer);
      stuck = setTimeout(() => this.#parts.stuck(this.#job.lease.job), STUCK_MS);
    }, 500);
    let stuck: NodeJS.Timeout | undefined;
    try {
      return await work;
    } catch (error) {
      // What a kind throws when it stops tells less than why it was stopped.
      throw signal.aborted ? signal.reason : error;
    } finally {
      clearInterval(timer);
      clearTimeout(stuck);
    }
  }

  async #run(purpose: Opening['purpose'], signal: AbortSignal): Promise<JobRun> {
    const { catalog, logins, log } = this.#parts;
    const job = this.#job;
    const pulse = this.#pulse;
    const id = job.lease.job;
    const ownLogins = logins.forJob(id);
    // What a killed attempt left: its login, and sessions that have not noticed yet and hold locks. A frozen worker loses its sessions by that, too.
    if (job.attempt > 1) await Promise.all([ownLogins.dropAll(), catalog.uses.interrupted(id)]);
    const saved = job.asker as Asker;
    const asker = { ...saved, role: await throughOutage(signal, () => roleName(catalog, job.owner, saved.role)) };
    const lastCheckpoint = () => this.#checkpoint;
    return {
      id,
      attempt: job.attempt,
      payload: JSON.parse(job.payload.reveal()),
      asker,
      get checkpoint() {
        return lastCheckpoint();
      },
      signal,
      saveCheckpoint: async (value) => {
        signal.throwIfAborted();
        await pulse.saveCheckpoint(value);
        this.#checkpoint = value;
      },
      progress: (progress) => pulse.progress(progress),
      notice: (notice) => {
        pulse.notice(notice);
        if (job.detached) log.info({ job: id, severity: notice.severity, notice: notice.message }, 'a detached job says');
      },
      openStorage: (uri) => this.#storages.open(uri, { role: asker.role, purpose, signal }),
      logins: ownLogins,
    };
  }

  /** An error that a client may read. Where a defect was, the log is told; its message may quote anything. */
  #told(error: unknown): ErrorData {
    if (!(error instanceof PgPierError)) this.#parts.log.error({ job: this.#job.lease.job, ...whatFailed(error) }, 'defect');
    return toErrorData(error);
  }
}

/** An error for the log: ours with its text, of a defect the kind and the place. */
function whatFailed(error: unknown): object {
  if (error instanceof PgPierError) return { sqlstate: error.data.sqlstate, error: error.message };
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { error: error.name, at: frames.map((line) => line.trim()) };
}
