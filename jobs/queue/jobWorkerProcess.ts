/** Keeps one job worker process alive: starts it, starts another when it dies, stops it. */
import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../pool.ts';
import { workerEnvironment } from '../workerProcess.ts';
import type { FromJobWorker, ToJobWorker } from './messages.ts';
import type { JobWorkerSettings } from './openJobWorker.ts';

export interface JobWorkerProcess {
  /** Of the process that runs now, if one does. */
  readonly pid: number | undefined;
  /** Gives running jobs so long, then has them handed back, and ends the process. */
  stop(withinMs: number): Promise<void>;
}

/** Beyond what jobs are given to end: to hand them back, and to close connections. */
const END_MS = 10_000;
/** A process that dies as soon as it starts is not started again at once. */
const RESPAWN_MS = { first: 100, most: 10_000 };

type State = { readonly kind: 'running'; readonly child: ChildProcess } | { readonly kind: 'waiting' } | { readonly kind: 'stopping' };

export interface JobWorkerProcessOptions {
  readonly settings: JobWorkerSettings;
  readonly log: Log;
  /** What the process runs; by default `jobWorkerMain.ts`. */
  readonly script?: string;
}

export function startJobWorkerProcess({ settings, log, script = ownScript() }: JobWorkerProcessOptions): JobWorkerProcess {
  let state: State = { kind: 'waiting' };
  let patience = RESPAWN_MS.first;
  let timer: NodeJS.Timeout | undefined;

  function spawn(): void {
    const since = performance.now();
    const child = fork(script, [], {
      env: workerEnvironment(process.env),
      execArgv: script.endsWith('.ts') ? ['--liftoff-only'] : [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    state = { kind: 'running', child };
    child.on('message', (message) => receive(message as FromJobWorker));
    let over = false;
    const end = (how: string) => {
      if (over) return;
      over = true;
      if (state.kind === 'stopping') return;
      log.warn({ pid: child.pid, how }, 'the job worker process ended; another takes its jobs over');
      state = { kind: 'waiting' };
      patience = performance.now() - since > RESPAWN_MS.most ? RESPAWN_MS.first : Math.min(patience * 2, RESPAWN_MS.most);
      timer = setTimeout(spawn, patience);
    };
    child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) end(error.code ?? error.name);
    });
    send(child, { kind: 'start', settings });
    log.info({ pid: child.pid }, 'job worker process started');
  }

  function receive(message: FromJobWorker): void {
    if (message.kind === 'log') log[message.level](message.fields, message.message);
    else log.error({ reason: message.message }, 'the job worker process cannot work');
  }

  spawn();
  return {
    get pid() {
      return state.kind === 'running' ? state.child.pid : undefined;
    },
    async stop(withinMs) {
      clearTimeout(timer);
      const last = state;
      state = { kind: 'stopping' };
      if (last.kind !== 'running' || last.child.exitCode !== null || last.child.signalCode !== null) return;
      const { child } = last;
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      send(child, { kind: 'stop', withinMs });
      const kill = setTimeout(() => child.kill('SIGKILL'), withinMs + END_MS);
      await exited;
      clearTimeout(kill);
    },
  };
}

/** A process that is gone reports so by `exit`. */
function send(child: ChildProcess, message: ToJobWorker): void {
  if (child.connected) child.send(message, () => {});
}

function ownScript(): string {
  return fileURLToPath(new URL(`./jobWorkerMain${extname(import.meta.url)}`, import.meta.url));
}
