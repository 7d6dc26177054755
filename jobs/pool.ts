/**
 * The worker processes as the relay sees them: starts them, hands out tasks, replaces those that die. One is started at once, in the
 * background, unless told otherwise; the others when there is work for them.
 */
import { PgPierError, toErrorData } from '../errors.ts';
import type { StorageSettings } from '../external/storage/storage.ts';
import type { FromWorker, RemoveExportTask, WorkerResult, WorkerTask } from './messages.ts';
import type { Task, TaskOptions, TaskResults, Workers } from './task.ts';
import { forkWorker, type WorkerProcess } from './workerProcess.ts';

/** What of pino's Logger is used. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface WorkersOptions {
  /** Processes at most; at least 1. */
  readonly count: number;
  /** Whether one is started at once, so that the first task does not wait for it; default true. */
  readonly warm?: boolean;
  readonly storageSettings: StorageSettings;
  readonly log: Log;
}

/** Exports that one process runs side by side: they wait for the network most of the time. Short tasks never wait behind them. */
const EXPORTS_PER_WORKER = 4;
const SHORT_PER_WORKER = 64;
/** Each may hold a manifest in memory. */
const SHOWS_PER_WORKER = 2;
/** Less than the life of a job's login (loginRole.ts): a task that waited longer could not log in any more. */
const MAX_WAIT_MS = 30 * 60_000;
/** What a cancelled task is given to take back what it did before its caller is answered. */
const CANCEL_MS = 10_000;
/** What another worker is given to remove what a dead one left before the caller is answered. */
const REMOVAL_MS = 10_000;
/** Processes that die as soon as they start are not started again at once. */
const RESPAWN_MS = { first: 100, most: 10_000 };

interface Job {
  readonly id: number;
  readonly task: WorkerTask;
  readonly options: TaskOptions;
  readonly resolve: (result: WorkerResult) => void;
  readonly reject: (error: unknown) => void;
}

interface Worker {
  readonly process: WorkerProcess;
  readonly jobs: Map<number, Job>;
  /** Takes no more tasks. */
  retired: boolean;
  readonly since: number;
}

type State = { readonly kind: 'open' } | { readonly kind: 'stopping'; readonly done: Promise<void> };

export function startWorkers(options: WorkersOptions): Workers {
  const pool = new Pool(options);
  if (options.warm ?? true) pool.spawn();
  return pool;
}

class Pool implements Workers {
  readonly #options: WorkersOptions;
  readonly #workers = new Set<Worker>();
  #queue: Job[] = [];
  #state: State = { kind: 'open' };
  #lastId = 0;
  #respawn: NodeJS.Timeout | undefined;
  #respawnDelay = RESPAWN_MS.first;
  #idle: () => void = () => {};

  constructor(options: WorkersOptions) {
    this.#options = { ...options, count: Math.max(1, options.count) };
  }

  run<T extends Task>(task: T, options: TaskOptions): Promise<TaskResults[T['kind']]> {
    if (this.#state.kind !== 'open') return Promise.reject(new PgPierError('workersStopped'));
    return this.#enqueue(task, options) as Promise<TaskResults[T['kind']]>;
  }

  stop(deadline: AbortSignal): Promise<void> {
    if (this.#state.kind === 'stopping') return this.#state.done;
    const done = this.#stop(deadline);
    this.#state = { kind: 'stopping', done };
    return done;
  }

  /** Starts one more process, if there may be one. */
  spawn(): Worker | undefined {
    const serving = [...this.#workers].filter(({ retired }) => !retired);
    if (serving.length >= this.#options.count || this.#respawn !== undefined) return undefined;
    const worker: Worker = {
      process: forkWorker(this.#options.storageSettings, {
        onMessage: (message) => this.#receive(worker, message),
        onEnd: (how) => this.#ended(worker, how),
      }),
      jobs: new Map(),
      retired: false,
      since: performance.now(),
    };
    this.#workers.add(worker);
    this.#options.log.info({ pid: worker.process.pid }, 'worker process started');
    return worker;
  }

  #enqueue(task: WorkerTask, options: TaskOptions): Promise<WorkerResult> {
    const { signal } = options;
    if (signal.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<WorkerResult>();
    const job: Job = { id: ++this.#lastId, task, options, resolve, reject };
    const cancel = () => this.#cancel(job);
    signal.addEventListener('abort', cancel, { once: true });
    const waiting = setTimeout(() => {
      if (this.#unqueue(job)) reject(new PgPierError('workersBusy', { minutes: MAX_WAIT_MS / 60_000 }));
    }, MAX_WAIT_MS);
    waiting.unref();
    this.#queue.push(job);
    this.#dispatch();
    return promise.finally(() => {
      clearTimeout(waiting);
      signal.removeEventListener('abort', cancel);
    });
  }

  /** Gives waiting tasks, oldest first, to the process with the least to do. */
  #dispatch(): void {
    this.#queue = this.#queue.filter((job) => {
      const free = () => [...this.#workers].filter((worker) => room(worker, job.task)).sort((a, b) => a.jobs.size - b.jobs.size)[0];
      let worker = free();
      // Rather a process of its own than a place beside another task.
      if (worker === undefined || worker.jobs.size > 0) worker = this.spawn() ?? worker;
      if (worker === undefined) return true;
      worker.jobs.set(job.id, job);
      worker.process.send({ kind: 'run', id: job.id, task: job.task });
      return false;
    });
  }

  #unqueue(job: Job): boolean {
    const before = this.#queue.length;
    this.#queue = this.#queue.filter((other) => other !== job);
    return this.#queue.length < before;
  }

  #cancel(job: Job): void {
    const { reason } = job.options.signal;
    if (this.#unqueue(job)) return job.reject(reason);
    for (const worker of this.#workers) if (worker.jobs.has(job.id)) worker.process.send({ kind: 'cancel', id: job.id });
    // The worker answers when it has cleaned up; a storage that hangs does not keep the client waiting.
    setTimeout(() => job.reject(reason), CANCEL_MS).unref();
  }

  #receive(worker: Worker, message: FromWorker): void {
    switch (message.kind) {
      case 'notice':
        worker.jobs.get(message.id)?.options.onNotice?.(message.notice);
        return;
      case 'change': {
        const job = worker.jobs.get(message.id);
        const { severity, message: text } = message.notice;
        const fields = { task: job && taskWords[job.task.kind], notice: text };
        this.#options.log[severity === 'WARNING' ? 'warn' : 'info'](fields, 'a task was told of a change of its connection');
        job?.options.onNotice?.(message.notice);
        return;
      }
      case 'resolve':
        return void this.#resolve(worker, message.id);
      case 'result':
        return this.#finish(worker, message.id, (job) => {
          job.options.onTransferred?.(message.transferred);
          job.resolve(message.result);
        });
      case 'error':
        return this.#finish(worker, message.id, (job) => {
          job.options.onTransferred?.(message.transferred);
          job.reject(job.options.signal.aborted ? job.options.signal.reason : PgPierError.from(message.error));
        });
      case 'retire':
        this.#options.log.info({ pid: worker.process.pid }, 'worker process retires');
        return this.#retire(worker);
      case 'crash':
        this.#options.log.error({ pid: worker.process.pid, error: message.error, frames: message.frames }, 'worker process crashed');
        return;
    }
  }

  async #resolve(worker: Worker, id: number): Promise<void> {
    const resolve = worker.jobs.get(id)?.options.resolve;
    if (resolve === undefined) return;
    try {
      worker.process.send({ kind: 'resolved', id, target: await resolve() });
    } catch (error) {
      worker.process.send({ kind: 'unresolved', id, error: toErrorData(error) });
    }
  }

  #finish(worker: Worker, id: number, settle: (job: Job) => void): void {
    const job = worker.jobs.get(id);
    if (job === undefined) return;
    worker.jobs.delete(id);
    settle(job);
    if (worker.retired && worker.jobs.size === 0) worker.process.disconnect();
    this.#dispatch();
    this.#idle();
  }

  #retire(worker: Worker): void {
    worker.retired = true;
    if (worker.jobs.size === 0) worker.process.disconnect();
    if (this.#state.kind === 'open') this.spawn();
    this.#dispatch();
  }

  #ended(worker: Worker, how: string): void {
    this.#workers.delete(worker);
    if (!worker.retired) this.#options.log.warn({ pid: worker.process.pid, how, tasks: worker.jobs.size }, 'worker process ended');
    const jobs = [...worker.jobs.values()];
    worker.jobs.clear();
    this.#replace(worker);
    for (const job of jobs) void this.#afterDeath(job);
    this.#idle();
  }

  /** One that lived for a while is replaced at once, the others with growing patience. */
  #replace(dead: Worker): void {
    if (this.#state.kind !== 'open' || dead.retired) return this.#dispatch();
    const lived = performance.now() - dead.since;
    this.#respawnDelay = lived > RESPAWN_MS.most ? RESPAWN_MS.first : Math.min(this.#respawnDelay * 2, RESPAWN_MS.most);
    clearTimeout(this.#respawn);
    this.#respawn = setTimeout(() => {
      this.#respawn = undefined;
      if (this.#state.kind === 'open') this.spawn();
      this.#dispatch();
    }, this.#respawnDelay);
  }

  /** A task whose process died: what an export had written goes away, then its caller is told. */
  async #afterDeath(job: Job): Promise<void> {
    const { task, options } = job;
    const error = options.signal.aborted ? options.signal.reason : new PgPierError('workerEnded', { task: taskWords[task.kind] });
    if (task.kind === 'export' && this.#state.kind === 'open') {
      const removal: RemoveExportTask = { kind: 'removeExport', target: task.target, exportId: task.exportId };
      try {
        const { resolve } = options;
        await this.#enqueue(removal, { signal: AbortSignal.timeout(REMOVAL_MS), ...(resolve && { resolve }) });
      } catch {
        options.onNotice?.({
          severity: 'WARNING',
          sqlstate: '01000',
          message: `EXPORT could not remove what it had written: files whose name begins with export${task.exportId}`,
          hint: 'Remove these files by hand.',
        });
      }
    }
    job.reject(error);
  }

  async #stop(deadline: AbortSignal): Promise<void> {
    clearTimeout(this.#respawn);
    this.#respawn = undefined;
    await this.#drained(deadline);
    const reason = new PgPierError('workersStopped');
    for (const job of this.#queue.splice(0)) job.reject(reason);
    for (const worker of this.#workers) {
      for (const job of worker.jobs.values()) job.reject(reason);
      // The process cancels what it still runs, takes back what that had written, and ends.
      worker.jobs.clear();
      worker.retired = true;
      worker.process.disconnect();
    }
    await Promise.all([...this.#workers].map(({ process }) => process.ended));
  }

  /** Resolves when nothing runs or waits, or when the deadline passes. */
  #drained(deadline: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = () => {
        if (deadline.aborted || (this.#queue.length === 0 && [...this.#workers].every(({ jobs }) => jobs.size === 0))) resolve();
      };
      deadline.addEventListener('abort', () => resolve(), { once: true });
      this.#idle();
    });
  }
}

const taskWords: Readonly<Record<WorkerTask['kind'], string>> = {
  checkStorage: 'a check of an external storage',
  checkKeyService: 'a check of a key service',
  checkSink: 'a check of a sink',
  checkConnection: 'CHECK EXTERNAL CONNECTION',
  showBackups: 'SHOW BACKUPS',
  showBackup: 'SHOW BACKUP',
  export: 'EXPORT',
  removeExport: 'the removal of an EXPORT',
};

function room(worker: Worker, task: WorkerTask): boolean {
  if (worker.retired) return false;
  let exports = 0;
  let shows = 0;
  for (const { task } of worker.jobs.values()) {
    if (task.kind === 'export') exports++;
    else if (task.kind === 'showBackup') shows++;
  }
  if (task.kind === 'export') return exports < EXPORTS_PER_WORKER;
  if (task.kind === 'showBackup') return shows < SHOWS_PER_WORKER;
  return worker.jobs.size - exports - shows < SHORT_PER_WORKER;
}
