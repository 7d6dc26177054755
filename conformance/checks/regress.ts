/** PostgreSQL's own regression suite: its sources come from Debian, regress.so is built from them. */
import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Item } from '../check.ts';
import { environment, programPath, run } from '../programs.ts';
import { archive, cache, command } from '../sources.ts';

const pgRegress = '/usr/lib/postgresql/15/lib/pgxs/src/test/regress/pg_regress';
const headers = '/usr/include/postgresql/15/server';
/** SHA-256 of PostgreSQL's release archives, as Debian's signed .dsc files have them: what is compiled and loaded into a server is known. */
const releases: Readonly<Record<string, string>> = {
  '15.18': '11df0df97fe3ea4ba9a791faaf39cee1d2fe571e78885b5b55d8517d27c323b4',
  '15.19': 'e1a64a87a46b825b88c082e4518161a47aab53c45694964f8ba1df28f7859f89',
};

export const regress: Check = {
  name: 'pg_regress',
  description: "PostgreSQL's own regression suite (parallel_schedule): the same tests pass, failing ones fail with the same diff",
  missing: () =>
    existsSync(pgRegress) && existsSync(headers) ? false : 'pg_regress and headers are missing (apt-get install postgresql-server-dev-15)',
  prepare: () => void sources(),
  note: () =>
    `The tests of pg_regress are those of PostgreSQL ${releaseFor(version())}; what fails on both alike fails with the same diff.`,
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

/** src/test/regress with regress.so, fetched and built once: of the newest known release that is not newer than the server. */
function sources(): string {
  const release = releaseFor(version());
  if (release === undefined) throw new Error(`no known release is as old as the server; there are ${Object.keys(releases).join(', ')}`);
  const folder = folderOf(release);
  if (existsSync(join(folder, 'regress.so'))) return folder;
  const tarball = archive(`postgresql-${release}.tar.bz2`, releases[release]!, (partial) => fetchSources(release, partial));
  command('tar', ['-xjf', tarball, '-C', cache, `postgresql-${release}/src/test/regress`, `postgresql-${release}/contrib/spi`]);
  const contrib = join(cache, `postgresql-${release}`, 'contrib', 'spi');
  for (const module of ['autoinc', 'refint']) build(join(contrib, `${module}.c`), join(folder, `${module}.so`), contrib);
  build(join(folder, 'regress.c'), join(folder, 'regress.so'), contrib);
  return folder;
}

function releaseFor(server: string): string | undefined {
  const minor = (release: string): number => Number(release.split('.')[1]);
  const usable = Object.keys(releases).filter((release) => minor(release) <= minor(server));
  return usable.sort((a, b) => minor(b) - minor(a))[0];
}

const folderOf = (release: string): string => join(cache, `postgresql-${release}`, 'src', 'test', 'regress');

/** From where apt has the server itself. */
function fetchSources(release: string, partial: string): void {
  const uris = command('apt-get', ['download', '--print-uris', 'postgresql-15'], { cwd: cache });
  const pool = /'(https?:\/\/[^']+)\/[^/']+'/.exec(uris)?.[1];
  if (pool === undefined) throw new Error('apt does not know postgresql-15');
  command('curl', ['-sSf', '--max-time', '120', '-o', partial, `${pool}/postgresql-15_${release}.orig.tar.bz2`]);
}

function build(source: string, out: string, contrib: string): void {
  command('gcc', ['-O2', '-fPIC', '-shared', '-fwrapv', '-w', `-I${headers}`, `-I${contrib}`, '-o', out, source]);
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
