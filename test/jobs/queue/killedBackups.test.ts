/** Real backups and restores whose worker is killed at random moments, with kill -9: each is whole or not there, and nothing is left behind. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../../servers/postgres.ts';
import { descendantsRunning, onLinux } from '../../servers/processes.ts';
import { seededRandom } from '../../statement/eachPostgres.ts';

const ROUNDS = Number(process.env.PGPIER_KILL_ROUNDS ?? 2);

describe('backups and restores whose worker is killed', { skip: missingPostgres(18) || onLinux }, () => {
  const seed = Number(process.env.PGPIER_KILL_SEED ?? Date.now() % 100_000);
  const random = seededRandom(seed);
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  before(async () => {
    postgres = await startPostgres({ version: 18 });
    proxy = await startPgpier({ backend: postgres, env: { PGPIER_WORKERS: '2' } });
    client = new pg.Client(proxy.connectionString());
    await client.connect();
    await client.query('create database source');
    const source = new pg.Client(postgres.connectionString('source'));
    await source.connect();
    for (let table = 0; table < 20; table++) {
      await source.query(`create table t${table} as select n, md5(n::text) as text from generate_series(1, 5000) n`);
      await source.query(`alter table t${table} add primary key (n)`);
    }
    await source.end();
  });
  after(async () => {
    await client.end();
    await proxy.stop();
    await postgres.stop();
  });

  const workerPid = (): number | undefined => descendantsRunning(proxy.pid, 'jobWorkerMain')[0];
  /** Begins the job, kills its worker once after up to `within` ms, and waits for the end. */
  async function killed(statement: string, within: number): Promise<Record<string, unknown>> {
    const id: string = (await client.query(statement)).rows[0].job_id;
    await sleep(random() * within);
    const pid = workerPid();
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    for (let waited = 0; waited < 60_000; waited += 50) {
      const row = (await client.query(`SHOW JOB ${id}`)).rows[0];
      if (['succeeded', 'failed', 'revert-failed', 'canceled'].includes(row.status)) return row;
      await sleep(50);
    }
    throw new Error(`job ${id} did not end\n${proxy.stderr().slice(-3000)}`);
  }
  const databases = async () =>
    (await client.query("select datname from pg_database where datname ~ 'pgpier_restore|copy' order by 1")).rows.map(
      ({ datname }) => datname,
    );
  async function sums(database: string): Promise<unknown[]> {
    const reader = new pg.Client(postgres.connectionString(database));
    await reader.connect();
    const found: unknown[] = [];
    for (let table = 0; table < 20; table++)
      found.push((await reader.query(`select count(*), sum(hashtextextended(t::text, 0)) from t${table} t`)).rows[0]);
    await reader.end();
    return found;
  }

  const takenOver = () => proxy.stderr().split('"attempt":2').length - 1;

  test('every backup is whole, and no file of a dead attempt stays', async (t) => {
    t.diagnostic(`PGPIER_KILL_SEED=${seed}`);
    for (let round = 0; round < ROUNDS; round++) {
      const job = await killed(`BACKUP DATABASE source INTO 'nodelocal://1/round${round}' WITH detached`, 700);
      assert.equal(job.status, 'succeeded', String(job.error));
      const listed = await client.query(`SHOW BACKUPS IN 'nodelocal://1/round${round}'`);
      assert.equal(listed.rows.length, 1);
      await client.query(`SHOW BACKUP FROM LATEST IN 'nodelocal://1/round${round}' WITH check_files`);
      const folders = readdirSync(join(proxy.externalDirectory, `round${round}`), { recursive: true }).map(String);
      assert.equal(folders.filter((path) => path.includes('BACKUP-LOCK')).length, 1, folders.join('\n'));
      assert.deepEqual(
        folders.filter((path) => path.includes('pgpier-partial')),
        [],
      );
    }
  });

  test('every restored database is whole or not there, and no hidden one stays', async (t) => {
    await client.query("BACKUP DATABASE source INTO 'nodelocal://1/good'");
    const expected = await sums('source');
    for (let round = 0; round < ROUNDS; round++) {
      const job = await killed(
        `RESTORE DATABASE source FROM LATEST IN 'nodelocal://1/good' WITH new_db_name = 'copy${round}', detached`,
        1_500,
      );
      const present = await databases();
      if (job.status === 'succeeded') {
        assert.deepEqual(present, [`copy${round}`]);
        assert.deepEqual(await sums(`copy${round}`), expected);
        await client.query(`drop database copy${round}`);
      } else assert.deepEqual(present, [], `${job.status}: ${job.error}`);
    }
    t.diagnostic(`taken over: ${takenOver()} of ${2 * ROUNDS}`);
  });
});
