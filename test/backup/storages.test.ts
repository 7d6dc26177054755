/** A backup on S3, and on a storage that fails in the middle. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import type { Storage, StorageWriter } from '../../external/storage/storage.ts';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import type { BackupPayload } from '../../jobs/backup/backupPayload.ts';
import { findBackup, listBackups } from '../../jobs/backup/collection.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import { contentsOf } from '../restore/compare.ts';
import { fakeRun } from '../restore/restoreLab.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { startS3 } from '../servers/s3.ts';

const never = new AbortController().signal;

describe('storages of a backup', { skip: missingPostgres(18) }, () => {
  let server: Postgres;
  let service: pg.Pool;
  let externalDir: string;

  before(async () => {
    server = await startPostgres({ version: 18 });
    service = new pg.Pool({ connectionString: server.connectionString('postgres'), max: 4 });
    service.on('error', () => {});
    externalDir = mkdtempSync(join(tmpdir(), 'pgpier-backup-'));
    await service.query('create database d');
    const client = new pg.Client({ connectionString: server.connectionString('d') });
    await client.connect();
    // Some 20 MB compressed, so that S3 takes it in parts.
    await client.query(`create table noise as select n, (select string_agg(md5(n || ' ' || m), '') from generate_series(1, 30) m) as t from generate_series(1, 30000) n;
      create table small as select n from generate_series(1, 10) n; create table empty (a int)`);
    await client.end();
  });
  after(async () => {
    await service?.end();
    await server?.stop();
    rmSync(externalDir, { recursive: true, force: true });
  });

  const runOf = (uri: string, more: { checkpoint?: unknown } = {}) => {
    const payload: BackupPayload = { uri, targets: { kind: 'database', databases: ['d'] } };
    return fakeRun({ server, service, externalDir, payload, ...more });
  };
  /** A backend that was ended needs a moment to be gone. */
  const sessionsLeft = async (): Promise<number> => {
    for (let tries = 0; ; tries++) {
      const { rows } = await service.query(`select from pg_stat_activity where datname = 'd'`);
      if (rows.length === 0 || tries === 100) return rows.length;
      await sleep(20);
    }
  };
  const leftovers = async () => ({
    roles: (await service.query(`select from pg_roles where rolname like 'pgpier_job_%'`)).rows.length,
    sessions: await sessionsLeft(),
  });

  test('S3: written in parts, listed, restored', async (t) => {
    const s3 = await startS3();
    if ('missing' in s3) return t.skip(s3.missing);
    try {
      const parameters = {
        AWS_ACCESS_KEY_ID: s3.accessKey,
        AWS_SECRET_ACCESS_KEY: s3.secretKey,
        AWS_ENDPOINT: s3.endpoint,
        AWS_REGION: 'us-east-1',
      };
      const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
      const uri = `s3://${s3.bucket}/${process.pid}-${Date.now()}?${query.join('&')}`;
      const run = runOf(uri);
      assert.deepEqual(await backupJob.run(run), { rows: 30010 });
      const storage = await run.openStorage(uri);
      const found: unknown[] = [];
      for await (const each of listBackups(storage, never)) found.push(each);
      assert.deepEqual(found, [{ finished: true, folder: await findBackup(storage, { kind: 'latest' }, never) }]);
      await storage.close();
      await restoreJob.run(
        fakeRun({
          server,
          service,
          externalDir,
          payload: {
            uri,
            choice: { kind: 'latest' },
            targets: { kind: 'database', databases: ['d'] },
            newDbName: 'from_s3',
            schemaOnly: false,
            skipMissingForeignKeys: false,
            grants: false,
          } as const,
        }),
      );
      assert.deepEqual(await contentsOf(server, 'from_s3'), await contentsOf(server, 'd'));
    } finally {
      await s3.stop();
    }
  });

  /** The storage with another way to write. */
  const changed = (storage: Storage, write: Storage['write']): Storage =>
    new Proxy(storage, {
      get(target, name) {
        if (name === 'write') return write;
        const value = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });

  for (const moment of ['data', 'data in the middle', 'end of a file', 'schema', 'manifest', 'pointer'] as const) {
    test(`a storage that is lost at the ${moment}: an error, no backup, and revert leaves nothing`, async () => {
      const lost = new PgPierError('storageTimeout', { endpoint: 'nowhere' });
      const name = `lost-${moment.replaceAll(' ', '-')}`;
      const run = runOf(`nodelocal://1/${name}`);
      const part = {
        data: '/data/',
        'data in the middle': '/data/',
        'end of a file': '/data/',
        schema: 'pre-data',
        manifest: 'BACKUP_MANIFEST',
        pointer: 'LATEST',
      }[moment];
      const write =
        (storage: Storage): Storage['write'] =>
        async (path, options) => {
          if (path.includes(part) && !moment.includes(' ')) throw lost;
          const writer = await storage.write(path, options);
          if (!path.includes(part)) return writer;
          let blocks = 0;
          return {
            write: (chunk) => (moment === 'data in the middle' && ++blocks > 5 ? Promise.reject(lost) : writer.write(chunk)),
            finish: () => (moment === 'end of a file' ? Promise.reject(lost) : writer.finish()),
            abort: () => writer.abort(),
          } satisfies StorageWriter;
        };
      const failing = {
        ...run,
        openStorage: async (uri: string) => {
          const storage = await run.openStorage(uri);
          return changed(storage, write(storage));
        },
      };
      await assert.rejects(backupJob.run(failing), (error: unknown) => error instanceof PgPierError && error.data.sqlstate === '08006');
      assert.deepEqual(await leftovers(), { roles: 0, sessions: 0 });
      const storage = await run.openStorage(run.payload.uri);
      const finished: string[] = [];
      for await (const each of listBackups(storage, never)) if (each.finished) finished.push(each.folder);
      // Once there is a manifest there is a backup; the pointer alone is missing.
      assert.equal(finished.length, moment === 'pointer' ? 1 : 0);
      await backupJob.revert({ ...run, checkpoint: run.saved.at(-1) });
      const files = readdirSync(join(externalDir, name), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      if (moment !== 'pointer') assert.deepEqual(files, []);
      // The next attempt of a job whose pointer was lost writes it.
      const again = runOf(run.payload.uri, { checkpoint: run.saved.at(-1) });
      assert.deepEqual(await backupJob.run({ ...again, id: run.id, attempt: 2 }), { rows: 30010 });
      assert.match(await findBackup(storage, { kind: 'latest' }, never), /^20/);
      await storage.close();
    });
  }
});
