/** The server process: brought up, watched, stopped; and one that an earlier, killed PgPier left is stopped first. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, readSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunAs, spawnIdentity } from './account.ts';
import type { Binaries } from './binaries.ts';
import { isPostmasterOf } from './processes.ts';

export interface Postmaster {
  readonly pid: number;
  /** Resolves when the process is gone, with how it went, `exit code 1` or `signal SIGKILL`. */
  readonly exited: Promise<string>;
  /** pg_hba.conf and postgresql.conf are read again. */
  reload(): void;
  /** A fast shutdown: sessions are ended, a checkpoint is written. After 30 s an immediate one, which recovers at the next start. */
  stop(): Promise<void>;
}

export interface PostmasterOptions {
  readonly binaries: Binaries;
  readonly cluster: string;
  readonly socketDirectory: string;
  readonly logFile: string;
  readonly runAs: RunAs;
  /** Aborted: the start is given up and the process ended. */
  readonly signal?: AbortSignal;
}

/** The socket is `.s.PGSQL.5432` in a directory of its own, so the number need not be free. */
export const PORT = 5432;
const POLL_MS = 10;
const START_TIMEOUT_MS = 60_000;
const FAST_STOP_MS = 30_000;
const LOG_KEPT_BYTES = 16 * 1024 * 1024;

/** @throws Error with the end of the server's log when it does not come up. */
export async function startPostmaster(options: PostmasterOptions): Promise<Postmaster> {
  const { binaries, cluster, socketDirectory, logFile, runAs, signal } = options;
  if (existsSync(logFile) && statSync(logFile).size > LOG_KEPT_BYTES) renameSync(logFile, `${logFile}.1`);
  const log = openSync(logFile, 'a', 0o600);
  const logBegins = statSync(logFile).size;
  // A session of its own (detached): Ctrl-C reaches the terminal's foreground group, and PgPier alone decides when the server stops.
  const child = spawn(
    join(binaries.bin, 'postgres'),
    [
      '-D',
      cluster,
      '-p',
      String(PORT),
      '-k',
      socketDirectory,
      '-c',
      'listen_addresses=',
      '-c',
      'wal_level=logical',
      '-c',
      // A backup holds a lock on every table and RESTORE TABLE one on all that it makes: 512 × 100 sessions are 51,200, for some 15 MB.
      'max_locks_per_transaction=512',
      '-c',
      'unix_socket_permissions=0700',
    ],
    {
      ...spawnIdentity(runAs),
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C', ...(process.env.TZ && { TZ: process.env.TZ }) },
    },
  );
  closeSync(log);
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, name) => resolve(name === null ? `exit code ${code}` : `signal ${name}`));
  });
  let gone: string | undefined;
  exited.then((how) => {
    gone = how;
  });

  const stop = () => stopChild(child, exited);
  for (const deadline = Date.now() + START_TIMEOUT_MS; ; await sleep(POLL_MS)) {
    if (gone !== undefined) throw new Error(`the embedded PostgreSQL did not start (${gone}):\n${tail(logFile, logBegins)}`);
    if (isReady(cluster, child.pid)) break;
    if (signal?.aborted) {
      await stop();
      signal.throwIfAborted();
    }
    if (Date.now() > deadline) {
      await stop();
      throw new Error(`the embedded PostgreSQL was not ready after ${START_TIMEOUT_MS / 1000} s:\n${tail(logFile, logBegins)}`);
    }
  }
  return { pid: child.pid!, exited, reload: () => void child.kill('SIGHUP'), stop };
}

async function stopChild(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  child.kill('SIGINT');
  const slow = setTimeout(() => child.kill('SIGQUIT'), FAST_STOP_MS);
  await exited;
  clearTimeout(slow);
}

/** What pg_ctl looks at: line 1 of postmaster.pid is the process, line 8 its state. */
function isReady(cluster: string, pid: number | undefined): boolean {
  const lines = postmasterPid(cluster);
  return lines !== undefined && Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
}

function postmasterPid(cluster: string): string[] | undefined {
  try {
    return readFileSync(join(cluster, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return undefined;
  }
}

export interface Orphan {
  readonly pid: number;
  readonly socketDirectory: string | undefined;
}

/**
 * Stops the server that a killed PgPier left on this cluster. A postmaster.pid whose process is another one by now (as after a restart of a
 * container) is removed: PostgreSQL itself would take that process for a postmaster and refuse. Call with the directory's lock held.
 * @returns what was stopped
 * @throws Error when the server does not end
 */
export async function stopOrphan(cluster: string): Promise<Orphan | undefined> {
  const lines = postmasterPid(cluster);
  if (lines === undefined) return undefined;
  const pid = Number(lines[0]);
  const socketDirectory = lines[4]?.trim() || undefined;
  if (!isPostmasterOf(pid, cluster)) {
    rmSync(join(cluster, 'postmaster.pid'), { force: true });
    return undefined;
  }
  process.kill(pid, 'SIGINT');
  for (let waited = 0; isPostmasterOf(pid, cluster); waited += POLL_MS) {
    if (waited === FAST_STOP_MS) process.kill(pid, 'SIGQUIT');
    if (waited > 2 * FAST_STOP_MS)
      throw new Error(`a PostgreSQL that an earlier PgPier left (process ${pid}) does not stop: end it, then start again`);
    await sleep(POLL_MS);
  }
  return { pid, socketDirectory };
}

/** Where the server that runs on this cluster is reached: its Unix socket's directory. Undefined if none runs. */
export function runningAt(cluster: string): { readonly host: string; readonly port: number } | undefined {
  const lines = postmasterPid(cluster);
  const host = lines?.[4]?.trim();
  return lines !== undefined && host && isPostmasterOf(Number(lines[0]), cluster) ? { host, port: Number(lines[3]) } : undefined;
}

/** The last lines written since `from`; the server's log holds no secrets of ours, but may hold statements: only its start is read here. */
function tail(path: string, from: number): string {
  const size = statSync(path).size;
  const begin = Math.max(from, size - 4000);
  const buffer = Buffer.alloc(Math.max(0, size - begin));
  const file = openSync(path, 'r');
  try {
    readSync(file, buffer, 0, buffer.length, begin);
  } finally {
    closeSync(file);
  }
  return buffer.toString('utf8').trim().split('\n').slice(-12).join('\n');
}
