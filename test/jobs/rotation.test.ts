/** Credentials that change under running work, as users do it: a job and an export on a real S3 server whose keys are made and taken away meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { eventually, type FaultLab, startFaultLab } from '../faults/faultLab.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { descendantsRunning, onLinux } from '../servers/processes.ts';
import { type MissingS3, type S3Server, startS3 } from '../servers/s3.ts';

const s3: S3Server | MissingS3 = missingPostgres(15) || onLinux ? { missing: '' } : await startS3('radosgw');
const missing = missingPostgres(15) || onLinux || ('missing' in s3 ? s3.missing : false);

describe('credentials changed under running work', { skip: missing }, () => {
  const server = s3 as S3Server;
  let lab: FaultLab;
  let client: pg.Client;
  let other: pg.Client;
  const notices: { severity: string | undefined; message: string | undefined; detail: string | undefined }[] = [];
  let serial = 0;

  before(async () => {
    lab = await startFaultLab({ env: { PGPIER_ALLOW_NETWORKS: '127.0.0.0/8' } });
    client = await lab.client();
    client.on('notice', ({ severity, message, detail }) => notices.push({ severity, message, detail }));
    other = await lab.client();
    await client.query('create table held as select i, md5(i::text) as text from generate_series(1, 5000) i');
    await client.query('create role worker login');
    await client.query('alter table held owner to worker');
  });
  after(async () => {
    await client?.end().catch(() => {});
    await other?.end().catch(() => {});
    await lab?.stop();
    if ('stop' in s3) await s3.stop();
  });

  const secret = 'rotated+secret/of=signs';
  const newKey = async (): Promise<string> => {
    const key = `AKROTATE${++serial}`;
    await server.keys!.add(key, secret);
    return key;
  };
  const uri = (key: string, path: string): string =>
    `s3://${server.bucket}/${path}?AWS_ACCESS_KEY_ID=${key}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(secret)}&AWS_REGION=us-east-1&AWS_ENDPOINT=${encodeURIComponent(server.endpoint)}`;
  const told = (message: RegExp): readonly (string | undefined)[] =>
    notices.filter((each) => message.test(each.message ?? '')).map(({ severity }) => severity);
  const usage = async (name: string): Promise<Record<string, unknown>[]> =>
    (await other.query(`show external connection ${name} usage`)).rows.map(({ started: _, finished, ...row }) => ({
      ...row,
      finished: finished instanceof Date,
    }));

  /** Runs `meanwhile` while BACKUP waits for a table, its folder claimed. */
  async function whileBackingUp(name: string, meanwhile: (job: string) => Promise<void>, as = client): Promise<pg.QueryResult> {
    const blocker = new pg.Client(lab.postgres.connectionString('clients'));
    await blocker.connect();
    await blocker.query('begin; lock table held in access exclusive mode');
    const running = as.query(`backup database clients into 'external://${name}/backups'`);
    running.catch(() => {});
    try {
      await eventually(
        'the backup waits for the table',
        async () => (await lab.sql(`select from pg_locks where relation = 'held'::regclass and not granted`)).length > 0,
        30_000,
      );
      const { rows } = await other.query('show jobs');
      await meanwhile(rows[0].job_id);
    } finally {
      await blocker.query('commit');
      await blocker.end();
    }
    return running;
  }

  test('BACKUP, a job, ends with those that ALTER gave it when the old key is gone', async () => {
    const [first, second] = [await newKey(), await newKey()];
    await client.query(`create external connection rotated as '${uri(first, 'rotated')}'`);
    const { rows } = await whileBackingUp('rotated', async () => {
      await other.query(`alter external connection rotated as '${uri(second, 'rotated')}'`);
      await server.keys!.remove(first);
    });
    assert.equal(rows[0].status, 'succeeded');
    assert.deepEqual(told(/rotated was altered/), ['NOTICE']);
    const { rows: backups } = await other.query("show backups in 'external://rotated/backups'");
    assert.equal(backups.length, 1);
    await client.query("restore table held from latest in 'external://rotated/backups' with into_db = 'postgres'");
    const uses = await usage('rotated');
    assert.deepEqual(
      uses.map(({ statement, outcome, user_name, finished, credentials }) => [statement, outcome, user_name, finished, credentials]),
      [
        ['RESTORE', 'succeeded', 'postgres', true, 'first'],
        ['SHOW BACKUPS', 'succeeded', 'postgres', true, 'first'],
        ['ALTER EXTERNAL CONNECTION', 'succeeded', 'postgres', true, 'first'],
        ['BACKUP', 'succeeded', 'postgres', true, 'first'],
        ['CREATE EXTERNAL CONNECTION', 'succeeded', 'postgres', true, 'first'],
      ],
    );
    const backup = uses.find(({ statement }) => statement === 'BACKUP')!;
    assert.equal(backup.job_id, rows[0].job_id);
    assert.ok(Number(backup.bytes_written) > 10_000, String(backup.bytes_written));
  });

  test('RESTORE, with data still to be read, ends with those that ALTER gave it when the old key is gone', async () => {
    const [first, second] = [await newKey(), await newKey()];
    await client.query(`create external connection restored as '${uri(first, 'restored')}'`);
    // Loading any of the tables waits where this lock is held: advisory locks are a database's own, and the backup reads without checking.
    await client.query(`create function gate() returns boolean language plpgsql
      as $$ begin perform pg_catalog.pg_advisory_xact_lock_shared(77); return true; end $$`);
    const tables = Array.from({ length: 12 }, (_, index) => `gated${index}`);
    for (const name of tables) {
      await client.query(`create table ${name} (i int, text text, check (gate()))`);
      await client.query(`insert into ${name} select i, md5(i::text) from generate_series(1, 1000) i`);
    }
    await client.query(`backup database clients into 'external://restored/backups'`);
    await client.query('create database later');
    const direct = new pg.Client(lab.postgres.connectionString('later'));
    await direct.connect();
    await direct.query('select pg_advisory_lock(77)');
    const running = client.query(`restore table ${tables.join(', ')} from latest in 'external://restored/backups' with into_db = 'later'`);
    running.catch(() => {});
    const waiting = `select from pg_locks where locktype = 'advisory' and objid = 77 and not granted`;
    await eventually('loading waits', async () => (await lab.sql(waiting)).length > 0, 30_000);
    await other.query(`alter external connection restored as '${uri(second, 'restored')}'`);
    await server.keys!.remove(first);
    await direct.query('select pg_advisory_unlock(77)');
    assert.equal((await running).rows[0].status, 'succeeded');
    assert.deepEqual(told(/restored was altered/), ['NOTICE']);
    for (const name of tables) {
      const rows = `select count(*), md5(string_agg(i || text, ',' order by i)) from ${name}`;
      assert.deepEqual((await direct.query(rows)).rows, (await client.query(rows)).rows);
    }
    await direct.end();
    await client.query(`drop table ${tables.join(', ')}; drop function gate()`);
  });

  test('a worker that dies with the old key leaves a job that ends with the new one, and its use as interrupted', async () => {
    const [first, second] = [await newKey(), await newKey()];
    await client.query(`create external connection orphaned as '${uri(first, 'orphaned')}'`);
    const { rows } = await whileBackingUp('orphaned', async () => {
      await other.query(`alter external connection orphaned as '${uri(second, 'orphaned')}'`);
      await server.keys!.remove(first);
      const [worker] = descendantsRunning(lab.pgpier.pid, 'jobWorkerMain');
      process.kill(worker!, 'SIGKILL');
      await eventually('another takes it over', () => /"attempt":2/.test(lab.pgpier.output()), 30_000);
    });
    assert.equal(rows[0].status, 'succeeded');
    assert.equal((await other.query("show backups in 'external://orphaned/backups'")).rows.length, 1);
    const uses = (await usage('orphaned')).filter(({ statement }) => statement === 'BACKUP');
    assert.deepEqual(
      uses.map(({ outcome, finished }) => [outcome, finished]),
      [
        ['succeeded', true],
        ['interrupted', true],
      ],
    );
  });

  test('EXPORT, a task, goes on too, file after file', async () => {
    const [first, second] = [await newKey(), await newKey()];
    await client.query(`create external connection exported as '${uri(first, 'exported')}'`);
    const running = client.query(
      `export into csv 'external://exported/x' with chunk_rows = 50 from select i, pg_sleep(0.02) from generate_series(1, 500) i`,
    );
    await sleep(2_000);
    await other.query(`alter external connection exported as '${uri(second, 'exported')}'`);
    await server.keys!.remove(first);
    const { rows } = await running;
    assert.equal(rows.length, 10);
    assert.deepEqual(told(/exported was altered/), ['NOTICE']);
    assert.match(lab.pgpier.output(), /external connection exported was altered/);
    const [used] = (await usage('exported')).filter(({ statement }) => statement === 'EXPORT INTO CSV');
    assert.equal(
      Number(used!.bytes_written),
      rows.reduce((sum, { bytes }) => sum + Number(bytes), 0),
    );
  });

  test('the second set is used when the first is refused, and CHECK tells which it was', async () => {
    const [first, second] = [await newKey(), await newKey()];
    await client.query(`create external connection doubled as '${uri(first, 'doubled')}'`);
    await client.query(`alter external connection doubled set fallback '${uri(second, 'doubled')}'`);
    const { rows: shown } = await client.query('show create external connection doubled');
    assert.equal(
      shown[0].create_statement,
      `CREATE EXTERNAL CONNECTION 'doubled' AS '${uri(first, 'doubled')}'; ALTER EXTERNAL CONNECTION 'doubled' SET FALLBACK '${uri(second, 'doubled')}'`,
    );
    await client.query("check external connection 'external://doubled' with transfer = '1kB'");
    assert.deepEqual(told(/the first set of credentials of external connection doubled was used/), ['NOTICE']);
    await server.keys!.remove(first);
    await client.query("export into csv 'external://doubled/x' with chunk_rows = 10 from select * from generate_series(1, 30) i");
    assert.deepEqual(told(/doubled were refused: its second set is used/), ['WARNING']);
    const { rows } = await whileBackingUp('doubled', async () => {});
    assert.equal(rows[0].status, 'succeeded');
    assert.deepEqual(told(/doubled were refused: its second set is used/), ['WARNING', 'WARNING']);
    assert.match(lab.pgpier.output(), /the credentials of external connection doubled were refused/);
    await client.query("check external connection 'external://doubled' with transfer = '1kB'");
    assert.deepEqual(told(/the second set of credentials of external connection doubled was used/), ['NOTICE']);
    assert.deepEqual(
      (await usage('doubled')).slice(0, 3).map(({ statement, credentials }) => [statement, credentials]),
      [
        ['CHECK EXTERNAL CONNECTION', 'second'],
        ['BACKUP', 'second'],
        ['EXPORT INTO CSV', 'second'],
      ],
    );
    await client.query(`alter external connection doubled as '${uri(await newKey(), 'doubled')}'`);
    assert.match((await client.query('show create external connection doubled')).rows[0].create_statement, /SET FALLBACK/);
    await client.query('alter external connection doubled drop fallback');
    assert.doesNotMatch((await client.query('show create external connection doubled')).rows[0].create_statement, /FALLBACK/);
    await server.keys!.remove(second);
  });

  test('a right taken away ends the job with the reason, and what it had done is taken back', async () => {
    const key = await newKey();
    await client.query(`create external connection lent as '${uri(key, 'lent')}'`);
    await client.query('grant usage on external connection lent to worker');
    const worker = new pg.Client(lab.pgpier.connectionString('clients', 'worker'));
    await worker.connect();
    await client.query('alter database clients owner to worker; grant connect on database clients to worker');
    const running = whileBackingUp(
      'lent',
      async () => {
        await other.query('revoke usage on external connection lent from worker');
        await sleep(3_500);
      },
      worker,
    );
    await assert.rejects(running, /user worker does not have USAGE privilege on external_connection lent/);
    await worker.end();
    const { rows } = await other.query("show backups in 'external://lent/backups'");
    assert.deepEqual(rows, []);
    const { rows: left } = await other.query(`check external connection 'external://lent' with transfer = '1kB'`);
    assert.equal(left[0].ok, true);
    const uses = (await usage('lent')).map(({ statement, outcome, sqlstate, user_name }) => [statement, outcome, sqlstate, user_name]);
    assert.deepEqual(uses.slice(2, 4), [
      ['BACKUP (reverting)', 'succeeded', null, 'worker'],
      ['BACKUP', 'failed', '42501', 'worker'],
    ]);
  });

  test('DROP tells which jobs need the connection; RESTRICT refuses', async () => {
    const key = await newKey();
    await client.query(`create external connection needed as '${uri(key, 'needed')}'`);
    const running = whileBackingUp('needed', async (job) => {
      await assert.rejects(other.query('drop external connection needed restrict'), {
        code: '2BP01',
        message: 'cannot drop external connection needed because other objects depend on it',
        detail: `job ${job} (BACKUP, running) depends on external connection needed`,
      });
      const heard: (string | undefined)[] = [];
      other.on('notice', ({ message, detail }) => heard.push(message, detail));
      await other.query('drop external connection needed');
      assert.deepEqual(heard, [
        'external connection needed is dropped although 1 other object depends on it',
        `job ${job} (BACKUP, running) depends on external connection needed`,
      ]);
      await sleep(3_500);
    });
    await assert.rejects(running, /external connection with name needed does not exist/);
    assert.deepEqual((await usage('needed')).at(-1)?.statement, 'CREATE EXTERNAL CONNECTION', 'what was done is remembered');
  });
});
