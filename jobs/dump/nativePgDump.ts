/** pg_dump as a program of this machine. Its connection is libpq's: the password stands in the environment, never among the arguments. */
import { execFile, spawn } from 'node:child_process';
import { accessSync, constants, globSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { BackendLogin } from '../task.ts';
import type { DumpRequest } from './dump.ts';
import { pgDumpError } from './pgDumpError.ts';

export interface NativePgDump {
  readonly path: string;
  readonly major: number;
}

/** Where packages put servers' own clients; Debian's `/usr/bin/pg_dump` is a script that picks one of them by the cluster, so these come first. */
const folders = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/opt/homebrew/opt/postgresql@*/bin',
  '/usr/local/pgsql/bin',
  '/usr/libexec/postgresql*',
];
/** How much of what pg_dump says on stderr is kept. */
const STDERR_BYTES = 64 * 1024;

let known: Promise<readonly NativePgDump[]> | undefined;

/** The newest pg_dump of this machine if it reads such a server; pg_dump refuses servers of a newer major. */
export async function findNativePgDump(serverMajor: number): Promise<NativePgDump | undefined> {
  known ??= findAll();
  const [newest] = await known;
  return newest !== undefined && newest.major >= serverMajor ? newest : undefined;
}

async function findAll(): Promise<readonly NativePgDump[]> {
  const path = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = [...folders.flatMap((folder) => globSync(folder)), ...path]
    .map((folder) => join(folder, 'pg_dump'))
    .filter(isExecutable);
  const found = await Promise.all([...new Set(candidates.map((file) => realpathSync(file)))].map(versionOf));
  return found.filter((each) => each !== undefined).sort((a, b) => b.major - a.major);
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function versionOf(path: string): Promise<NativePgDump | undefined> {
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 10_000 });
    const major = Number(/\(PostgreSQL\) (\d+)/.exec(stdout)?.[1]);
    return Number.isInteger(major) ? { path, major } : undefined;
  } catch {
    return undefined;
  }
}

export async function runNativePgDump(
  path: string,
  { login }: DumpRequest,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly sql: string; readonly stderr: string }> {
  const child = spawn(path, args, { stdio: ['ignore', 'pipe', 'pipe'], env: libpqEnvironment(login) });
  // A query that waits for a lock does not look at signals: killed, its backend ends with the socket.
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  try {
    const output: Buffer[] = [];
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => output.push(chunk));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (stderr.length < STDERR_BYTES) stderr += text;
    });
    const code = await new Promise<number | null>((resolve, reject) => child.once('error', reject).once('close', resolve));
    signal.throwIfAborted();
    if (code !== 0) throw pgDumpError(stderr);
    return { sql: Buffer.concat(output).toString('utf8'), stderr };
  } finally {
    signal.removeEventListener('abort', kill);
  }
}

/** Nothing of our own environment but what finding libraries and certificates needs. */
function libpqEnvironment(login: BackendLogin): NodeJS.ProcessEnv {
  const kept = ['PATH', 'HOME', 'LD_LIBRARY_PATH', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'TMPDIR'];
  return {
    ...Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))),
    LC_ALL: 'C',
    PGHOST: login.host,
    PGPORT: String(login.port),
    PGDATABASE: login.database,
    PGUSER: login.user,
    PGPASSWORD: login.password,
    PGPASSFILE: '/dev/null',
    PGSSLMODE: login.host.startsWith('/') ? 'disable' : login.sslmode,
    ...(login.sslrootcert === undefined ? {} : { PGSSLROOTCERT: login.sslrootcert }),
    PGAPPNAME: 'pgpier pg_dump',
    PGCLIENTENCODING: 'UTF8',
    PGCONNECT_TIMEOUT: '15',
    PGGSSENCMODE: 'disable',
    PGOPTIONS: '-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0',
  };
}
