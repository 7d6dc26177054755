/** A proxy that leaves its jobs to others, and `pgpier worker` that carries them out; statements that wait, on the wire. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../../servers/postgres.ts';

const key = Buffer.alloc(32, 5).toString('base64');
const main = fileURLToPath(new URL('../../../server/main.ts', import.meta.url));
/** Nothing was ever backed up there: the job fails when it looks. */
const RESTORE = "RESTORE DATABASE nothing FROM LATEST IN 'nodelocal://1/empty'";

describe('a proxy without workers of its own', { skip: missingPostgres(18) }, () => {
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  const clients: pg.Client[] = [];
  let worker: ChildProcess | undefined;
  const home = mkdtempSync(join(tmpdir(), 'pgpier-alone-'));
  const connect = async (): Promise<pg.Client> => {
    const connected = new pg.Client(proxy.connectionString());
    connected.on('error', () => {});
    await connected.connect();
    clients.push(connected);
    return connected;
  };
  before(async () => {
    postgres = await startPostgres({ version: 18 });
    proxy = await startPgpier({ backend: postgres, env: { PGPIER_SECRET_KEY: key, PGPIER_WORKERS: '0' } });
    client = await connect();
  });
  after(async () => {
    worker?.kill('SIGTERM');
    await Promise.all(clients.map((each) => each.end().catch(() => {})));
    await proxy?.stop();
    await postgres?.stop();
    rmSync(home, { recursive: true, force: true });
  });
  const refusal = (on: pg.Client, text: string): Promise<string> =>
    on.query(text).then(
      () => assert.fail(`no error: ${text}`),
      (error: pg.DatabaseError) => `${error.code} ${error.message}`,
    );
  const newest = async () => (await client.query('SHOW JOBS')).rows.sort((a, b) => Number(BigInt(b.job_id) - BigInt(a.job_id)))[0];
  const becomes = async (id: string, state: string) => {
    let row: Record<string, unknown> = {};
    for (let waited = 0; waited < 15_000; waited += 50) {
      row = (await client.query(`SHOW JOB ${id}`)).rows[0] ?? {};
      if (row.status === state) return row;
      await sleep(50);
    }
    throw new Error(`job ${id} is ${row.status}, not ${state}`);
  };

  test('a statement that waits is told that nobody has its job, and a cancel request cancels both', async () => {
    const other = await connect();
    const notices: string[] = [];
    other.on('notice', ({ message }) => notices.push(message ?? ''));
    const waiting = refusal(other, RESTORE);
    for (let waited = 0; (await newest())?.status !== 'pending' && waited < 5_000; waited += 25) await sleep(25);
    const job = await newest();
    assert.deepEqual([job.job_type, job.status, job.user_name], ['RESTORE', 'pending', 'postgres']);
    for (let waited = 0; notices.length === 0 && waited < 10_000; waited += 50) await sleep(50);
    assert.deepEqual(notices, [`RESTORE job ${job.job_id}: waits for a worker of node 1`]);
    const { processID, secretKey } = other as unknown as { processID: number; secretKey: number };
    const canceller = new (pg as unknown as { Connection: new (config: object) => CancelConnection }).Connection({});
    canceller.on('error', () => {});
    canceller.connect(proxy.port, proxy.host);
    await once(canceller, 'connect');
    canceller.cancel(processID, secretKey);
    assert.equal(await waiting, '57014 canceling statement due to user request');
    await becomes(job.job_id, 'canceled');
    assert.equal((await other.query('select 1 as one')).rows[0].one, 1);
  });

  test('a statement that waits is cancelled by its statement_timeout', async () => {
    await client.query('set statement_timeout = 300');
    assert.match(await refusal(client, RESTORE), /^57014 .*statement timeout/);
    await client.query('reset statement_timeout');
    assert.equal((await newest()).status, 'canceled');
  });

  test('a client that leaves takes its job with it', async () => {
    const other = await connect();
    const before = (await newest()).job_id;
    other.query(RESTORE).catch(() => {});
    for (let waited = 0; (await newest()).job_id === before && waited < 5_000; waited += 25) await sleep(25);
    const { job_id: id } = await newest();
    assert.notEqual(id, before);
    (other as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await becomes(id, 'canceled');
  });

  test('a statement that waits is refused inside a transaction block, a detached one is part of it', async () => {
    await client.query('begin');
    assert.match(await refusal(client, RESTORE), /^25001/);
    await client.query('rollback');
    await client.query('begin');
    const undone = (await client.query(`${RESTORE} WITH detached`)).rows[0].job_id;
    assert.equal((await client.query(`SHOW JOB ${undone}`)).rows.length, 1);
    await client.query('rollback');
    assert.equal((await client.query(`SHOW JOB ${undone}`)).rows.length, 0);
  });

  test('pgpier worker carries out what waits, and what comes', async () => {
    await client.query('begin');
    const { rows, fields } = await client.query('RESTORE DATABASE nothing FROM LATEST IN $1 WITH detached', ['nodelocal://1/empty']);
    await client.query('commit');
    assert.deepEqual(
      fields.map(({ name, dataTypeID }) => `${name} ${dataTypeID}`),
      ['job_id 20'],
    );
    const id: string = rows[0].job_id;
    await becomes(id, 'pending');
    worker = spawn(process.execPath, [main, 'worker'], {
      env: {
        PATH: process.env.PATH ?? '',
        PGPIER_BACKEND: `postgres://postgres@/postgres?host=${encodeURIComponent(postgres.socketDir)}&port=${postgres.port}`,
        PGPIER_SECRET_KEY: key,
        PGPIER_NODE_ID: '1',
        PGPIER_DATA: join(home, 'data'),
        PGPIER_EXTERNAL_DIR: proxy.externalDirectory,
      },
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const job = await becomes(id, 'failed');
    assert.equal(job.coordinator_id, '1');
    assert.ok(String(job.error).length > 0);
    const told = await refusal(client, RESTORE);
    assert.equal(told.slice(6), job.error);
    assert.doesNotMatch(told, /^XX/);
    const exited = once(worker, 'exit');
    worker.kill('SIGTERM');
    assert.deepEqual(await exited, [0, null]);
    worker = undefined;
  });
});

interface CancelConnection extends NodeJS.EventEmitter {
  connect(port: number, host: string): void;
  cancel(processID: number, secretKey: number): void;
}
