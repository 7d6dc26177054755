/**
 * A worker's hold on a job: renews the lease, carries progress and notices with it, hears requests, and notices when the hold is lost. Pure but for
 * the clock and `JobLeases`.
 */
import type { JobLeases, Lease, Leaving, Progress } from '../../catalog/jobLeases.ts';
import { JobTakenOver, LEASE_MS } from '../../catalog/jobLeases.ts';
import type { JobState } from '../../catalog/jobStates.ts';
import type { Notice } from '../../commands/command.ts';
import { type ErrorData, PgPierError } from '../../errors.ts';

const BEAT_MS = 2_000;
const RETRY_MS = 500;
/** The hold counts as lost so long before the lease runs out: what is under way then needs time to stop. */
const MARGIN_MS = 1_000;
/** How long a result is tried to be written down: longer than a server takes to start again. */
const PERSIST_MS = 120_000;

/** Why the work is to stop. */
export type Stop = 'pause' | 'cancel' | 'lost' | 'shutdown';

export class Pulse {
  readonly lease: Lease;
  readonly #leases: JobLeases;
  readonly #abort = new AbortController();
  #stop: Stop | undefined;
  #renewed: number;
  #progress: Progress = {};
  #notices: string[] = [];
  #next: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;
  #over = false;
  readonly #watch: NodeJS.Timeout;
  /** A cancel does not stop what takes the job back. */
  #reverting: boolean;

  /** `claimed`: performance.now() before the lease was taken. */
  constructor(leases: JobLeases, lease: Lease, claimed: number, reverting: boolean) {
    this.#leases = leases;
    this.lease = lease;
    this.#renewed = claimed;
    this.#reverting = reverting;
    this.#watch = setInterval(() => this.#look(), 250);
    this.#schedule(BEAT_MS);
  }

  /** Aborted when the work is to stop; `stop` tells why. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get stop(): Stop | undefined {
    return this.#stop;
  }

  progress({ fraction, rows, runningStatus }: Progress): void {
    this.#progress = {
      ...this.#progress,
      ...(Number.isFinite(fraction) && { fraction: Math.min(1, Math.max(0, fraction!)) }),
      ...(Number.isFinite(rows) && { rows: Math.trunc(rows!) }),
      ...(runningStatus !== undefined && { runningStatus: runningStatus.replaceAll('\0', '') }),
    };
  }

  /** Kept for the client that waits; sent with the next beat. */
  notice(notice: Notice): void {
    this.#notices.push(JSON.stringify(notice));
  }

  /** A request may have come. */
  hurry(): void {
    this.#schedule(0);
  }

  shutdown(): void {
    this.#end('shutdown', new PgPierError('workersStopped'));
  }

  /** Waits through outages of the catalog for as long as the hold lasts. */
  async saveCheckpoint(checkpoint: unknown): Promise<void> {
    for (;;) {
      this.signal.throwIfAborted();
      const before = performance.now();
      try {
        const state = await this.#leases.saveCheckpoint(this.lease, checkpoint);
        this.#renewed = before;
        return this.#hear(state);
      } catch (error) {
        if (error instanceof JobTakenOver) this.#end('lost', error);
        else if (!isOutage(error)) throw error;
        this.signal.throwIfAborted();
        await sleep(RETRY_MS);
      }
    }
  }

  /** From carrying out to taking back: stops are forgotten but for a lost hold and a shutdown. Resolves to the pulse of what follows. */
  async beginRevert(ending: 'failed' | 'canceled', error: ErrorData | null): Promise<Pulse> {
    await this.#flush();
    let renewed = this.#renewed;
    await this.#persist(async () => {
      const before = performance.now();
      await this.#leases.beginRevert(this.lease, ending, error);
      renewed = before;
    });
    this.close();
    return new Pulse(this.#leases, this.lease, renewed, true);
  }

  /** Ends the hold, with what is still to be told. Throws JobTakenOver, or `catalogUnavailable` after two minutes. */
  async leave(how: Leaving): Promise<void> {
    await this.#flush();
    await this.#persist(async () => this.#leases.leave(this.lease, how));
    this.close();
  }

  close(): void {
    this.#over = true;
    clearTimeout(this.#next);
    clearInterval(this.#watch);
  }

  #schedule(ms: number): void {
    if (this.#over) return;
    clearTimeout(this.#next);
    this.#next = setTimeout(() => {
      this.#beating ??= this.#beat().finally(() => {
        this.#beating = undefined;
      });
    }, ms);
  }

  async #beat(): Promise<void> {
    const progress = this.#progress;
    const notices = this.#notices;
    this.#progress = {};
    this.#notices = [];
    const before = performance.now();
    try {
      const state = await this.#leases.renew(this.lease, progress, notices);
      this.#renewed = before;
      this.#hear(state);
      this.#schedule(BEAT_MS);
    } catch (error) {
      if (error instanceof JobTakenOver) return this.#end('lost', error);
      // Told with the next one. The older of two values gives way.
      this.#progress = { ...progress, ...this.#progress };
      this.#notices = [...notices, ...this.#notices];
      this.#schedule(RETRY_MS);
    }
  }

  /** What is still to be told goes first. Best effort: the state matters more. */
  async #flush(): Promise<void> {
    await this.#beating;
    if (this.#notices.length > 0 || Object.keys(this.#progress).length > 0) await this.#beat();
  }

  #hear(state: JobState): void {
    if (state === 'pause-requested') this.#end('pause', new PgPierError('jobPaused', { id: this.lease.job }));
    if (state === 'cancel-requested' && !this.#reverting) this.#end('cancel', new PgPierError('jobCanceled', { id: this.lease.job }));
  }

  #look(): void {
    if (performance.now() - this.#renewed > LEASE_MS - MARGIN_MS)
      this.#end('lost', new PgPierError('jobLeaseLost', { id: this.lease.job }));
  }

  #end(stop: Stop, reason: unknown): void {
    // A lost hold overrules whatever stopped the work before.
    if (stop === 'lost' && !this.#over) this.#stop = stop;
    this.#stop ??= stop;
    this.#abort.abort(reason);
  }

  async #persist(write: () => Promise<void>): Promise<void> {
    for (const until = performance.now() + PERSIST_MS; ; ) {
      try {
        return await write();
      } catch (error) {
        if (error instanceof JobTakenOver || !isOutage(error) || performance.now() > until) {
          this.close();
          throw error;
        }
        await sleep(RETRY_MS);
      }
    }
  }
}

const isOutage = (error: unknown): boolean => error instanceof PgPierError && error.data.sqlstate === '57P03';
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
