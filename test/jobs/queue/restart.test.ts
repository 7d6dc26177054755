/** Real backups that outlive their proxy, and a real backup by `pgpier worker` alone. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../../servers/postgres.ts';

const main = fileURLToPath(new URL('../../../server/main.ts', import.meta.url));
const key = Buffer.alloc(32, 6).toString('base64');

describe('backups and the processes that carry them out', { skip: missingPostgres(18) }, () => {
  let postgres: Postgres;
  let direct: pg.Client;
  const home = mkdtempSync(join(tmpdir(), 'pgpier-restart-'));
  const proxies: Pgpier[] = [];
  before(async () => {
    postgres = await startPostgres({ version: 18 });
    direct = new pg.Client(postgres.connectionString());
    await direct.connect();
    await direct.query('create table t as select n, repeat(md5(n::text), 4) as text from generate_series(1, 5000) n');
    await direct.query('create table locked as select 1 as one');
  });
  after(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await direct.end();
    await postgres.stop();
    rmSync(home, { recursive: true, force: true });
  });
  async function proxy(workers: number): Promise<Pgpier> {
    const env = { PGPIER_SECRET_KEY: key, PGPIER_EXTERNAL_DIR: join(home, 'extern'), PGPIER_WORKERS: String(workers) };
    const started = await startPgpier({ backend: postgres, env });
    proxies.push(started);
    return started;
  }
  async function connect(to: Pgpier): Promise<pg.Client> {
    const client = new pg.Client(to.connectionString());
    client.on('error', () => {});
    await client.connect();
    return client;
  }
  async function becomes(client: pg.Client, id: string, state: string): Promise<void> {
    let row: Record<string, unknown> = {};
    for (let waited = 0; waited < 20_000; waited += 50) {
      row = (await client.query(`SHOW JOB ${id}`)).rows[0] ?? {};
      if (row.status === state) return;
      await sleep(50);
    }
    throw new Error(`job ${id} is ${row.status} (${row.error}), not ${state}`);
  }
  const backups = async (client: pg.Client, place: string) => (await client.query(`SHOW BACKUPS IN 'nodelocal://1/${place}'`)).rows.length;

  test('a detached backup whose proxy is killed is finished by the next start', async () => {
    const first = await proxy(1);
    const client = await connect(first);
    await direct.query('begin');
    await direct.query('lock table locked in access exclusive mode');
    const { rows } = await client.query("BACKUP DATABASE postgres INTO 'nodelocal://1/restart' WITH detached");
    const id: string = rows[0].job_id;
    await becomes(client, id, 'running');
    await sleep(500);
    first.kill('SIGKILL');
    await first.exited;
    await direct.query('rollback');
    const second = await proxy(1);
    const again = await connect(second);
    await becomes(again, id, 'succeeded');
    assert.equal(await backups(again, 'restart'), 1);
    await client.end().catch(() => {});
    await again.end();
    await second.stop();
  });

  test('a backup that is cancelled, or loses PostgreSQL, takes its files back', async () => {
    const only = await proxy(1);
    const files = () =>
      readdirSync(join(home, 'extern', 'undone'), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const end of ['cancel', 'terminate'] as const) {
      const client = await connect(only);
      await direct.query('begin');
      await direct.query('lock table locked in access exclusive mode');
      const { rows } = await client.query("BACKUP DATABASE postgres INTO 'nodelocal://1/undone' WITH detached");
      const id: string = rows[0].job_id;
      await becomes(client, id, 'running');
      for (let waited = 0; waited < 5_000 && (!existsSync(join(home, 'extern', 'undone')) || files().length === 0); waited += 25)
        await sleep(25);
      assert.equal(files().length, 1, 'its lock');
      if (end === 'cancel') await client.query(`CANCEL JOB ${id}`);
      else {
        const lose = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pgpier BACKUP%'";
        // A transaction sees pg_stat_activity as it was at its first look, and this one stays open to hold the lock.
        for (let lost = 0; lost === 0; lost = (await direct.query(lose)).rows.length) await direct.query('select pg_stat_clear_snapshot()');
      }
      await becomes(client, id, end === 'cancel' ? 'canceled' : 'failed');
      await direct.query('rollback');
      assert.deepEqual(files(), []);
      const left = await direct.query("select rolname from pg_roles where rolname like 'pgpier\\_job\\_%'");
      assert.deepEqual(left.rows, []);
      await client.end();
    }
    await only.stop();
  });

  test('a backup is carried out by pgpier worker for a proxy without workers, and restored so', async () => {
    const only = await proxy(0);
    const client = await connect(only);
    const worker = spawn(process.execPath, [main, 'worker'], {
      env: {
        PATH: process.env.PATH ?? '',
        PGPIER_BACKEND: `postgres://postgres@/postgres?host=${encodeURIComponent(postgres.socketDir)}&port=${postgres.port}`,
        PGPIER_SECRET_KEY: key,
        PGPIER_DATA: join(home, 'data'),
        PGPIER_EXTERNAL_DIR: join(home, 'extern'),
      },
      stdio: 'ignore',
    });
    try {
      const { rows } = await client.query("BACKUP DATABASE postgres INTO 'nodelocal://1/alone'");
      assert.deepEqual([rows[0].status, rows[0].rows], ['succeeded', '5001']);
      await client.query("RESTORE DATABASE postgres FROM LATEST IN 'nodelocal://1/alone' WITH new_db_name = 'copy'");
      const copy = new pg.Client(postgres.connectionString('copy'));
      await copy.connect();
      const sum = 'select count(*), sum(hashtextextended(t::text, 0)) from t';
      assert.deepEqual((await copy.query(sum)).rows, (await direct.query(sum)).rows);
      await copy.end();
      const left = await direct.query("select rolname from pg_roles where rolname like 'pgpier\\_job\\_%'");
      assert.deepEqual(left.rows, []);
    } finally {
      const exited = once(worker, 'exit');
      worker.kill('SIGTERM');
      assert.deepEqual(await exited, [0, null]);
      await client.end();
    }
  });
});
