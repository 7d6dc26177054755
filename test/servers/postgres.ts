/**
 * A real PostgreSQL for one test file: `startPostgres({ version: 15 })`.
 *
 * A data directory is initialised once per version, kept in the temp directory and copied for every server. fsync is
 * off, everybody is trusted unless `hba` says otherwise. A watchdog shell that waits on a pipe of ours removes server
 * and data even when the test process is killed with SIGKILL.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres, type PostgresVersion, postgresBin, serverLogin } from './postgresBinaries.ts';

export { missingPostgres, type PostgresVersion, postgresBin } from './postgresBinaries.ts';

export type PostgresOptions = {
  readonly version: PostgresVersion;
  /** postgresql.conf settings, added last. */
  readonly settings?: Readonly<Record<string, string>>;
  /** The whole pg_hba.conf; default: trust for the socket and the loopback addresses. */
  readonly hba?: string;
  /** PEM texts; turns ssl on. */
  readonly ssl?: { readonly cert: string; readonly key: string };
  /** Also listen on 127.0.0.1; default true. */
  readonly tcp?: boolean;
  /** Default: any free one. */
  readonly port?: number;
  /** A server of the same version, whose data it copies and then follows. */
  readonly standbyOf?: Postgres;
};

export type Postgres = {
  readonly version: PostgresVersion;
  /** Directory of the Unix socket `.s.PGSQL.<port>`. */
  readonly socketDir: string;
  readonly port: number;
  readonly superuser: 'postgres';
  readonly dataDir: string;
  /** Everything the server said, from its first line on. */
  readonly logFile: string;
  /** Process id of the postmaster; changes with `restart()`. */
  readonly pid: number;
  /** `postgres://…` over TCP (over the socket with `tcp: false`). */
  connectionString(database?: string, user?: string): string;
  /** Signal to the postmaster: SIGTERM smart, SIGINT fast, SIGQUIT immediate, SIGKILL crash. Does not wait. */
  kill(signal: NodeJS.Signals): void;
  /** Fast stop and start on the same port and data. */
  restart(): Promise<void>;
  /** Immediate stop; removes everything. Safe to call twice. */
  stop(): Promise<void>;
};

const DEFAULTS: Readonly<Record<string, string>> = {
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  shared_buffers: '32MB',
  max_connections: '200',
  max_prepared_transactions: '10',
  autovacuum_naptime: '1d',
  log_line_prefix: '%m [%p] %q%u@%d ',
  unix_socket_permissions: '0777',
};

const TRUST = 'local all all trust\nhost all all 127.0.0.1/32 trust\nhost all all ::1/128 trust\nlocal replication all trust\n';

/** @throws Error when the version is not on this machine (ask `missingPostgres` first) or the server does not come up. */
export async function startPostgres(options: PostgresOptions): Promise<Postgres> {
  const missing = missingPostgres(options.version);
  if (missing) throw new Error(missing);
  const bin = postgresBin(options.version)!;
  const login = serverLogin();
  const template = templateData(options.version, bin);

  // Short, because a socket's path may have 107 bytes at most.
  const home = mkdtempSync(join(tmpdir(), 'pgp-'));
  chmodSync(home, 0o755);
  if (login) chownSync(home, login.uid, login.gid);
  const dataDir = join(home, 'data');
  const logFile = join(home, 'log');
  if (options.standbyOf) {
    const { socketDir, port } = options.standbyOf;
    const from = ['-h', socketDir, '-p', String(port), '-U', 'postgres'];
    execFileSync(join(bin, 'pg_basebackup'), [...from, '-D', dataDir, '-R', '-c', 'fast', '-X', 'stream'], {
      ...login,
      cwd: home,
      stdio: 'pipe',
    });
  } else execFileSync('cp', ['-R', template, dataDir], login ?? {});
  chmodSync(dataDir, 0o700);

  const port = options.port ?? (await freePort());
  const settings: Record<string, string> = {
    ...DEFAULTS,
    unix_socket_directories: home,
    port: String(port),
    listen_addresses: options.tcp === false ? '' : '127.0.0.1',
    ...(options.ssl ? { ssl: 'on' } : {}),
    ...options.settings,
  };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'\n`);
  appendFileSync(join(dataDir, 'postgresql.conf'), lines.join(''));
  writeFileSync(join(dataDir, 'pg_hba.conf'), options.hba ?? TRUST);
  if (options.ssl) {
    for (const [name, text] of [['server.crt', options.ssl.cert] as const, ['server.key', options.ssl.key] as const]) {
      writeFileSync(join(dataDir, name), text, { mode: 0o600 });
      if (login) chownSync(join(dataDir, name), login.uid, login.gid);
    }
  }

  const state = { running: await launch(bin, dataDir, logFile, login), stopped: false };
  let watchdog = guard(state.running.pid!, home);

  return {
    version: options.version,
    socketDir: home,
    port,
    superuser: 'postgres',
    dataDir,
    logFile,
    get pid() {
      return state.running.pid!;
    },
    connectionString(database = 'postgres', user = 'postgres') {
      const name = encodeURIComponent(database);
      if (options.tcp === false) return `postgres://${encodeURIComponent(user)}@/${name}?host=${encodeURIComponent(home)}&port=${port}`;
      return `postgres://${encodeURIComponent(user)}@127.0.0.1:${port}/${name}`;
    },
    kill(signal) {
      state.running.kill(signal);
    },
    async restart() {
      await end(state.running, 'SIGINT');
      watchdog.kill('SIGKILL');
      state.running = await launch(bin, dataDir, logFile, login);
      watchdog = guard(state.running.pid!, home);
    },
    async stop() {
      if (state.stopped) return;
      state.stopped = true;
      await end(state.running, 'SIGQUIT');
      watchdog.kill('SIGKILL');
      rmSync(home, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** One initialised data directory per build of PostgreSQL, shared by all test processes; made aside and renamed into place. */
function templateData(version: PostgresVersion, bin: string): string {
  const login = serverLogin();
  const built = statSync(join(bin, 'postgres')).mtimeMs.toString(36);
  const template = join(tmpdir(), `pgpier-test-data-${version}-${login?.uid ?? process.getuid?.() ?? 0}-${built}`);
  if (existsSync(join(template, 'PG_VERSION'))) return template;
  const making = mkdtempSync(`${template}-`);
  if (login) chownSync(making, login.uid, login.gid);
  const flags = ['--pgdata', making, '--username=postgres', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync'];
  execFileSync(join(bin, 'initdb'), flags, { ...login, stdio: ['ignore', 'ignore', 'pipe'], cwd: tmpdir(), env: cleanEnv() });
  try {
    renameSync(making, template);
  } catch {
    rmSync(making, { recursive: true, force: true });
    if (!existsSync(join(template, 'PG_VERSION'))) throw new Error(`cannot make ${template}`);
  }
  return template;
}

async function launch(bin: string, dataDir: string, logFile: string, login: ReturnType<typeof serverLogin>): Promise<ChildProcess> {
  const log = openSync(logFile, 'a', 0o644);
  const child = spawn(join(bin, 'postgres'), ['-D', dataDir], {
    ...login,
    stdio: ['ignore', log, log],
    cwd: dataDir,
    env: cleanEnv(),
    // Its own process group: a Ctrl-C at the terminal is for the test run, which then stops the server.
    detached: true,
  });
  closeSync(log);
  child.unref();
  const failed = new Promise<never>((_, reject) => child.once('error', reject));
  failed.catch(() => {});
  for (let waited = 0; waited < 30_000; waited += 20) {
    await Promise.race([sleep(20), failed]);
    if (child.exitCode !== null || child.signalCode !== null) break;
    if (isReady(join(dataDir, 'postmaster.pid'), child.pid!)) return child;
  }
  child.kill('SIGKILL');
  throw new Error(`PostgreSQL did not start:\n${readFileSync(logFile, 'utf8').slice(-2000)}`);
}

/** Line 8 of postmaster.pid says "ready" once connections are accepted: what pg_ctl -w looks at. */
function isReady(pidFile: string, pid: number): boolean {
  try {
    const lines = readFileSync(pidFile, 'utf8').split('\n');
    return Number(lines[0]) === pid && lines[7]?.trim() === 'ready';
  } catch {
    return false;
  }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.ref();
  const exited = new Promise((resolve) => child.once('exit', resolve));
  child.kill(signal);
  if ((await Promise.race([exited, sleep(10_000, 'late', { ref: false })])) === 'late') {
    child.kill('SIGKILL');
    await exited;
  }
}

/** Stops the server and removes its directory as soon as this process is gone, however it went: its stdin ends then. */
function guard(pid: number, home: string): ChildProcess {
  const script = 'cat >/dev/null; kill -QUIT "$0" 2>/dev/null && sleep 1; rm -rf "$1"';
  const shell = spawn('/bin/sh', ['-c', script, String(pid), home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return shell;
}

/** PG* variables and locales of whoever runs the tests must not reach the server. */
function cleanEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' };
}

/** A TCP port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A fresh directory of the temp directory that the server's login may write; the caller removes it. */
export function serverDirectory(prefix = 'pgp-dir-'): string {
  const dir = mkdtempSync(join(tmpdir(), prefix));
  const login = serverLogin();
  if (login) chownSync(dir, login.uid, login.gid);
  return dir;
}
