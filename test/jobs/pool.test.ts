import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PgPierError } from '../../errors.ts';
import { startWorkers } from '../../jobs/pool.ts';
import type { ExportTask, Workers } from '../../jobs/task.ts';
import { workerEnvironment } from '../../jobs/workerProcess.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { type ExportLab, failure, startExportLab } from './exportLab.ts';

const target = { uri: 'nodelocal://self/checked', trusted: true };
const never = new AbortController().signal;

test('a worker is given credentials of clouds and certificates, never ours or of PostgreSQL', () => {
  const given = workerEnvironment({
    PATH: '/bin',
    HOME: '/root',
    AWS_ACCESS_KEY_ID: 'a',
    AZURE_CLIENT_ID: 'b',
    GOOGLE_APPLICATION_CREDENTIALS: 'c',
    NODE_EXTRA_CA_CERTS: 'd',
    PGPIER_SECRET_KEY: 'no',
    PGPIER_PASSWORD: 'no',
    PGPASSWORD: 'no',
    PGPASSFILE: 'no',
    NODE_OPTIONS: 'no',
    DATABASE_URL: 'no',
  });
  assert.deepEqual(Object.keys(given).sort(), [
    'AWS_ACCESS_KEY_ID',
    'AZURE_CLIENT_ID',
    'GOOGLE_APPLICATION_CREDENTIALS',
    'HOME',
    'NODE_EXTRA_CA_CERTS',
    'PATH',
  ]);
});

describe('with PostgreSQL', { skip: missingPostgres(15) }, () => {
  let lab: ExportLab;
  const started: Workers[] = [];
  const pids: number[] = [];
  before(async () => {
    lab = await startExportLab({ version: 15 });
  });
  afterEach(() => Promise.all(started.splice(0).map((workers) => workers.stop(AbortSignal.abort()))));
  after(() => lab?.stop());

  function start(count: number): Workers {
    pids.length = 0;
    const note = (fields: object, message: string) =>
      message === 'worker process started' && 'pid' in fields && pids.push(Number(fields.pid));
    const log = { info: note, warn: note, error: note };
    const workers = startWorkers({ count, storageSettings: { externalDir: lab.folder, nodeId: 1, allowedNetworks: [] }, log });
    started.push(workers);
    return workers;
  }

  async function exportTask(query: string): Promise<ExportTask> {
    const { login } = await lab.logins.open('postgres', 'postgres');
    return {
      kind: 'export',
      target: { uri: 'nodelocal://self/pool', trusted: true },
      login,
      role: 'postgres',
      settings: {},
      query: { text: query, offset: 0 },
      parameters: [],
      exportId: Math.random().toString(16).slice(2),
      csv: { delimiter: ',' },
      compression: 'none',
      chunkRows: 100_000,
      chunkSize: 1_000_000,
    };
  }
  const long = `select n, repeat(md5(n::text), 10) from generate_series(1, 3000000) n`;
  const gone = (pid: number) => !existsSync(`/proc/${pid}`) || /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));

  test('a check of a storage does not wait behind exports, and exports wait for each other only when all places are taken', async () => {
    const workers = start(1);
    const abort = new AbortController();
    const running: Promise<PgPierError['data']>[] = [];
    for (let n = 0; n < 4; n++) running.push(failure(workers.run(await exportTask('select pg_sleep(100)'), { signal: abort.signal })));
    const waiting = failure(workers.run(await exportTask('select 1'), { signal: abort.signal }));
    const quick = workers.run(await exportTask('select 2'), { signal: never });
    for (let tries = 0; tries < 100; tries++) {
      const { rows } = await lab.admin.query(`select 1 from pg_stat_activity where query like 'COPY%pg_sleep%' and usename like 'pgpier%'`);
      if (rows.length === 4) break;
      await sleep(50);
    }
    assert.equal(await workers.run({ kind: 'checkStorage', target }, { signal: never }), null);
    assert.equal(await Promise.race([quick.then(() => 'done'), sleep(200, 'waits')]), 'waits');
    abort.abort(PgPierError.from({ sqlstate: '57014', message: 'stop' }));
    for (const promise of running) assert.equal((await promise).message, 'stop');
    assert.equal((await waiting).message, 'stop');
    assert.equal((await quick).length, 1);
  });

  test('a task whose signal is aborted already does not start', async () => {
    const reason = PgPierError.from({ sqlstate: '57014', message: 'before' });
    await assert.rejects(
      start(1).run({ kind: 'checkStorage', target }, { signal: AbortSignal.abort(reason) }),
      (error) => error === reason,
    );
  });

  test('errors of a storage cross the process border as they are', async () => {
    const { sqlstate, message } = await failure(
      start(1).run({ kind: 'checkStorage', target: { ...target, uri: 'nodelocal://2/x' } }, { signal: never }),
    );
    assert.equal(sqlstate, '42704');
    assert.match(message, /node 2/);
  });

  test("the worker's environment holds no secret of ours", {
    skip: process.platform !== 'linux' && '/proc: not on this platform',
  }, async () => {
    process.env.PGPIER_SECRET_KEY = 'very secret';
    process.env.PGPASSWORD = 'very secret';
    try {
      const workers = start(1);
      await workers.run({ kind: 'checkStorage', target }, { signal: never });
      const environment = readFileSync(`/proc/${pids[0]}/environ`, 'utf8');
      assert.ok(environment.includes('PATH='));
      assert.ok(!environment.includes('very secret'));
    } finally {
      delete process.env.PGPIER_SECRET_KEY;
      delete process.env.PGPASSWORD;
    }
  });

  test('stop waits for what runs, refuses what is new, and ends the processes', async () => {
    const workers = start(2);
    const running = workers.run(await exportTask('select 1 from pg_sleep(0.5)'), { signal: never });
    const stopping = workers.stop(AbortSignal.timeout(20_000));
    assert.equal((await failure(workers.run({ kind: 'checkStorage', target }, { signal: never }))).sqlstate, '57P01');
    assert.equal((await running).length, 1);
    await stopping;
    assert.ok(pids.length > 0);
    for (const pid of pids) assert.ok(gone(pid));
  });

  test('at the deadline of stop what still runs is cancelled and taken back', async () => {
    const workers = start(1);
    const before = lab.leftovers().sort();
    const running = failure(workers.run(await exportTask(long), { signal: never }));
    for (let tries = 0; lab.leftovers().length <= before.length && tries < 500; tries++) await sleep(20);
    assert.ok(lab.leftovers().length > before.length);
    await workers.stop(AbortSignal.timeout(50));
    assert.equal((await running).sqlstate, '57P01');
    assert.deepEqual(lab.leftovers().sort(), before);
    for (const pid of pids) assert.ok(gone(pid));
  });

  test('a worker whose parent was killed takes its files back and ends, and so does its query', async () => {
    const before = lab.leftovers().sort();
    const parent = fork(fileURLToPath(new URL('./exportParent.ts', import.meta.url)), { serialization: 'advanced' });
    parent.send({ task: await exportTask(long), externalDir: lab.folder });
    const [pid] = (await once(parent, 'message')) as [number];
    for (let tries = 0; lab.leftovers().length < before.length + 3 && tries < 200; tries++) await sleep(20);
    assert.ok(lab.leftovers().length > before.length);
    parent.kill('SIGKILL');
    for (let tries = 0; !gone(pid) && tries < 250; tries++) await sleep(20);
    assert.ok(gone(pid));
    assert.deepEqual(lab.leftovers().sort(), before);
    for (let tries = 0; tries < 50; tries++) {
      if ((await lab.admin.query(`select 1 from pg_stat_activity where query like 'COPY%'`)).rows.length === 0) return;
      await sleep(20);
    }
    assert.fail('the query still runs');
  });

  test('a query whose worker is killed does not run on', async () => {
    const workers = start(1);
    const running = failure(workers.run(await exportTask('select pg_sleep(60)'), { signal: never }));
    const sessions = `select 1 from pg_stat_activity where query like 'COPY%pg_sleep%' and state = 'active'`;
    for (let tries = 0; tries < 100 && (await lab.admin.query(sessions)).rows.length === 0; tries++) await sleep(20);
    process.kill(pids[0]!, 'SIGKILL');
    assert.equal((await running).sqlstate, '58000');
    for (let tries = 0; tries < 80 && (await lab.admin.query(sessions)).rows.length > 0; tries++) await sleep(100);
    assert.deepEqual((await lab.admin.query(sessions)).rows, []);
  });
});
