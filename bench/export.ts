/**
 * EXPORT against psql: `npm run bench:export [-- --rounds 5 --mb 1000 --version 15 --proxy postgres://…]`.
 *
 * On a scratch server, a table of about `--mb` megabytes of CSV is written by `psql -c "COPY … TO STDOUT" > file` and by EXPORT to nodelocal, in
 * turns. Without `--proxy` the statement's worker is asked directly; with it, the statement runs through that proxy (whose nodelocal must be
 * on, and whose backend then holds the table). Prints the ratio of speeds per round and the worker's peak memory. Compare ratios, never rates.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { createJobLogins } from '../jobs/loginRole.ts';
import { startWorkers } from '../jobs/pool.ts';
import { type PostgresVersion, postgresBin, startPostgres } from '../test/servers/postgres.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    mb: { type: 'string', default: '1000' },
    version: { type: 'string', default: '15' },
    proxy: { type: 'string' },
    gzip: { type: 'boolean', default: false },
  },
});
const print = (text: string) => process.stdout.write(`${text}\n`);

const table = 'pgpier_bench_export';
/** Rows of about 120 bytes, of the types that business tables have. */
const fill = `create unlogged table ${table} as select n as id, (n % 1000)::int as account, (n * 7 % 100003) / 100.0 as amount,
  timestamptz '2024-01-01' + n * interval '1 second' as at, md5(n::text) as reference, case when n % 10 = 0 then 'a, "quoted" note' else 'plain note ' || n end as note
  from generate_series(1, $1::int) n`;

const folder = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
const server =
  values.proxy === undefined
    ? await startPostgres({ version: Number(values.version) as PostgresVersion, settings: { shared_buffers: '1GB' } })
    : undefined;
const url = values.proxy ?? server!.connectionString();
const admin = new pg.Pool({ connectionString: url });
const log = { info: (fields: object) => 'pid' in fields && pids.push(Number(fields.pid)), warn: () => {}, error: () => {} };
const pids: number[] = [];
const workers = server && startWorkers({ count: 1, storageSettings: { externalDir: folder, nodeId: 1, allowedNetworks: [] }, log });

async function exportOnce(id: number): Promise<number> {
  if (server === undefined) {
    const options = values.gzip ? ' WITH compression = gzip' : '';
    const { rows } = await admin.query(`EXPORT INTO CSV 'nodelocal://self/pgpier-bench-${id}'${options} FROM TABLE ${table}`);
    return rows.reduce((sum: number, { bytes }: { bytes: string }) => sum + Number(bytes), 0);
  }
  const logins = createJobLogins({ service: admin, backend: { host: server.socketDir, port: server.port, sslmode: 'disable' }, log });
  const { login, close } = await logins.open('postgres', 'postgres');
  const files = await workers!.run(
    {
      kind: 'export',
      target: { uri: 'nodelocal://self/out', trusted: true },
      login,
      role: 'postgres',
      settings: {},
      query: { text: `table ${table}`, offset: 0 },
      parameters: [],
      exportId: id.toString(16).padStart(32, '0'),
      csv: { delimiter: ',' },
      compression: values.gzip ? 'gzip' : 'none',
      chunkRows: 100_000,
      chunkSize: 32 * 1024 * 1024,
    },
    { signal: new AbortController().signal },
  );
  await close();
  return files.reduce((sum, { bytes }) => sum + bytes, 0);
}

function psqlOnce(): number {
  const file = join(folder, 'psql.csv');
  const copy = `COPY ${table} TO STDOUT WITH (FORMAT csv)`;
  const target = server === undefined ? url : `host=${server.socketDir} port=${server.port} user=postgres dbname=postgres`;
  const done = spawnSync('sh', ['-c', `"$0" -X -q -d "$1" -c "$2" > "$3"`, join(postgresBin(15) ?? '', 'psql'), target, copy, file]);
  if (done.status !== 0) throw new Error(String(done.stderr));
  return statSync(file).size;
}

/** CPU seconds of the worker (user and system), where /proc tells. */
function workerCpu(): number {
  try {
    const fields = readFileSync(`/proc/${pids[0]}/stat`, 'utf8').split(') ')[1]!.split(' ');
    return (Number(fields[11]) + Number(fields[12])) / 100;
  } catch {
    return Number.NaN;
  }
}

try {
  const rows = Math.round((Number(values.mb) * 1e6) / 118);
  print(`filling ${rows} rows`);
  await admin.query(`drop table if exists ${table}`);
  await admin.query(fill.replace('$1', String(rows)));
  await admin.query(`vacuum analyze ${table}`);
  psqlOnce();
  await exportOnce(0);
  const ratios: number[] = [];
  for (let round = 1; round <= Number(values.rounds); round++) {
    const measure = async (run: () => number | Promise<number>) => {
      const begun = performance.now();
      const bytes = await run();
      return { bytes, seconds: (performance.now() - begun) / 1000 };
    };
    const cpu = workerCpu();
    // Each goes first in every other round.
    const first = round % 2 === 0 ? await measure(psqlOnce) : undefined;
    const ours = await measure(() => exportOnce(round));
    const used = workerCpu() - cpu;
    const psql = first ?? (await measure(psqlOnce));
    ratios.push(psql.seconds / ours.seconds);
    print(
      `round ${round}: psql ${psql.seconds.toFixed(2)} s, EXPORT ${ours.seconds.toFixed(2)} s (worker CPU ${used.toFixed(2)} s), ` +
        `${(ours.bytes / 1e6).toFixed(0)} MB, speed ${ratios.at(-1)!.toFixed(2)} of psql`,
    );
    for (const name of readdirSync(folder)) if (name === 'out') rmSync(join(folder, name), { recursive: true });
  }
  ratios.sort((a, b) => a - b);
  print(`median speed: ${ratios[ratios.length >> 1]!.toFixed(2)} of psql's (${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)})`);
  if (pids[0] !== undefined && process.platform === 'linux') {
    const peak = /VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pids[0]}/status`, 'utf8'))?.[1];
    print(`worker peak memory: ${Math.round(Number(peak) / 1024)} MB`);
  }
  await admin.query(`drop table ${table}`);
} finally {
  await admin.end();
  await workers?.stop(AbortSignal.timeout(1000));
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
}
