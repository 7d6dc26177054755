import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import type { RestorePayload } from '../../jobs/restore/restorePayload.ts';
import { type DumpLab, startDumpLab } from '../dump/dumpLab.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { contentsOf, schemaOf } from './compare.ts';
import { type Handmade, makeBackup } from './handmadeBackup.ts';
import { fakeRun } from './restoreLab.ts';

const payloadOf = (more: Partial<RestorePayload> = {}): RestorePayload => ({
  uri: 'nodelocal://1/backups',
  choice: { kind: 'latest' },
  targets: { kind: 'database', databases: ['rich'] },
  schemaOnly: false,
  skipMissingForeignKeys: false,
  grants: false,
  ...more,
});

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) }, () => {
    let lab: DumpLab;
    let service: pg.Pool;
    let externalDir: string;
    let backup: Handmade;

    before(async () => {
      lab = await startDumpLab(version);
      service = new pg.Pool({ connectionString: lab.server.connectionString('postgres'), max: 4 });
      service.on('error', () => {});
      externalDir = mkdtempSync(join(tmpdir(), 'pgpier-restore-'));
      backup = await makeBackup(lab.server, version, join(externalDir, 'backups'));
      lab.psql('postgres', '-c', 'create role max login createdb', '-c', 'create role poor login');
    });
    after(async () => {
      await service?.end();
      await lab?.stop();
      rmSync(externalDir, { recursive: true, force: true });
    });

    const restore = (more: Partial<RestorePayload> = {}, role = 'postgres') => {
      const run = fakeRun({ server: lab.server, service, externalDir, payload: payloadOf(more), role });
      return { run, done: restoreJob.run(run) };
    };
    const databases = async (): Promise<string[]> => {
      const { rows } = await service.query(
        `select datname from pg_database where datname not in ('template0', 'template1', 'postgres') order by 1`,
      );
      return rows.map(({ datname }) => datname);
    };

    test('a database comes back with owners and privileges, object by object and row by row', async () => {
      const { rows } = await restore({ newDbName: 'whole', grants: true }).done;
      assert.equal(
        rows,
        backup.manifest.databases[0]!.tables.reduce((sum, table) => sum + table.rows, 0),
      );
      assert.equal(await schemaOf(lab.server, version, 'whole'), await schemaOf(lab.server, version, 'rich'));
      assert.deepEqual(await contentsOf(lab.server, 'whole'), await contentsOf(lab.server, 'rich'));
      const { rows: settings } = await service.query(
        `select shobj_description(d.oid, 'pg_database') as comment, s.setconfig, has_database_privilege('poor', d.oid, 'connect') as enters
          from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid where d.datname = 'whole'`,
      );
      assert.deepEqual(settings, [{ comment: "it's rich", setconfig: ['work_mem=5MB'], enters: true }]);
      assert.deepEqual(await databases(), ['rich', 'whole']);
    });

    test('without grants all is the restorer’s', async () => {
      await restore({ newDbName: 'mine' }).done;
      const owners = `select distinct pg_get_userbyid(relowner) as owner, has_table_privilege('rich_reader', 'shop.active', 'select') as reads
        from pg_class where relnamespace = 'shop'::regnamespace`;
      const client = new pg.Client({ connectionString: lab.server.connectionString('mine') });
      await client.connect();
      const { rows } = await client.query(owners);
      await client.end();
      assert.deepEqual(rows, [{ owner: 'postgres', reads: false }]);
      assert.deepEqual(await contentsOf(lab.server, 'mine'), await contentsOf(lab.server, 'rich'));
      lab.psql('postgres', '-c', 'drop database mine');
    });

    test('what is wrong is said before anything is made', async () => {
      const refused = (more: Partial<RestorePayload>, role: string, expected: { sqlstate: string; message: RegExp }) =>
        assert.rejects(restore(more, role).done, (error: unknown) => {
          assert.ok(error instanceof PgPierError, String(error));
          assert.match(error.message, expected.message);
          assert.equal(error.data.sqlstate, expected.sqlstate);
          return true;
        });
      await refused({}, 'postgres', { sqlstate: '42P04', message: /database "rich" already exists/ });
      await refused({ newDbName: 'x' }, 'poor', {
        sqlstate: '42501',
        message: /only users with the CREATEDB privilege can restore databases/,
      });
      const targets = { kind: 'database', databases: ['nothing'] } as const;
      await refused({ targets }, 'postgres', { sqlstate: '3D000', message: /"nothing" is not in the backup/ });
      await refused({ choice: { kind: 'subdirectory', path: '/2020/01/01-000000.00' } }, 'postgres', {
        sqlstate: '58P01',
        message: /2020/,
      });
      backup.publish({ ...backup.manifest, server: { version: '99.1', versionNumber: 990001 } });
      await refused({ newDbName: 'x' }, 'postgres', { sqlstate: '0A000', message: /a backup of PostgreSQL 99.1/ });
      backup.publish(backup.manifest);
      assert.deepEqual(await databases(), ['rich', 'whole']);
    });

    test('what an ordinary role may not make is told by name, and revert takes back the rest, as often as asked', async () => {
      const { run, done } = restore({ newDbName: 'x' }, 'max');
      await assert.rejects(done, (error: unknown) => {
        assert.ok(error instanceof PgPierError);
        assert.equal(error.data.sqlstate, '42501');
        assert.match(error.message, /^EXTENSION postgres_fdw: permission denied|^[A-Z ]+ .*: (permission denied|must be)/);
        return true;
      });
      assert.ok((await databases()).includes(`pgpier_restore_${run.id}_1`));
      for (let time = 0; time < 2; time++) await restoreJob.revert({ ...run, checkpoint: run.saved.at(-1) });
      assert.deepEqual(await databases(), ['rich', 'whole']);
    });

    test('a file that is damaged, cut short, missing or not what the manifest says is named', async () => {
      const [database] = backup.manifest.databases as [Handmade['manifest']['databases'][0]];
      const table = database.tables.find(({ name }) => name === 'orders_2024')!;
      const [file] = table.files as [(typeof table.files)[0]];
      for (const [changed, pattern] of [
        [{ sha256: '0'.repeat(64) }, /SHA-256/],
        [{ bytes: file.bytes + 1 }, /shorter than the manifest says/],
        [{ bytes: file.bytes - 1 }, /longer than the manifest says/],
        [{ rawBytes: file.rawBytes - 1 }, /more than the manifest says/],
        [{ rows: file.rows + 1 }, /rows, and the manifest says/],
        [{ path: '1/data/nothing.zst' }, /nothing\.zst/],
      ] as const) {
        const lying = { ...table, files: [{ ...file, ...changed }], rows: ('rows' in changed && changed.rows) || table.rows };
        backup.publish({
          ...backup.manifest,
          databases: [{ ...database, tables: database.tables.map((each) => (each === table ? lying : each)) }],
        });
        const { run, done } = restore({ newDbName: 'x' });
        await assert.rejects(done, (error: unknown) => {
          assert.ok(error instanceof PgPierError, String(error));
          assert.match(error.message, pattern);
          assert.ok(error.message.includes(('path' in changed && changed.path) || file.path), error.message);
          return true;
        });
        await restoreJob.revert({ ...run, checkpoint: run.saved.at(-1) });
      }
      backup.publish(backup.manifest);
      assert.deepEqual(await databases(), ['rich', 'whole']);
    });

    test('the attempt after one that was cut short begins anew and succeeds', async () => {
      const { run, done } = restore({ newDbName: 'second' });
      const ended = assert.rejects(done);
      for (let tries = 0; tries < 400 && run.saved.length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
      // In the middle: all of it takes some 300 ms at the least.
      await new Promise((resolve) => setTimeout(resolve, 60));
      run.abort.abort(new PgPierError('workersStopped'));
      await ended;
      const payload = payloadOf({ newDbName: 'second' });
      await restoreJob.run(
        fakeRun({ server: lab.server, service, externalDir, payload, id: run.id, attempt: 2, checkpoint: run.saved.at(-1) }),
      );
      assert.deepEqual(await contentsOf(lab.server, 'second'), await contentsOf(lab.server, 'rich'));
      assert.deepEqual(await databases(), ['rich', 'second', 'whole']);
    });
  });
}
