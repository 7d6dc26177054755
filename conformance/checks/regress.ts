/** PostgreSQL's own regression suite, of the server's own version: its sources come from Debian, regress.so is built from them. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Check, Item } from '../check.ts';
import { environment, programPath, run } from '../programs.ts';

const cache = join(homedir(), '.cache', 'pgpier', 'conformance');
const pgRegress = '/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress';
const headers = '/usr/include/postgresql/15/server';
const pools = ['http://deb.debian.org/debian/pool/main', 'http://deb.debian.org/debian-security/pool/updates/main'];

export const regress: Check = {
  name: 'pg_regress',
  description: "PostgreSQL's own regression suite (parallel_schedule): the same tests pass, failing ones fail with the same diff",
  missing() {
    if (!existsSync(pgRegress) || !existsSync(headers))
      return 'pg_regress and headers are missing (apt-get install postgresql-server-dev-15)';
    try {
      sources();
      return false;
    } catch (error) {
      return `the sources of PostgreSQL ${version()} cannot be had: ${(error as Error).message.split('\n')[0]}`;
    }
  },
  async run(endpoint) {
    const directory = join(endpoint.directory, 'regress');
    cpSync(sources(), directory, { recursive: true });
    // The server itself writes and reads files here, under its own account.
    for (const each of ['', 'results', 'testtablespace']) {
      mkdirSync(join(directory, each), { recursive: true });
      chmodSync(join(directory, each), 0o777);
    }
    const args = [
      '--inputdir=.',
      '--outputdir=.',
      '--dlpath=.',
      '--max-connections=10',
      '--schedule=parallel_schedule',
      '--dbname=regression',
    ];
    try {
      execFileSync(
        pgRegress,
        [...args, `--bindir=${programPath('.')}`, `--host=${endpoint.host}`, `--port=${endpoint.port}`, `--user=${endpoint.user}`],
        {
          cwd: directory,
          env: { ...environment(endpoint), PGTZ: 'PST8PDT' },
          stdio: 'ignore',
          timeout: 900_000,
        },
      );
    } catch {
      // pg_regress ends with 1 for each failing test: the items tell which.
    }
    await run(endpoint, 'dropdb', ['--if-exists', '--force', 'regression']);
    return itemsOf(directory);
  },
};

function version(): string {
  return /\d+\.\d+/.exec(execFileSync(programPath('postgres'), ['--version'], { encoding: 'utf8' }))![0];
}

/** Minor releases before the server's own that do where Debian has no sources of it: tests change little, and both endpoints run the same. */
const olderMinors = 4;

/** src/test/regress with regress.so, fetched and built once: of the server's version, or of the newest one before it that Debian has. */
function sources(): string {
  const [major, minor] = version().split('.').map(Number) as [number, number];
  const candidates = Array.from({ length: olderMinors + 1 }, (_, i) => `${major}.${minor - i}`);
  const built = candidates.map(folderOf).find((folder) => existsSync(join(folder, 'regress.so')));
  if (built !== undefined) return built;
  mkdirSync(cache, { recursive: true });
  const found = candidates.find((candidate) => pools.some((pool) => fetchSources(candidate, pool)));
  if (found === undefined) throw new Error(`Debian has none of ${candidates.join(', ')}`);
  execFileSync('tar', ['-xjf', archiveOf(found), '-C', cache, `postgresql-${found}/src/test/regress`, `postgresql-${found}/contrib/spi`]);
  const contrib = join(cache, `postgresql-${found}`, 'contrib', 'spi');
  const folder = folderOf(found);
  for (const module of ['autoinc', 'refint']) build(join(contrib, `${module}.c`), join(folder, `${module}.so`), contrib);
  build(join(folder, 'regress.c'), join(folder, 'regress.so'), contrib);
  return folder;
}

const folderOf = (release: string): string => join(cache, `postgresql-${release}`, 'src', 'test', 'regress');
const archiveOf = (release: string): string => join(cache, `postgresql-${release}.tar.bz2`);

function fetchSources(release: string, pool: string): boolean {
  if (existsSync(archiveOf(release))) return true;
  const url = `${pool}/p/postgresql-15/postgresql-15_${release}.orig.tar.bz2`;
  try {
    execFileSync('curl', ['-sSf', '--max-time', '120', '-o', archiveOf(release), url], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function build(source: string, out: string, contrib: string): void {
  execFileSync('gcc', ['-O2', '-fPIC', '-shared', '-fwrapv', '-w', `-I${headers}`, `-I${contrib}`, '-o', out, source], { stdio: 'ignore' });
}

/** From pg_regress' own lines, `test x ... ok 12 ms`, and its diffs, file by file. */
function itemsOf(directory: string): Item[] {
  const log = readFileSync(join(directory, 'regression.out'), 'utf8');
  const file = join(directory, 'regression.diffs');
  const diffs = existsSync(file) ? readFileSync(file, 'utf8').split(/^diff /m) : [];
  return [...log.matchAll(/^(?:test)?\s+(\w+)\s+\.\.\. (ok|FAILED|failed \(ignored\))/gm)].map(([, name, verdict]) => {
    if (verdict === 'ok') return { name: name! };
    const diff =
      diffs
        .find((each) => each.includes(`/results/${name}.out`))
        ?.replaceAll(directory, '')
        .replace(/^.*\t\d{4}-.*$/gm, '') ?? '';
    return { name: name!, failure: 'FAILED', output: diff };
  });
}
