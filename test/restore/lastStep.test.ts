/** Workers that die between the last step of a restore and its report: the next attempt finds what was done. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import type { BackupPayload } from '../../jobs/backup/backupPayload.ts';
import { createJobLogins } from '../../jobs/loginRole.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import type { RestorePayload } from '../../jobs/restore/restorePayload.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { fakeRun } from './restoreLab.ts';

describe('a worker that dies at the very end', { skip: missingPostgres(15) }, () => {
  let server: Postgres;
  let service: pg.Pool;
  let externalDir: string;
  before(async () => {
    server = await startPostgres({ version: 15 });
    service = new pg.Pool({ connectionString: server.connectionString(), max: 4 });
    service.on('error', () => {});
    externalDir = mkdtempSync(join(tmpdir(), 'pgpier-restore-'));
    for (const name of ['source', 'other', 'target']) await service.query(`create database ${name}`);
    for (const name of ['source', 'other']) await inDatabase(name, 'create table t as select i from generate_series(1, 1000) i');
    const payload: BackupPayload = { uri: 'nodelocal://1/b', targets: { kind: 'database', databases: ['source', 'other'] } };
    await backupJob.run(fakeRun({ server, service, externalDir, payload }));
    for (const name of ['source', 'other']) await service.query(`drop database ${name}`);
  });
  after(async () => {
    await service?.end();
    await server?.stop();
    rmSync(externalDir, { recursive: true, force: true });
  });

  const inDatabase = async (database: string, text: string): Promise<pg.QueryResult> => {
    const client = new pg.Client(server.connectionString(database));
    await client.connect();
    try {
      return await client.query(text);
    } finally {
      await client.end();
    }
  };
  const attempt = (targets: RestorePayload['targets'], more: { id?: string; attempt?: number; checkpoint?: unknown } = {}) => {
    const payload = {
      uri: 'nodelocal://1/b',
      choice: { kind: 'latest' },
      targets,
      schemaOnly: false,
      skipMissingForeignKeys: false,
      grants: false,
    } as const;
    return fakeRun<RestorePayload>({
      server,
      service,
      externalDir,
      payload: { ...payload, ...(targets.kind === 'table' && { intoDb: 'target' }) },
      ...more,
    });
  };
  const databases = async (): Promise<string[]> =>
    (await service.query(`select datname from pg_database where datname !~ '^(template.|postgres)$' order by 1`)).rows.map(
      ({ datname }) => datname,
    );

  test('after the name was given, after one of two was, and before: the database is there once, and the job has succeeded', async () => {
    const targets = { kind: 'database', databases: ['source', 'other'] } as const;
    const first = attempt(targets);
    assert.deepEqual(await restoreJob.run(first), { rows: 2000 });
    const { hidden } = first.saved.at(-1) as { hidden: string[] };
    for (const undone of [[], ['other'], ['source', 'other']]) {
      for (const name of undone)
        await service.query(`alter database ${name} rename to "${hidden[targets.databases.indexOf(name as 'other')]}"`);
      const again = attempt(targets, { id: first.id, attempt: 2, checkpoint: first.saved.at(-1) });
      assert.deepEqual(await restoreJob.run(again), { rows: 2000 });
      assert.deepEqual(again.saved, []);
      assert.deepEqual(await databases(), ['other', 'source', 'target']);
      for (const name of ['source', 'other']) assert.equal((await inDatabase(name, 'select from t')).rowCount, 1000);
    }
    await assert.rejects(restoreJob.run(attempt(targets)), { message: /database "source" already exists/ });
  });

  test('after tables were committed they are not made twice; after a rollback they are made', async () => {
    const targets = { kind: 'table', patterns: [{ names: ['source', 'public', 't'], all: false }] } as const;
    const first = attempt(targets);
    assert.deepEqual(await restoreJob.run(first), { rows: 1000 });
    const again = (checkpoint: unknown) => restoreJob.run(attempt(targets, { id: first.id, attempt: 2, checkpoint }));
    assert.deepEqual(await again(first.saved.at(-1)), { rows: 1000 });
    assert.equal((await inDatabase('target', 'select from t')).rowCount, 1000);
    await inDatabase('target', 'drop table t');
    const client = new pg.Client(server.connectionString('target'));
    await client.connect();
    const { rows } = await client
      .query('begin; select pg_current_xact_id()::text as transaction')
      .then((results) => (results as unknown as pg.QueryResult[])[1]!);
    await client.query('rollback');
    await client.end();
    assert.deepEqual(await again({ committing: { rows: 1000, transaction: rows[0].transaction } }), { rows: 1000 });
    assert.equal((await inDatabase('target', 'select from t')).rowCount, 1000);
  });

  test('logins and sessions of a job’s killed attempts go, those of others stay', async () => {
    const logins = createJobLogins({
      service,
      backend: { host: server.socketDir, port: server.port, sslmode: 'disable' },
      log: { warn() {} },
    });
    const killed = await logins.forJob('12').open('postgres', 'postgres');
    await logins.forJob('123').open('postgres', 'postgres');
    const session = new pg.Client({ ...killed.login, password: killed.login.password, ssl: false });
    const ended = new Promise((resolve) => session.once('end', resolve));
    session.on('error', () => {});
    await session.connect();
    await logins.forJob('12').dropAll();
    await ended;
    const { rows } = await service.query(`select rolname from pg_roles where rolname like 'pgpier_job_%'`);
    assert.equal(rows.length, 1);
    assert.match(rows[0].rolname, /^pgpier_job_123_[0-9a-f]{24}$/);
    await logins.forJob('123').dropAll();
  });
});
