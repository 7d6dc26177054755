/** BACKUP and RESTORE as statements, through the proxy: results, tags, transactions, detached jobs, rights, in both protocols. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let pgpier: Pgpier;
    const clients: pg.Client[] = [];
    const connect = async (database = 'postgres', user = 'postgres'): Promise<pg.Client> => {
      const client = new pg.Client({ connectionString: pgpier.connectionString(database, user) });
      client.on('error', () => {});
      await client.connect();
      clients.push(client);
      return client;
    };
    const code = async (work: Promise<unknown>): Promise<string> => {
      const error = await work.then(
        () => undefined,
        (failure: { code: string; message: string }) => failure,
      );
      return error === undefined ? 'none' : `${error.code} ${error.message}`;
    };

    before(async () => {
      server = await startPostgres({ version });
      pgpier = await startPgpier({ backend: server });
      const admin = await connect();
      for (const text of [
        'create role max login createdb',
        'create role backer login',
        'create database movr owner max',
        `create external connection bucket as 'nodelocal://1/bucket'`,
        'grant usage on external connection bucket to max, backer',
      ])
        await admin.query(text);
      const owner = await connect('movr', 'max');
      await owner.query('create table users (id serial primary key, name text)');
      await owner.query(`insert into users (name) select 'u' || i from generate_series(1, 1000) i`);
      await owner.query('grant select on users, users_id_seq to backer');
      await owner.query('create table "odd %name"  (a int)');
      await owner.query('grant select on "odd %name" to backer');
    });
    after(async () => {
      for (const client of clients) await client.end().catch(() => {});
      await pgpier?.stop();
      await server?.stop();
    });

    test('the story: back up, show, restore under another name, as the role that owns it', async () => {
      const max = await connect('movr', 'max');
      const backup = await max.query(`BACKUP DATABASE movr INTO 'external://bucket'`);
      assert.equal(backup.command, 'BACKUP');
      assert.equal(backup.rowCount, 1);
      assert.deepEqual(
        backup.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
        [
          ['job_id', 20],
          ['status', 25],
          ['fraction_completed', 701],
          ['rows', 20],
        ],
      );
      assert.deepEqual({ ...backup.rows[0], job_id: 0 }, { job_id: 0, status: 'succeeded', fraction_completed: 1, rows: '1000' });
      assert.equal((await max.query(`SHOW BACKUPS IN 'external://bucket'`)).rows.length, 1);
      const shown = await max.query(`SHOW BACKUP FROM LATEST IN $1`, ['external://bucket']);
      assert.deepEqual(
        shown.rows.map(({ object_name, object_type, rows }) => [object_name, object_type, rows]),
        [
          ['movr', 'database', null],
          ['public', 'schema', null],
          ['odd %name', 'table', '0'],
          ['users', 'table', '1000'],
          ['users_id_seq', 'table', '0'],
        ],
      );
      const restore = await max.query({
        text: `RESTORE DATABASE movr FROM LATEST IN $1 WITH new_db_name = $2`,
        values: ['external://bucket', 'movr2'],
        name: 'prepared',
      });
      assert.equal(restore.rows[0].rows, '1000');
      const copy = await connect('movr2', 'max');
      assert.equal((await copy.query('select count(*) from users')).rows[0].count, '1000');
      assert.equal((await copy.query(`insert into users (name) values ('next') returning id`)).rows[0].id, 1001);
      await copy.end();
    });

    test('in a transaction: refused, unless detached; detached counts when it commits', async () => {
      const max = await connect('movr', 'max');
      await max.query('begin');
      assert.match(
        await code(max.query(`backup table users into 'external://bucket/tx'`)),
        /^25001 BACKUP cannot be used inside a multi-statement transaction without DETACHED option/,
      );
      assert.match(await code(max.query('select 1')), /^25P02/);
      await max.query('rollback');
      await max.query('begin');
      const lost = (await max.query(`backup table users into 'external://bucket/rolled' with detached`)).rows[0].job_id;
      await max.query('rollback');
      await max.query('begin');
      const kept = await max.query(`backup table users into 'external://bucket/kept' with detached`);
      assert.deepEqual(Object.keys(kept.rows[0]), ['job_id']);
      await max.query('commit');
      await max.query(`show job when complete ${kept.rows[0].job_id}`);
      assert.equal((await max.query(`show backups in 'external://bucket/kept'`)).rows.length, 1);
      assert.equal((await max.query(`show backups in 'external://bucket/rolled'`)).rows.length, 0);
      assert.equal((await max.query(`show job ${lost}`)).rows.length, 0);
    });

    test('SELECT and USAGE are enough for BACKUP, and for nothing else', async () => {
      const backer = await connect('movr', 'backer');
      assert.equal((await backer.query(`backup table users into 'external://bucket/backer'`)).rows[0].rows, '1000');
      assert.match(await code(backer.query('show create external connection bucket')), /^42501/);
      assert.match(await code(backer.query('drop external connection bucket')), /^42501/);
      assert.match(
        await code(backer.query(`restore database movr from latest in 'external://bucket' with new_db_name = 'x'`)),
        /^42501 only users with the CREATEDB privilege/,
      );
      assert.match(await code(backer.query(`backup database postgres into 'nodelocal://1/x'`)), /^42501/);
    });

    test('what is wrong is said clearly, and the session goes on', async () => {
      const max = await connect('movr', 'max');
      for (const [text, expected] of [
        [`backup database nothing into 'external://bucket'`, /^3D000 .*"nothing"/],
        [`backup table nothing into 'external://bucket'`, /^42P01 table "nothing" does not exist/],
        [`backup table a.b.c, d.e.f into 'external://bucket'`, /^0A000 BACKUP TABLE takes tables of one database/],
        [`backup database movr into 'external://nobody'`, /^42501 .*USAGE/],
        [`backup database movr into 'foo://bar'`, /unsupported storage scheme/],
        [`backup database movr`, /^42601 syntax error/],
        [`backup database movr into 'external://bucket' with kms = 'x'`, /^0A000/],
        [`restore database movr from latest in 'external://bucket'`, /^42P04 database "movr" already exists/],
        [`restore database movr, other from latest in 'external://bucket' with new_db_name = 'x'`, /^42601 new_db_name can only be used/],
        [`restore database movr from '2020/01/01-000000.00' in 'external://bucket'`, /^58P01/],
        [`restore database movr from latest in 'external://bucket/empty'`, /^58P01 path does not contain a completed latest backup/],
        [`restore table users from latest in 'external://bucket'`, /^42P07 relation "users" already exists/],
        [
          `restore table users from latest in 'external://bucket' with into_db = 'absent'`,
          /^3D000 a database named "absent" needs to exist/,
        ],
      ] as const)
        assert.match(await code(max.query(text)), expected, text);
      assert.equal((await max.query('select 1 as one')).rows[0].one, 1);
      const { rows } = await (await connect()).query(`select (select count(*)::int from pg_roles where rolname like 'pgpier_job%') as roles,
        (select count(*)::int from pg_database where datname like 'pgpier_restore%') as databases`);
      assert.deepEqual(rows, [{ roles: 0, databases: 0 }]);
    });
  });
}
