/**
 * `npm run bench:relay`: PgPier against PgBouncer (session pooling) and a direct connection, on one PostgreSQL 15 over its Unix socket.
 *
 * Rounds are interleaved, every second one in reverse order, and ratios are medians of per-round ratios: a machine's hiccup then hits
 * neighbours alike. CPU is utime + stime of the proxy and its descendants from /proc (ticks of 10 ms), divided by transactions: the
 * steadiest of the figures. Variables: BENCH_ROUNDS (6), BENCH_SECONDS (3), BENCH_COPY_MB (200). README.md says how to read it.
 */
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { descendants } from '../test/faults/faultLab.ts';
import { startPgpier } from '../test/servers/pgpier.ts';
import { freePort, missingPostgres, type Postgres, postgresBin, startPostgres } from '../test/servers/postgres.ts';
import { serverLogin } from '../test/servers/postgresBinaries.ts';
import { encodeLine, startupPacket } from '../test/wire/encode.ts';

const rounds = Number(process.env.BENCH_ROUNDS ?? 6);
const seconds = Number(process.env.BENCH_SECONDS ?? 3);
const copyMegabytes = Number(process.env.BENCH_COPY_MB ?? 200);
const TICKS_PER_SECOND = 100;

interface Endpoint {
  readonly name: string;
  readonly port: number;
  /** The proxy's process; undefined for PostgreSQL itself. */
  readonly pid?: number;
}

/** One measurement: amount per second, CPU seconds of the proxy per unit of amount, median latency in µs. */
interface Sample {
  readonly rate: number;
  readonly cpu: number;
  readonly p50?: number;
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

const missing = missingPostgres(15) || (process.platform === 'linux' ? false : 'Linux: /proc is needed');
if (missing) {
  say(`bench:relay skipped: ${missing}`);
  process.exit(0);
}

const scratch = mkdtempSync(join(tmpdir(), 'pgpier-bench-'));
const login = serverLogin();
if (login) chownSync(scratch, login.uid, login.gid);
const pgbench = join(postgresBin(15)!, 'pgbench');
const postgres = await startPostgres({ version: 15, settings: { shared_buffers: '256MB', max_connections: '100', autovacuum: 'off' } });
const stops: (() => Promise<unknown>)[] = [() => postgres.stop()];
try {
  await main();
} finally {
  for (const stop of stops.reverse()) await stop();
  rmSync(scratch, { recursive: true, force: true });
}

async function main(): Promise<void> {
  const direct: Endpoint = { name: 'direct', port: postgres.port };
  execFileSync(pgbench, [...address(direct), '-i', '-s', '10', '-q', 'postgres'], { stdio: 'ignore' });
  const sql = `create table bulk as select i, repeat(md5(i::text), 32) as t from generate_series(1, ${copyMegabytes * 970}) i`;
  execFileSync(join(postgresBin(15)!, 'psql'), [...address(direct), '-qXc', sql, '-c', 'vacuum analyze', 'postgres']);

  const pgpier = await startPgpier({ backend: postgres });
  stops.push(() => pgpier.stop());
  const endpoints: Endpoint[] = [direct];
  const bouncer = await startPgbouncer(postgres);
  if (bouncer) endpoints.push(bouncer);
  else say('PgBouncer is not installed (apt-get install pgbouncer): no ratios to it');
  endpoints.push({ name: 'pgpier', port: pgpier.port, pid: pgpier.pid });

  say(`rounds ${rounds}, ${seconds} s each, PostgreSQL 15 over a Unix socket behind every proxy`);
  say('case               endpoint    rate        /direct  /pgbouncer  cpu µs   cpu/pgbouncer  p50 µs   added');
  for (const [label, mode, clients] of [
    ['simple c=8', 'simple', 8],
    ['prepared c=8', 'prepared', 8],
    ['simple c=1', 'simple', 1],
    ['prepared c=1', 'prepared', 1],
  ] as const) {
    await compare(`${label} tps`, endpoints, (endpoint) => transactions(endpoint, mode, clients), 1e6);
  }
  await compare('copy out MB/s', endpoints, copyOut, 1e6);
}

function address({ port }: Endpoint): string[] {
  return ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres'];
}

async function compare(
  label: string,
  endpoints: Endpoint[],
  measure: (endpoint: Endpoint) => Promise<Sample>,
  cpuUnit: number,
): Promise<void> {
  const samples = new Map<string, Sample[]>(endpoints.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const endpoint of round % 2 ? [...endpoints].reverse() : endpoints) samples.get(endpoint.name)!.push(await measure(endpoint));
  }
  const base = samples.get('direct')!;
  const reference = samples.get('pgbouncer');
  for (const { name, pid } of endpoints) {
    const own = samples.get(name)!;
    const ratio = (to: Sample[] | undefined, of: (sample: Sample) => number) =>
      to ? median(own.map((sample, i) => of(sample) / of(to[i]!))).toFixed(2) : '-';
    const p50 = own[0]?.p50 === undefined ? undefined : median(own.map((sample) => sample.p50!));
    const cells = [
      [label, 18],
      [name, 11],
      [median(own.map(({ rate }) => rate)).toFixed(0), 11],
      [ratio(base, ({ rate }) => rate), 8],
      [ratio(reference, ({ rate }) => rate), 11],
      [pid ? (median(own.map(({ cpu }) => cpu)) * cpuUnit).toFixed(1) : '-', 8],
      [pid ? ratio(reference, ({ cpu }) => cpu) : '-', 14],
      [p50?.toFixed(0) ?? '-', 8],
      [p50 === undefined ? '-' : (p50 - median(base.map((sample) => sample.p50!))).toFixed(0), 6],
    ] as const;
    say(cells.map(([text, width]) => text.padEnd(width)).join(' '));
  }
}

/** pgbench -S; at one client with its transaction log, for the median latency. */
async function transactions(endpoint: Endpoint, mode: string, clients: number): Promise<Sample> {
  const prefix = join(scratch, 'log');
  const log = clients === 1 ? ['-l', '--log-prefix', prefix] : [];
  const args = [
    ...address(endpoint),
    '-n',
    '-S',
    '-M',
    mode,
    '-c',
    String(clients),
    '-j',
    String(Math.min(clients, 2)),
    '-T',
    String(seconds),
    ...log,
  ];
  const before = ticks(endpoint);
  const output = await run(pgbench, [...args, 'postgres']);
  const cpu = (ticks(endpoint) - before) / TICKS_PER_SECOND;
  const count = Number(/actually processed: (\d+)/.exec(output)?.[1]);
  const rate = Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  return { rate, cpu: cpu / count, ...(clients === 1 && { p50: medianLatency(prefix) }) };
}

function medianLatency(prefix: string): number {
  const latencies: number[] = [];
  for (const name of readdirSync(scratch).filter((name) => join(scratch, name).startsWith(prefix))) {
    const file = join(scratch, name);
    for (const line of readFileSync(file, 'latin1').split('\n')) if (line) latencies.push(Number(line.split(' ', 3)[2]));
    rmSync(file);
  }
  return median(latencies);
}

/** MB/s of COPY … TO STDOUT into a socket whose bytes are counted and dropped; CPU per MB. */
async function copyOut(endpoint: Endpoint): Promise<Sample> {
  const before = ticks(endpoint);
  const { bytes, took } = await new Promise<{ bytes: number; took: number }>((resolve, reject) => {
    let bytes = 0;
    let start = 0;
    const socket = connect({
      port: endpoint.port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafeSlow(256 * 1024),
        callback(size, chunk) {
          bytes += size;
          // ReadyForQuery ends the greeting and the copy; six bytes of data could look like it, this data does not.
          if (Buffer.from(chunk.buffer, chunk.byteOffset, size).subarray(-6).equals(Buffer.from('Z\0\0\0\x05I', 'latin1'))) {
            if (start === 0) {
              bytes = 0;
              start = performance.now();
              socket.write(encodeLine('Q "copy bulk to stdout"'));
            } else {
              socket.destroy();
              resolve({ bytes, took: (performance.now() - start) / 1000 });
            }
          }
          return true;
        },
      },
    });
    socket.on('error', reject).write(startupPacket({ user: 'postgres', database: 'postgres' }));
  });
  const megabytes = bytes / 1e6;
  return { rate: megabytes / took, cpu: (ticks(endpoint) - before) / TICKS_PER_SECOND / megabytes };
}

/** CPU ticks of a proxy and everything it started. */
function ticks({ pid }: Endpoint): number {
  if (pid === undefined) return 0;
  let sum = 0;
  for (const each of [pid, ...descendants(pid)]) {
    const stat = readFileSync(`/proc/${each}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    sum += Number(fields[11]) + Number(fields[12]);
  }
  return sum;
}

async function startPgbouncer({ socketDir, port: backendPort }: Postgres): Promise<Endpoint | undefined> {
  const binary = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer'].find((path) => existsSync(path));
  if (!binary) return undefined;
  const port = await freePort();
  const ini = join(scratch, 'pgbouncer.ini');
  writeFileSync(
    ini,
    `[databases]
postgres = host=${socketDir} port=${backendPort} dbname=postgres user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = session
max_client_conn = 200
default_pool_size = 60
log_connections = 0
log_disconnections = 0
ignore_startup_parameters = extra_float_digits
`,
  );
  const child = spawn(binary, ['-q', ini], { ...login, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  stops.push(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await sleep(500);
  if (child.exitCode !== null) throw new Error('pgbouncer did not start');
  return { name: 'pgbouncer', port, pid: child.pid! };
}

function run(command: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, PGSSLMODE: 'disable', PGGSSENCMODE: 'disable' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (text) => {
      output += text;
    });
    child.stderr.on('data', (text) => {
      output += text;
    });
    child.once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${command}: ${output.slice(-500)}`))));
  });
}

function median(values: readonly number[]): number {
  const sorted = [...values].filter(Number.isFinite).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
