/** The product as a user starts it: `node server/main.ts` in a process of its own, told by environment variables alone. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Postgres } from './postgres.ts';

export type PgpierOptions = {
  /** The server behind it, reached over its Unix socket; absent: the embedded one. */
  readonly backend?: Postgres;
  /** More PGPIER_… variables; they win. */
  readonly env?: Readonly<Record<string, string>>;
  /** More flags of Node itself, before the script. */
  readonly nodeFlags?: readonly string[];
};

export type Pgpier = {
  readonly host: '127.0.0.1';
  readonly port: number;
  /** As the ready line printed it. */
  readonly url: string;
  /** The same server with another database or user. */
  connectionString(database?: string, user?: string): string;
  readonly pid: number;
  /** Root of nodelocal:// */
  readonly externalDirectory: string;
  readonly dataDirectory: string;
  /** Everything it printed so far, both streams. */
  output(): string;
  stderr(): string;
  kill(signal: NodeJS.Signals): void;
  /** Exit code, or the signal's name. */
  readonly exited: Promise<number | string>;
  /** SIGTERM, SIGKILL after ten seconds; removes its directories. Safe to call twice. */
  stop(): Promise<void>;
};

const root = fileURLToPath(new URL('../..', import.meta.url));
const main = join(root, 'server', 'main.ts');

/** @throws Error with what it printed when no ready line comes within 60 s. */
export async function startPgpier(options: PgpierOptions = {}): Promise<Pgpier> {
  if (!existsSync(main)) throw new Error('server/main.ts is missing');
  const home = mkdtempSync(join(tmpdir(), 'pgpier-run-'));
  // As root the embedded server runs under another account, which has to pass through here; else PgPier would move the data elsewhere.
  chmodSync(home, 0o711);
  const externalDirectory = join(home, 'extern');
  mkdirSync(externalDirectory);
  const { backend } = options;
  const child = spawn(process.execPath, [...(options.nodeFlags ?? []), main], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...withoutSettings(process.env),
      PGPIER_LISTEN: '127.0.0.1:0',
      PGPIER_DATA: join(home, 'data'),
      PGPIER_EXTERNAL_DIR: externalDirectory,
      // Which forward path is tested is for whoever runs the tests to say.
      ...(process.env.PGPIER_NATIVE !== undefined && { PGPIER_NATIVE: process.env.PGPIER_NATIVE }),
      ...(backend ? { PGPIER_BACKEND: backendUri(backend), PGPIER_TRUST_BACKEND: 'on' } : {}),
      ...options.env,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const guard = watchdog(child, home);
  const exited = new Promise<number | string>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal!)));

  const url = await readyUrl(
    child,
    () => stdout,
    () => `${stdout}\n${stderr}`,
  );
  const port = Number(new URL(url).port);
  let stopped: Promise<void> | undefined;
  return {
    host: '127.0.0.1',
    port,
    url,
    connectionString: (database = 'postgres', user = 'postgres') =>
      `postgres://${encodeURIComponent(user)}@127.0.0.1:${port}/${encodeURIComponent(database)}`,
    pid: child.pid!,
    externalDirectory,
    dataDirectory: join(home, 'data'),
    output: () => `${stdout}\n${stderr}`,
    stderr: () => stderr,
    kill: (signal) => void child.kill(signal),
    exited,
    stop() {
      stopped ??= (async () => {
        child.kill('SIGTERM');
        if ((await Promise.race([exited, sleep(10_000, 'late' as const, { ref: false })])) === 'late') child.kill('SIGKILL');
        await exited;
        guard.kill('SIGKILL');
        rmSync(home, { recursive: true, force: true, maxRetries: 5 });
      })();
      return stopped;
    },
  };
}

async function readyUrl(child: ChildProcess, stdout: () => string, printed: () => string): Promise<string> {
  for (let waited = 0; waited < 60_000; waited += 25) {
    const ready = /pgpier ready: (postgres:\/\/\S+)/.exec(stdout());
    if (ready) return ready[1]!;
    if (child.exitCode !== null || child.signalCode !== null) break;
    await sleep(25);
  }
  child.kill('SIGKILL');
  throw new Error(`pgpier did not become ready:\n${printed().slice(-4000)}`);
}

function backendUri({ socketDir, port }: Postgres): string {
  return `postgres://postgres@/postgres?host=${encodeURIComponent(socketDir)}&port=${port}`;
}

/** Whoever runs the tests may have settings of their own. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(PGPIER_|PG[A-Z]+$)/.test(name)));
}

/** Ends the server and removes its directory when the test process is gone, however it went. */
function watchdog(child: ChildProcess, home: string): ChildProcess {
  const script = 'cat >/dev/null; kill -TERM "$0" 2>/dev/null && sleep 3; kill -KILL "$0" 2>/dev/null; rm -rf "$1"';
  const shell = spawn('/bin/sh', ['-c', script, String(child.pid), home], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return shell;
}
