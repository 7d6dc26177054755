/** Who changes tables beside a BACKUP waits for it, or it for him; nobody waits for ever, and no row is lost. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import type { BackupPayload } from '../../jobs/backup/backupPayload.ts';
import { findBackup } from '../../jobs/backup/collection.ts';
import type { Manifest } from '../../jobs/backup/manifest.ts';
import { readManifest } from '../../jobs/backup/readManifest.ts';
import { fakeRun } from '../restore/restoreLab.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const never = new AbortController().signal;

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let service: pg.Pool;
    let externalDir: string;
    let counter = 0;

    before(async () => {
      server = await startPostgres({ version });
      service = new pg.Pool({ connectionString: server.connectionString('postgres'), max: 4 });
      service.on('error', () => {});
      externalDir = mkdtempSync(join(tmpdir(), 'pgpier-backup-'));
    });
    after(async () => {
      await service?.end();
      await server?.stop();
      rmSync(externalDir, { recursive: true, force: true });
    });

    const connect = async (database: string): Promise<pg.Client> => {
      const client = new pg.Client({ connectionString: server.connectionString(database) });
      client.on('error', () => {});
      await client.connect();
      return client;
    };
    const makeDatabase = async (statements: string): Promise<string> => {
      const name = `d${++counter}`;
      await service.query(`create database ${name}`);
      const client = await connect(name);
      await client.query(statements);
      await client.end();
      return name;
    };
    const payload = (database: string): BackupPayload => ({
      uri: `nodelocal://1/${database}`,
      targets: { kind: 'database', databases: [database] },
    });
    const manifestOf = async (collection: string): Promise<Manifest> => {
      const storage = await openStorage(
        { uri: `nodelocal://1/${collection}`, trusted: true },
        { externalDir, nodeId: 1, allowedNetworks: [] },
      );
      return readManifest(storage, await findBackup(storage, { kind: 'latest' }, never), never);
    };
    const rowsOf = (manifest: Manifest): Record<string, number> =>
      Object.fromEntries(manifest.databases[0]!.tables.map(({ schema, name, rows }) => [`${schema}.${name}`, rows]));
    /** A run whose storage does something before the first file of data is written. */
    const runThat = (database: string, beforeData: () => Promise<void>) => {
      const run = fakeRun({ server, service, externalDir, payload: payload(database) });
      let done: Promise<void> | undefined;
      const openStorageOf = run.openStorage;
      return {
        ...run,
        openStorage: async (uri: string): Promise<Storage> => {
          const storage = await openStorageOf(uri);
          const write: Storage['write'] = async (path, options) => {
            done ??= path.includes('/data/') ? beforeData() : undefined;
            await done;
            return storage.write(path, options);
          };
          return new Proxy(storage, {
            get: (target, name) => {
              if (name === 'write') return write;
              const value = Reflect.get(target, name, target);
              return typeof value === 'function' ? value.bind(target) : value;
            },
          });
        },
      };
    };
    const waiting = async (count: number): Promise<void> => {
      for (let tries = 0; tries < 500; tries++) {
        const { rows } = await service.query(`select count(*)::int as n from pg_locks where not granted and locktype = 'relation'`);
        if (rows[0].n >= count) return;
        await sleep(10);
      }
      assert.fail('nobody waits');
    };

    /** Both runs of pg_dump have come and gone. */
    const dumped = async (database: string): Promise<void> => {
      for (let quiet = 0, seen = false; quiet < 40; quiet++) {
        const { rows } = await service.query(`select from pg_stat_activity where datname = $1 and application_name ~ 'pg_dump'`, [
          database,
        ]);
        seen ||= rows.length > 0;
        if (rows.length > 0 || !seen) quiet = 0;
        await sleep(10);
      }
    };

    test('TRUNCATE, DROP, ALTER and VACUUM FULL that come while data are copied wait, and the backup has all rows', async () => {
      const tables = ['truncated', 'dropped', 'altered', 'vacuumed'];
      const filled = tables.map((name) => `create table ${name} as select n from generate_series(1, 1000) n;`).join('');
      // The first to be copied, so that the others are still to come.
      const database = await makeDatabase(`create table big as select n, repeat('x', 100) as t from generate_series(1, 50000) n; ${filled}
        create table parent (a int) partition by list (a); create table child partition of parent for values in (1); insert into parent select 1 from generate_series(1, 10)`);
      const clients = await Promise.all([1, 2, 3, 4].map(() => connect(database)));
      const changes = [
        'truncate truncated',
        'drop table dropped',
        'alter table altered add column b int default 1',
        'vacuum full vacuumed',
      ];
      let changed: Promise<unknown> = Promise.resolve();
      await backupJob.run(
        runThat(database, async () => {
          await dumped(database);
          changed = Promise.all(changes.map((change, index) => clients[index]!.query(change)));
          await waiting(changes.length);
        }),
      );
      const rows = rowsOf(await manifestOf(database));
      assert.deepEqual(rows, {
        'public.altered': 1000,
        'public.big': 50000,
        'public.child': 10,
        'public.dropped': 1000,
        'public.truncated': 1000,
        'public.vacuumed': 1000,
      });
      await changed;
      const check = await clients[0]!.query('select (select count(*) from truncated)::int as n, to_regclass($1) as gone', ['dropped']);
      assert.deepEqual(check.rows, [{ n: 0, gone: null }]);
      await Promise.all(clients.map((client) => client.end()));
    });

    test('a table that is being changed is waited for', async () => {
      const database = await makeDatabase('create table t as select n from generate_series(1, 100) n');
      const client = await connect(database);
      await client.query('begin; alter table t add column more int default 7');
      const work = backupJob.run(fakeRun({ server, service, externalDir, payload: payload(database) }));
      await waiting(1);
      await client.query('commit');
      await client.end();
      assert.deepEqual(await work, { rows: 100 });
      assert.deepEqual((await manifestOf(database)).databases[0]!.tables[0]!.columns, ['n', 'more']);
    });

    test('a change that slips between the leader and pg_dump is let through first', async () => {
      const many = Array.from({ length: 30 }, (_, index) => `create table t${index} as select 1 as a;`).join('');
      const database = await makeDatabase(many);
      const client = await connect(database);
      // Comes while the leader holds everything, and before pg_dump has looked.
      const run = fakeRun({ server, service, externalDir, payload: payload(database) });
      let change: Promise<unknown> | undefined;
      const spy = (async () => {
        for (let tries = 0; tries < 2000 && change === undefined; tries++) {
          const { rows } = await service.query(
            `select count(*)::int as n from pg_locks l join pg_stat_activity a using (pid) where a.datname = $1 and l.mode = 'AccessShareLock'
              and a.application_name like 'pgpier BACKUP%' and l.granted and l.locktype = 'relation'`,
            [database],
          );
          if (rows[0].n >= 30) change = client.query('alter table t29 add column b int default 2');
          else await sleep(1);
        }
      })();
      const { rows } = await backupJob.run(run);
      await spy;
      await change;
      await client.end();
      assert.equal(rows, 30);
    });

    test('tables made and dropped all the time do not keep a backup from its end, or it says so', async () => {
      const database = await makeDatabase('create table stays as select n from generate_series(1, 10) n');
      const client = await connect(database);
      const stop = { now: false };
      const churn = (async () => {
        for (let n = 0; !stop.now; n++) await client.query(`create table churn${n} (a int); drop table churn${n}`);
      })();
      try {
        await backupJob.run(fakeRun({ server, service, externalDir, payload: payload(database) }));
      } catch (error) {
        assert.ok(error instanceof PgPierError);
        assert.equal(error.data.sqlstate, '55006');
      }
      stop.now = true;
      await churn;
      await client.end();
    });

    const ofTables = (database: string, ...patterns: { names: string[]; all?: boolean }[]): BackupPayload => ({
      uri: `nodelocal://1/${database}-tables-${++counter}`,
      targets: {
        kind: 'table',
        database,
        patterns: patterns.map(({ names, all = false }) => ({ names, all })),
        texts: patterns.map(({ names, all }) => names.join('.') + (all ? '.*' : '')),
      },
    });

    test('BACKUP TABLE takes partitions and children with their parent, and names along the search_path', async () => {
      const database = await makeDatabase(`
        create table parts (a int, b text) partition by range (a);
        create table parts_1 partition of parts for values from (0) to (10) partition by list (a);
        create table parts_1_1 partition of parts_1 for values in (1);
        create table parts_2 partition of parts for values from (10) to (20);
        insert into parts values (1, 'one'), (11, 'eleven'), (12, 'twelve');
        create table mother (a int); create table daughter (b int) inherits (mother);
        insert into mother values (1); insert into daughter values (2, 2), (3, 3);
        create table other (a int); insert into other values (1);
        create schema "My ""Schema"; create table "My ""Schema".hidden (a int); insert into "My ""Schema".hidden values (1), (2);
        create table "My ""Schema".other (a int); insert into "My ""Schema".other values (1), (2), (3)`);
      const backUp = async (given: BackupPayload, searchPath: string): Promise<Record<string, number>> => {
        const run = fakeRun({ server, service, externalDir, payload: given });
        await backupJob.run({ ...run, asker: { ...run.asker, searchPath } });
        return rowsOf(await manifestOf(given.uri.slice('nodelocal://1/'.length)));
      };
      const path = '"$user", "My ""Schema", Public';
      assert.deepEqual(await backUp(ofTables(database, { names: ['parts'] }), path), { 'public.parts_1_1': 1, 'public.parts_2': 2 });
      assert.deepEqual(await backUp(ofTables(database, { names: ['mother'] }), path), { 'public.mother': 1, 'public.daughter': 2 });
      assert.deepEqual(await backUp(ofTables(database, { names: ['hidden'] }, { names: ['other'] }), path), {
        'My "Schema.hidden': 2,
        'My "Schema.other': 3,
      });
      assert.deepEqual(await backUp(ofTables(database, { names: ['other'] }), '"$user", public'), { 'public.other': 1 });
      assert.deepEqual(await backUp(ofTables(database, { names: ['My "Schema'], all: true }), 'public'), {
        'My "Schema.hidden': 2,
        'My "Schema.other': 3,
      });
    });

    test('BACKUP TABLE of several of which one is missing backs up nothing', async () => {
      const database = await makeDatabase('create table there as select 1 as a; create view seen as select 1 as a');
      for (const missing of ['nothing', 'seen', 'THERE']) {
        const given = ofTables(database, { names: ['there'] }, { names: [missing] });
        await assert.rejects(backupJob.run(fakeRun({ server, service, externalDir, payload: given })), (error: unknown) => {
          assert.ok(error instanceof PgPierError);
          assert.deepEqual([error.data.sqlstate, error.message], ['42P01', `table "${missing}" does not exist`]);
          return true;
        });
      }
    });
  });
}
