/**
 * EXPORT against psql: `npm run bench:export [-- --rounds 5 --mb 1000 --version 15 --gzip]`.
 *
 * On a scratch server behind a PgPier of its own, a table of about `--mb` megabytes of CSV is written by `psql -c "COPY … TO STDOUT" > file`
 * (straight to PostgreSQL) and by EXPORT to nodelocal, in turns. Beside both, two other sessions ask `select 1`, one through PgPier and one
 * straight: what their medians rise by is the machine's doing in the second, and the relay's share is the difference. README.md.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { startPgpier } from '../test/servers/pgpier.ts';
import { type PostgresVersion, postgresBin, startPostgres } from '../test/servers/postgres.ts';
import { descendants } from '../test/servers/processes.ts';
import { startNeighbour } from './neighbour.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    mb: { type: 'string', default: '1000' },
    version: { type: 'string', default: '15' },
    gzip: { type: 'boolean', default: false },
  },
});
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[list.length >> 1]!;

/** Rows of about 120 bytes, of the types that business tables have. */
const fill = `create unlogged table bulk as select n as id, (n % 1000)::int as account, (n * 7 % 100003) / 100.0 as amount,
  timestamptz '2024-01-01' + n * interval '1 second' as at, md5(n::text) as reference,
  case when n % 10 = 0 then 'a, "quoted" note' else 'plain note ' || n end as note from generate_series(1, $1::int) n`;

const folder = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
const server = await startPostgres({ version: Number(values.version) as PostgresVersion, settings: { shared_buffers: '1GB' } });
const pgpier = await startPgpier({ backend: server });
const admin = new pg.Client({ connectionString: pgpier.url });

async function exportOnce(round: number): Promise<number> {
  const options = values.gzip ? ' with compression = gzip' : '';
  const { rows } = await admin.query<{ bytes: string }>(`export into csv 'nodelocal://self/bench-${round}'${options} from table bulk`);
  rmSync(join(pgpier.externalDirectory, `bench-${round}`), { recursive: true });
  return rows.reduce((sum, { bytes }) => sum + Number(bytes), 0);
}

async function psqlOnce(): Promise<number> {
  const file = join(folder, 'psql.csv');
  const target = `host=${server.socketDir} port=${server.port} user=postgres dbname=postgres`;
  const copy = 'copy bulk to stdout with (format csv)';
  const child = spawn('sh', ['-c', '"$0" -X -q -d "$1" -c "$2" > "$3"', join(postgresBin(15) ?? '', 'psql'), target, copy, file]);
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0) throw new Error(`psql ended with ${code}`);
  const { size } = statSync(file);
  rmSync(file);
  return size;
}

/** The highest resident memory of any process under the proxy, in MB. */
function workerPeak(): number {
  const peaks = descendants(pgpier.pid).map((pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0));
  return Math.round(Math.max(0, ...peaks) / 1024);
}

try {
  await admin.connect();
  const rows = Math.round((Number(values.mb) * 1e6) / 118);
  print(`filling ${rows} rows; ${values.rounds} rounds; PostgreSQL ${values.version}`);
  await admin.query(fill.replace('$1', String(rows)));
  await admin.query('vacuum analyze bulk');
  await psqlOnce();
  await exportOnce(0);
  const relayed = await startNeighbour(pgpier.url);
  const straight = await startNeighbour(server.connectionString());
  const ratios: number[] = [];
  const rise = { idle: [] as number[], export: [] as number[], straightIdle: [] as number[], straightExport: [] as number[] };
  for (let round = 1; round <= Number(values.rounds); round++) {
    const timed = async (work: () => Promise<number>) => {
      const begun = performance.now();
      const beside = await relayed.during(() => straight.during(work));
      return {
        seconds: (performance.now() - begun) / 1000,
        bytes: beside.result.result,
        p50: beside.p50,
        straight: beside.result.p50,
      };
    };
    const idle = await timed(() => sleep(1000, 0));
    // Each goes first in every other round.
    const first = round % 2 === 0 ? await timed(psqlOnce) : undefined;
    const ours = await timed(() => exportOnce(round));
    const psql = first ?? (await timed(psqlOnce));
    ratios.push(psql.seconds / ours.seconds);
    rise.idle.push(idle.p50);
    rise.export.push(ours.p50);
    rise.straightIdle.push(idle.straight);
    rise.straightExport.push(ours.straight);
    print(
      `round ${round}: psql ${psql.seconds.toFixed(2)} s, EXPORT ${ours.seconds.toFixed(2)} s, ${(ours.bytes / 1e6).toFixed(0)} MB, ` +
        `speed ${ratios.at(-1)!.toFixed(2)} of psql; p50 of others ${idle.p50.toFixed(0)} → ${ours.p50.toFixed(0)} µs ` +
        `(straight ${idle.straight.toFixed(0)} → ${ours.straight.toFixed(0)}; during psql ${psql.p50.toFixed(0)}, ${psql.straight.toFixed(0)})`,
    );
  }
  print(`median speed: ${median(ratios).toFixed(2)} of psql's (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`);
  print(
    `p50 of others during EXPORT: ${(median(rise.export) / median(rise.idle)).toFixed(2)} of idle through PgPier, ` +
      `${(median(rise.straightExport) / median(rise.straightIdle)).toFixed(2)} straight`,
  );
  if (process.platform === 'linux') print(`worker peak memory: ${workerPeak()} MB`);
  await Promise.all([relayed.stop(), straight.stop()]);
} finally {
  await admin.end();
  await pgpier.stop();
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
