/** The embedded PostgreSQL and the start as a whole: `node server/main.ts` in a process of its own, asked through real connections. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { processStart } from '../../server/embedded/processes.ts';

const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const root = mkdtempSync(join(tmpdir(), 'pgpier-embedded-'));
chmodSync(root, 0o755);
const running = new Set<Started>();

interface Started {
  readonly pid: number;
  readonly url: string;
  readonly stderr: () => string;
  /** Exit code or the signal's name. */
  end(signal: NodeJS.Signals): Promise<number | string>;
}

interface Ended {
  readonly code: number | string;
  readonly stderr: string;
}

/** Starts on the data directory `name`; resolves with the ready line, or with how it ended without one. */
async function begin(name: string, env: Record<string, string> = {}): Promise<Started | Ended> {
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([key]) => !/^(PGPIER_|PG[A-Z]+$|npm_)/.test(key)));
  const child = spawn(process.execPath, [main], {
    env: { ...inherited, PGPIER_LISTEN: '127.0.0.1:0', PGPIER_DATA: join(root, name), PGPIER_WORKERS: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  const exited = new Promise<number | string>((resolve) => child.once('close', (code, signal) => resolve(code ?? signal ?? '')));
  let gone: number | string | undefined;
  void exited.then((how) => (gone = how));
  while (gone === undefined) {
    const url = /^pgpier ready: (\S+)$/m.exec(stdout)?.[1];
    if (url !== undefined) {
      const started: Started = {
        pid: child.pid!,
        url,
        stderr: () => stderr,
        end: (signal) => {
          child.kill(signal);
          running.delete(started);
          return exited;
        },
      };
      running.add(started);
      return started;
    }
    await sleep(10);
  }
  return { code: gone, stderr };
}

async function start(name: string, env: Record<string, string> = {}): Promise<Started> {
  const begun = await begin(name, env);
  assert.ok('url' in begun, (begun as Ended).stderr);
  return begun;
}

async function refused(name: string, env: Record<string, string> = {}): Promise<string> {
  const begun = await begin(name, env);
  assert.ok('code' in begun, 'it started');
  assert.equal(begun.code, 1);
  return begun.stderr;
}

async function query(url: string, text: string, password = ''): Promise<unknown[][]> {
  const target = new URL(url);
  target.password = password;
  const client = new pg.Client({ connectionString: target.href });
  await client.connect();
  try {
    return (await client.query({ text, rowMode: 'array' })).rows;
  } finally {
    await client.end();
  }
}

const postmasterPid = (name: string): number => Number(readFileSync(join(root, name, 'postgres', 'postmaster.pid'), 'utf8').split('\n')[0]);

/** An orphan's last trace may be a zombie that nobody collects. */
const isRunning = (pid: number): boolean => processStart(pid) !== undefined;

afterEach(async () => {
  for (const each of [...running]) await each.end('SIGTERM');
});
after(() => rmSync(root, { recursive: true, force: true }));

test('data are kept between runs, and nothing is left running or lying about', async () => {
  const first = await start('kept');
  const [row] = await query(
    first.url,
    `select current_setting('server_version_num')::int / 10000, current_setting('wal_level'), current_setting('listen_addresses'),
            datlocprovider, datlocale, pg_encoding_to_char(encoding), current_setting('unix_socket_directories')
     from pg_database where datname = 'postgres'`,
  );
  const socketDirectory = String(row?.pop());
  assert.deepEqual(row, [18, 'logical', '', 'b', 'C.UTF-8', 'UTF8']);
  assert.equal(statSync(socketDirectory).mode & 0o777, 0o700);
  assert.ok(Buffer.byteLength(socketDirectory) < 100);
  await query(first.url, 'create table kept as select 42 as answer');
  const pid = postmasterPid('kept');
  assert.equal(await first.end('SIGTERM'), 0);
  assert.equal(isRunning(pid), false);
  assert.equal(existsSync(socketDirectory), false);
  assert.equal(statSync(join(root, 'kept', 'secret.key')).mode & 0o777, 0o600);

  const begun = performance.now();
  const second = await start('kept');
  assert.ok(performance.now() - begun < 3000, `ready after ${performance.now() - begun} ms`);
  assert.deepEqual(await query(second.url, 'select answer from kept'), [[42]]);
  assert.equal(await second.end('SIGINT'), 0);
  assert.match(
    readFileSync(join(root, 'kept', 'postgres.log'), 'utf8')
      .split('\n')
      .slice(-2)
      .join(),
    /database system is shut down/,
  );
});

test('a start after kill -9 stops the server that was left, and the data are there', async () => {
  const first = await start('killed');
  await query(first.url, 'create table kept as select 42 as answer');
  const orphan = postmasterPid('killed');
  await first.end('SIGKILL');
  assert.equal(isRunning(orphan), true);
  const second = await start('killed');
  assert.equal(isRunning(orphan), false);
  assert.match(second.stderr(), /left running when it was killed/);
  assert.deepEqual(await query(second.url, 'select answer from kept'), [[42]]);
});

test('a second start on the same data is refused while the first runs, and harms nothing', async () => {
  const first = await start('twice');
  assert.match(await refused('twice'), new RegExp(`another PgPier \\(process ${first.pid}\\) runs on the data directory`));
  assert.deepEqual(await query(first.url, 'select 1'), [[1]]);
});

test('when the embedded server dies, PgPier says so and ends', async () => {
  const first = await start('died');
  process.kill(postmasterPid('died'), 'SIGQUIT');
  assert.equal(await first.end('SIGCONT'), 1);
  assert.match(first.stderr(), /the embedded PostgreSQL ended by itself/);
});

test('data of another major version are refused with both versions', async () => {
  mkdirSync(join(root, 'old', 'postgres'), { recursive: true });
  chmodSync(join(root, 'old'), 0o755);
  writeFileSync(join(root, 'old', 'postgres', 'PG_VERSION'), '17\n');
  const said = await refused('old');
  assert.match(said, /of PostgreSQL 17, and this PgPier brings PostgreSQL 18\.\d+.*pg_dumpall/);
  assert.deepEqual(readdirSync(join(root, 'old')), ['postgres']);
});

test('a start that fails late says why in one line and stops what it had started', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.after(() => taken.close());
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  const said = await refused('late', { PGPIER_LISTEN: `127.0.0.1:${port}`, PGPIER_LOG_LEVEL: 'fatal' });
  assert.match(said, /^pgpier: cannot start: cannot listen on 127\.0\.0\.1:\d+: the port is in use\n$/);
  assert.equal(existsSync(join(root, 'late', 'postgres', 'postmaster.pid')), false);
  assert.equal(existsSync(join(root, 'late', 'pgpier.lock')), false);
});

test('a start with another key than the catalog’s is refused, and makes no new one', async () => {
  const first = await start('key');
  await query(first.url, "create external connection place as 'nodelocal://1/place'");
  await first.end('SIGTERM');
  const other = 'ab'.repeat(32);
  const said = await refused('key', { PGPIER_SECRET_KEY: other, PGPIER_LOG_LEVEL: 'fatal' });
  assert.equal(said.trim().split('\n').length, 1, said);
  assert.match(said, /key/i);
  assert.ok(!said.includes(other));
  rmSync(join(root, 'key', 'secret.key'));
  await refused('key');
  assert.equal(existsSync(join(root, 'key', 'secret.key')), false);
});

test('with a password every login needs one, and the server’s files and log never hold it', async () => {
  const secret = 'sesam öffne dich ½';
  const first = await start('password', { PGPIER_PASSWORD: secret });
  assert.deepEqual(await query(first.url, 'select current_user', secret), [['postgres']]);
  await assert.rejects(query(first.url, 'select 1', 'wrong'), { code: '28P01' });
  await first.end('SIGTERM');
  const stored = spawnSync('grep', ['-r', '-l', '-a', 'sesam', join(root, 'password')], { encoding: 'utf8' });
  assert.equal(stored.stdout, '');
  assert.ok(!first.stderr().includes('sesam'));

  const second = await start('password');
  assert.deepEqual(await query(second.url, 'select current_user'), [['postgres']]);
});

test('SIGTERM ends an idle session as PostgreSQL’s shutdown does, and waits for an open transaction', async () => {
  const first = await start('drain', { PGPIER_DRAIN_TIMEOUT: '20' });
  const idle = new pg.Client({ connectionString: first.url });
  const busy = new pg.Client({ connectionString: first.url });
  await Promise.all([idle.connect(), busy.connect()]);
  const told = new Promise<{ code?: string }>((resolve) => idle.once('error', resolve));
  for (const client of [idle, busy]) client.on('error', () => {});
  await busy.query('begin');
  const ended = first.end('SIGTERM');
  assert.equal((await told).code, '57P01');
  assert.deepEqual((await busy.query('select 1 as one')).rows, [{ one: 1 }]);
  await busy.query('commit');
  assert.equal(await ended, 0);
});

test('metrics and health are served where the configuration says', async () => {
  const first = await start('http', { PGPIER_HTTP: '127.0.0.1:0', PGPIER_LOG_LEVEL: 'info' });
  const url = /(http:\/\/127\.0\.0\.1:\d+)\/metrics/.exec(first.stderr())?.[1];
  await query(first.url, 'select 1');
  assert.deepEqual(await (await fetch(`${url}/healthz`)).json(), { status: 'ok' });
  assert.match(await (await fetch(`${url}/metrics`)).text(), /^pgpier_logins_total 1$/m);
});
