/** Jobs through proxies as users start them: the statements on the wire, two proxies with one catalog, `pgpier worker`. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { JobType } from '../../../jobs/job.ts';
import { masterKey } from '../../catalog/lab.ts';
import { type Pgpier, startPgpier } from '../../servers/pgpier.ts';
import { descendantsRunning } from '../../servers/processes.ts';
import { QueueLab } from './queueLab.ts';

const key = masterKey.kind === 'value' ? String(masterKey.value) : '';
const main = fileURLToPath(new URL('../../../server/main.ts', import.meta.url));

describe('proxies and jobs', () => {
  let lab: QueueLab;
  let one: Pgpier;
  let two: Pgpier;
  let client: pg.Client;
  const connections: pg.Client[] = [];
  const connect = async (proxy: Pgpier): Promise<pg.Client> => {
    const connected = new pg.Client(proxy.connectionString());
    connected.on('error', () => {});
    await connected.connect();
    connections.push(connected);
    return connected;
  };
  before(async () => {
    lab = await QueueLab.start(18);
    const { server: backend } = lab.lab;
    // Their own workers would take the jobs for real backups.
    [one, two] = await Promise.all([
      startPgpier({ backend, env: { PGPIER_SECRET_KEY: key, PGPIER_WORKERS: '0' } }),
      startPgpier({ backend, env: { PGPIER_SECRET_KEY: key, PGPIER_WORKERS: '0', PGPIER_NODE_ID: '2' } }),
    ]);
    client = await connect(one);
    lab.worker(3, 4);
  });
  after(async () => {
    await Promise.all(connections.map((each) => each.end().catch(() => {})));
    await Promise.all([one?.stop(), two?.stop()]);
    await lab.stop();
  });
  /** For the worker that knows such jobs: the proxies' own know real ones alone. */
  const steps = (payload: Parameters<QueueLab['spec']>[0]) => ({ ...lab.spec(payload), node: 3 });
  const fails = async (text: string, on = client) => {
    const error = await on.query(text).then(
      () => assert.fail(`no error: ${text}`),
      (thrown: pg.DatabaseError) => thrown,
    );
    return `${error.code} ${error.message}`;
  };

  test('SHOW JOBS has the types that it says, in both protocols', async () => {
    const id = await lab.detached(steps({ steps: 2, stepMs: 10 }));
    await lab.reaches(id, 'succeeded');
    const simple = await client.query('SHOW JOBS');
    assert.deepEqual(
      simple.fields.slice(0, 13).map(({ name, dataTypeID }) => `${name} ${dataTypeID}`),
      [
        'job_id 20',
        'job_type 25',
        'description 25',
        'statement 25',
        'user_name 25',
        'status 25',
        'running_status 25',
        'created 1184',
        'started 1184',
        'finished 1184',
        'modified 1184',
        'fraction_completed 701',
        'error 25',
      ],
    );
    const extended = await client.query('SHOW JOB $1', [id]);
    assert.deepEqual(extended.rows, simple.rows);
    assert.equal(simple.rows[0].fraction_completed, 1);
    assert.equal(simple.rows[0].job_id, id);
    assert.equal(simple.rows[0].coordinator_id, '3');
  });

  test('PAUSE, RESUME and CANCEL answer with CockroachDB’s tags, through either proxy', async () => {
    const other = await connect(two);
    const spec = steps({ steps: 100, stepMs: 50 });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:1');
    // Of `PAUSE JOBS 1` pg tells the first word; states.test.ts has the whole.
    const tag = async (text: string, on: pg.Client) => (await on.query(text)).command;
    assert.equal(await tag(`PAUSE JOB ${id}`, other), 'PAUSE');
    await lab.reaches(id, 'paused');
    assert.equal(await tag(`RESUME JOBS ${id}`, client), 'RESUME');
    await lab.reaches(id, 'running');
    assert.equal(await tag(`CANCEL JOB ${id}`, other), 'CANCEL');
    await lab.reaches(id, 'canceled');
    assert.equal((await client.query(`SHOW JOB ${id}`)).rows[0].status, 'canceled');
    assert.equal(await fails(`PAUSE JOB ${id}`), '55000 job with status canceled cannot be requested to be paused');
  });

  test('a request takes effect at once, whatever becomes of the transaction', async () => {
    const id = await lab.detached({ ...steps({ steps: 1, stepMs: 1 }), type: 'NO SUCH KIND' as JobType });
    await client.query('begin read only');
    await client.query(`CANCEL JOB ${id}`);
    assert.equal((await client.query(`SHOW JOB ${id}`)).rows[0].status, 'canceled');
    await client.query('rollback');
    assert.equal((await client.query(`SHOW JOB ${id}`)).rows[0].status, 'canceled');
  });

  test('SHOW JOB WHEN COMPLETE waits, ends with a cancel, and is refused in a block', async () => {
    const spec = steps({ steps: 8, stepMs: 100 });
    const id = await lab.detached(spec);
    assert.equal((await client.query(`SHOW JOB WHEN COMPLETE ${id}`)).rows[0].status, 'succeeded');
    const long = await lab.detached(steps({ steps: 100, stepMs: 100 }));
    const waiting = fails(`SHOW JOB WHEN COMPLETE ${long}`);
    await sleep(300);
    // As a driver cancels: by a request with the session's key, on a connection of its own.
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const canceller = new (pg as unknown as { Connection: new (config: object) => CancelConnection }).Connection({});
    canceller.connect(one.port, one.host);
    canceller.on('error', () => {});
    await once(canceller, 'connect');
    canceller.cancel(processID, secretKey);
    assert.equal(await waiting, '57014 canceling statement due to user request');
    await client.query('set statement_timeout = 200');
    assert.match(await fails(`SHOW JOB WHEN COMPLETE ${long}`), /^57014 .*statement timeout/);
    await client.query('reset statement_timeout');
    await client.query('begin');
    assert.match(await fails(`SHOW JOB WHEN COMPLETE ${long}`), /^25001/);
    await client.query('rollback');
    await client.query(`CANCEL JOB ${long}`);
  });

  test('the proxy with workers keeps a job worker process, which ps and its environment tell nothing, and none without', {
    skip: process.platform !== 'linux',
  }, async (t) => {
    const children = (pid: number) => descendantsRunning(pid, 'jobWorkerMain');
    assert.deepEqual(children(one.pid), []);
    const env = { PGPIER_SECRET_KEY: key, PGPIER_WORKERS: '1', PGPIER_NODE_ID: '4' };
    const third = await startPgpier({ backend: lab.lab.server, env });
    t.after(() => third.stop());
    const [pid, ...more] = children(third.pid);
    assert.deepEqual(more, []);
    for (const what of ['cmdline', 'environ']) assert.ok(!readFileSync(`/proc/${pid}/${what}`, 'latin1').includes(key), what);
    process.kill(pid!, 'SIGKILL');
    for (let waited = 0; waited < 5_000 && (children(third.pid)[0] ?? pid) === pid; waited += 50) await sleep(50);
    assert.equal(children(third.pid).length, 1, 'another took its place');
  });

  describe('pgpier worker', () => {
    const worker = (env: Record<string, string>): { child: ChildProcess; output: () => string; exited: Promise<number | null> } => {
      const child = spawn(process.execPath, [main, 'worker'], {
        env: { PATH: process.env.PATH ?? '', PGPIER_DATA: join(lab.directory, 'data'), ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      let text = '';
      for (const stream of [child.stdout, child.stderr]) stream!.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      return { child, output: () => text, exited: new Promise((resolve) => child.once('exit', (code) => resolve(code))) };
    };
    const backend = () => `postgres://postgres@/postgres?host=${encodeURIComponent(lab.lab.server.socketDir)}&port=${lab.lab.server.port}`;

    test('says when it is ready, listens nowhere, and ends with SIGTERM', async () => {
      const { child, output, exited } = worker({ PGPIER_BACKEND: backend(), PGPIER_SECRET_KEY: key, PGPIER_WORKERS: '3' });
      for (let waited = 0; waited < 20_000 && !output().includes('ready'); waited += 25) await sleep(25);
      assert.match(output(), /^pgpier worker ready: 3 jobs at a time$/m);
      child.kill('SIGTERM');
      assert.equal(await exited, 0, output());
      assert.ok(!existsSync(join(lab.directory, 'data', 'secret.key')));
    });

    test('tells every mistake, and does not begin without the key of the proxies', async () => {
      const without = worker({ PGPIER_WORKERS: '0' });
      assert.equal(await without.exited, 1);
      assert.match(without.output(), /2 mistakes/);
      assert.match(without.output(), /PGPIER_BACKEND is not set; a worker needs/);
      const keyless = worker({ PGPIER_BACKEND: backend() });
      assert.equal(await keyless.exited, 1);
      assert.match(keyless.output(), /no key file at/);
      const other = worker({ PGPIER_BACKEND: backend(), PGPIER_SECRET_KEY: Buffer.alloc(32, 9).toString('base64') });
      assert.equal(await other.exited, 1);
      assert.match(other.output(), /cannot start: /);
    });
  });
});

interface CancelConnection extends NodeJS.EventEmitter {
  connect(port: number, host: string): void;
  cancel(processID: number, secretKey: number): void;
}
