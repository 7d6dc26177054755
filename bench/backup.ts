/**
 * BACKUP and RESTORE against pg_dump and pg_restore: `npm run bench:backup [-- --rounds 5 --mb 1000 --bin /folder/of/pg_dump]`.
 *
 * On a scratch PostgreSQL 15 behind a PgPier of its own: pgbench's tables and a wide one (jsonb, text, numeric, arrays), about `--mb` of COPY text. In
 * turns: pg_dump -Fd -j2 (zstd:1 where it can, else gzip:1), BACKUP to nodelocal, pg_restore -j2, RESTORE. Peers reach PostgreSQL by its Unix
 * socket, as PgPier's worker does. Beside all of it another session asks `select 1` through PgPier. README.md.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startPgpier } from '../test/servers/pgpier.ts';
import { postgresBin, startPostgres } from '../test/servers/postgres.ts';
import { descendants } from '../test/servers/processes.ts';
import { startNeighbour } from './neighbour.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    mb: { type: 'string', default: '1000' },
    bin: { type: 'string', default: postgresBin(15) ?? '' },
  },
});
const rounds = Number(values.rounds);
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

const folder = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
const settings = { shared_buffers: '1GB', max_wal_size: '4GB', autovacuum: 'off', jit: 'off' };
const server = await startPostgres({ version: 15, settings });
const pgpier = await startPgpier({ backend: server });
const admin = new pg.Client({ connectionString: pgpier.connectionString('postgres') });

const version = execFileSync(join(values.bin, 'pg_dump'), ['--version'], { encoding: 'utf8' }).trim();
const codec = Number(/\) (\d+)/.exec(version)?.[1]) >= 16 ? 'zstd:1' : '1';
const to = ['-h', server.socketDir, '-p', String(server.port), '-U', 'postgres'];

async function run(tool: 'pg_dump' | 'pg_restore', args: readonly string[]): Promise<void> {
  const child = spawn(join(values.bin, tool), args, { stdio: ['ignore', 'ignore', 'ignore'] });
  const code = await new Promise((resolve) => child.once('close', resolve));
  // pg_restore 17 ends with 1 before a 15, which does not know transaction_timeout; pg_dump must succeed.
  if (code !== 0 && tool === 'pg_dump') throw new Error(`${tool} ended with ${code}`);
}

/** CPU seconds and peak memory (MB) of the worker that carries out jobs. */
function worker(): { readonly cpu: number; readonly peak: number } {
  for (const pid of descendants(pgpier.pid)) {
    if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('jobWorker')) continue;
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return { cpu: (Number(fields[11]) + Number(fields[12])) / 100, peak: Math.round(Number(peak) / 1024) };
  }
  return { cpu: Number.NaN, peak: Number.NaN };
}

const sizeOf = (path: string): number =>
  readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0);

try {
  await admin.connect();
  await admin.query('create database bench');
  const scale = Math.max(1, Math.round(Number(values.mb) / 16.2));
  execFileSync(join(postgresBin(15)!, 'pgbench'), [...to, '-i', '-q', '-s', String(scale), 'bench'], { stdio: 'ignore' });
  const bench = new pg.Client({ connectionString: server.connectionString('bench') });
  // What ends it is told by the query under way.
  bench.on('error', () => {});
  await bench.connect();
  await bench.query(
    `create table wide as select i as id, md5(i::text) || md5((i * 7)::text) as text1, jsonb_build_object('k', i, 'v', md5((i * 3)::text)) as doc,
        (i * 1.37)::numeric(14, 4) as amount, timestamptz '2024-01-01' + i * interval '1 second' as at, array[md5(i::text), 'b'] as tags, gen_random_uuid() as u
      from generate_series(1, $1::int) i`.replace('$1', String(scale * 12_000)),
  );
  await bench.query('alter table wide add primary key (id); create index on wide (at); create index on wide (amount)');
  await bench.query('vacuum analyze');
  await bench.end();
  print(
    `${version} with ${codec}, 2 jobs; PgPier with ${Math.max(2, Math.min(4, navigator.hardwareConcurrency))} sessions; scale ${scale}, ${rounds} rounds`,
  );
  const neighbour = await startNeighbour(pgpier.connectionString('postgres'));
  const figures: Record<string, number[]> = {};
  const note = (name: string, value: number): void => {
    figures[name] = [...(figures[name] ?? []), value];
  };
  const timed = async (name: string, work: () => Promise<unknown>): Promise<number> => {
    await admin.query('checkpoint');
    const before = worker().cpu;
    const begun = performance.now();
    const { p50 } = await neighbour.during(work);
    const seconds = (performance.now() - begun) / 1000;
    note(`${name} s`, seconds);
    note(`${name} p50`, p50);
    note(`${name} worker CPU`, worker().cpu - before);
    return seconds;
  };
  for (let round = 0; round <= rounds; round++) {
    if (round === 1) for (const name of Object.keys(figures)) delete figures[name];
    await timed('idle', () => sleep(1000, 0));
    const dumped = join(folder, 'dump');
    const steps: [string, () => Promise<unknown>][] = [
      ['pg_dump', () => run('pg_dump', [...to, '-Fd', '-j2', `-Z${codec}`, '-f', dumped, 'bench'])],
      ['BACKUP', () => admin.query(`backup database bench into 'nodelocal://1/bench'`)],
    ];
    for (const [name, work] of round % 2 ? steps.reverse() : steps) await timed(name, work);
    if (round === 0)
      print(
        `sizes: pg_dump ${(sizeOf(dumped) / 1e6).toFixed(0)} MB, BACKUP ${(sizeOf(join(pgpier.externalDirectory, 'bench')) / 1e6).toFixed(0)} MB`,
      );
    await admin.query('create database restored1');
    const back: [string, () => Promise<unknown>][] = [
      ['pg_restore', () => run('pg_restore', [...to, '-j2', '-d', 'restored1', dumped])],
      ['RESTORE', () => admin.query(`restore database bench from latest in 'nodelocal://1/bench' with new_db_name = 'restored2'`)],
    ];
    for (const [name, work] of round % 2 ? back.reverse() : back) await timed(name, work);
    for (const name of ['restored1', 'restored2']) await admin.query(`drop database ${name}`);
    rmSync(dumped, { recursive: true });
    rmSync(join(pgpier.externalDirectory, 'bench'), { recursive: true });
  }
  await neighbour.stop();
  const ratio = (own: string, peer: string): string => {
    const list = figures[`${own} s`]!.map((seconds, round) => seconds / figures[`${peer} s`]![round]!);
    return `${median(list).toFixed(2)} of ${peer}'s time (${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)}); ${median(figures[`${own} s`]!).toFixed(1)} s and ${median(figures[`${peer} s`]!).toFixed(1)} s`;
  };
  print(`BACKUP:  ${ratio('BACKUP', 'pg_dump')}; worker CPU ${median(figures['BACKUP worker CPU']!).toFixed(1)} s`);
  print(`RESTORE: ${ratio('RESTORE', 'pg_restore')}; worker CPU ${median(figures['RESTORE worker CPU']!).toFixed(1)} s`);
  print(`peak memory of the worker: ${worker().peak} MB`);
  for (const name of ['pg_dump', 'BACKUP', 'pg_restore', 'RESTORE'])
    print(
      `p50 of another session during ${name}: ${(median(figures[`${name} p50`]!) / median(figures['idle p50']!)).toFixed(2)} of idle (${median(figures[`${name} p50`]!).toFixed(0)} µs)`,
    );
} finally {
  await admin.end();
  await pgpier.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
