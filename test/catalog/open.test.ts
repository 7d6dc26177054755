import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Catalog, type CatalogOptions, openCatalog } from '../../catalog/catalog.ts';
import { readMigrations } from '../../catalog/migrate.ts';
import { sweep } from '../../catalog/sweep.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { collectingLog, Lab, masterKey, refusalOf } from './lab.ts';

const view = {
  session: '6b4a2b0e-3f0e-4a56-9d0f-0d3d0d6b6c11',
  role: 'postgres',
  sessionUser: 'postgres',
  stamp: { kind: 'immediate' },
} as const;
const migrations = (await readMigrations()).map(({ number }) => ({ number }));
const list = async (catalog: Catalog) => catalog.transaction(view, async (tx) => (await tx.connections.list()).map(({ name }) => name));

for (const version of [15, 18] as const) {
  describe(`opening the catalog, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let folder: string;
    const opened: Catalog[] = [];
    before(async () => {
      server = await startPostgres({ version });
      folder = mkdtempSync(join(tmpdir(), 'pgpier-open-'));
    });
    after(async () => {
      await Promise.all(opened.map((catalog) => catalog.close()));
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    async function open(options: Partial<CatalogOptions> = {}): Promise<Catalog> {
      const service = { connectionString: server.connectionString() };
      const catalog = await openCatalog({ service, secretKey: masterKey, log: collectingLog(), ...options });
      opened.push(catalog);
      return catalog;
    }

    async function sql(text: string, database = 'pgpier', user = 'postgres'): Promise<pg.QueryResult> {
      const client = new pg.Client(server.connectionString(database, user));
      await client.connect();
      try {
        return await client.query(text);
      } finally {
        await client.end();
      }
    }

    async function fresh(): Promise<void> {
      await Promise.all(opened.splice(0).map((catalog) => catalog.close()));
      await sql('drop database if exists pgpier with (force)', 'postgres');
    }

    test('three proxies that start at once make one database, one schema and one key', async () => {
      await fresh();
      const path = join(folder, 'raced');
      const secretKey = { kind: 'file', path, createIfMissing: true } as const;
      const catalogs = await Promise.all([1, 2, 3].map(async () => open({ secretKey })));
      assert.deepEqual(await Promise.all(catalogs.map(list)), [[], [], []]);
      assert.deepEqual((await sql('select number from pgpier.migration order by 1')).rows, migrations);
      assert.equal((await sql('select from pgpier.secret_key')).rowCount, 1);
      await open({ secretKey });
    });

    test('nobody but the service login may enter the database', async () => {
      await fresh();
      await open();
      await sql(`drop role if exists stranger; create role stranger login`);
      await assert.rejects(sql('select 1', 'pgpier', 'stranger'), { code: '42501' });
      await sql('select 1', 'postgres', 'stranger');
    });

    test('another key is refused, a missing one too, and none is made in its place', async () => {
      await fresh();
      const path = join(folder, 'kept');
      await open({ secretKey: { kind: 'file', path, createIfMissing: true } });
      const before = (await sql('select fingerprint, wrapped_data_key from pgpier.secret_key')).rows;
      const other = { kind: 'value', value: Buffer.alloc(32, 9).toString('hex') } as const;
      assert.match(
        await refusalOf(open({ secretKey: other })),
        /^55000 the secret key is not the catalog's: its fingerprint is [0-9a-f]{32}, /,
      );
      const gone = join(folder, 'gone');
      const lost = { kind: 'file', path: gone, createIfMissing: true } as const;
      assert.match(await refusalOf(open({ secretKey: lost })), /^55000 there is no key file at .*gone, and the catalog needs its key/);
      assert.throws(() => rmSync(gone), { code: 'ENOENT' });
      assert.deepEqual((await sql('select fingerprint, wrapped_data_key from pgpier.secret_key')).rows, before);
    });

    test('without a key it opens as long as nothing is encrypted, and stores nothing', async () => {
      await fresh();
      const keyless = await open({ secretKey: { kind: 'none' } });
      assert.deepEqual(await list(keyless), []);
      const lab = new Lab(server, keyless);
      const session = await lab.session();
      assert.match(await session.refusal("CREATE EXTERNAL CONNECTION c AS 'nodelocal://self/c'"), /^55000 there is no PGPIER_SECRET_KEY/);
      lab.catalog = await open();
      await session.run("CREATE EXTERNAL CONNECTION c AS 'nodelocal://self/c'");
      await session.client.end();
      assert.match(await refusalOf(open({ secretKey: { kind: 'none' } })), /^55000 there is no PGPIER_SECRET_KEY/);
    });

    test('no credential and no key is readable in what the catalog stores', async () => {
      await fresh();
      const lab = new Lab(server, await open());
      const session = await lab.session();
      await session.run("CREATE EXTERNAL CONNECTION c AS 's3://bucket/p?AWS_ACCESS_KEY_ID=AKIAVISIBLE&AWS_SECRET_ACCESS_KEY=vErYsEcReT'");
      await session.client.end();
      const everything = await sql(`
        select pg_catalog.string_agg(t::text, E'\\n') as dump from (
          select u::text || encode(u.uri, 'escape') || convert_from(decode(replace(encode(u.uri, 'hex'), '00', '01'), 'hex'), 'LATIN1') as t
            from pgpier.connection_uri u
          union all select e::text from pgpier.external_connection e
          union all select p::text from pgpier.privilege p union all select k::text || encode(k.wrapped_data_key, 'escape') from pgpier.secret_key k) t`);
      const dump: string = everything.rows[0].dump;
      assert.match(dump, /STORAGE/);
      assert.doesNotMatch(dump, /vErYsEcReT|AKIAVISIBLE|bucket/);
      assert.equal(dump.includes(Buffer.alloc(32, 7).toString('hex')), false);
    });

    test('a catalog that a newer version has migrated is refused', async () => {
      await fresh();
      await open();
      await sql('insert into pgpier.migration (number) values (70)');
      assert.equal(await refusalOf(open()), `55000 the catalog is at migration 70, this program knows no more than ${migrations.length}`);
    });

    test('a database or schema that somebody else made first is refused', async () => {
      await fresh();
      await sql('drop role if exists squatter; drop role if exists service', 'postgres');
      await sql('create role squatter createdb login; create role service createdb login', 'postgres');
      await sql('create database pgpier', 'postgres', 'squatter');
      const service = { connectionString: server.connectionString('postgres', 'service') };
      assert.equal(
        await refusalOf(open({ service })),
        '42501 the database pgpier of the catalog belongs to role "squatter", which is neither the service login nor a superuser',
      );
      await sql('create schema pgpier authorization squatter');
      assert.match(await refusalOf(open()), /^42501 the (schema|database) pgpier of the catalog belongs to role "squatter"/);
      await fresh();
      await open({ service });
      assert.equal(
        (await sql("select from pg_namespace n join pg_roles r on r.oid = nspowner where nspname = 'pgpier' and rolname = 'service'"))
          .rowCount,
        1,
      );
      await fresh();
    });

    test('a catalog of another cluster is refused until the administrator says that the roles are the same', async () => {
      await fresh();
      await open();
      await sql('update pgpier.cluster set system_identifier = 42');
      assert.match(await refusalOf(open()), /^55000 the catalog belongs to another cluster: its system identifier is 42, /);
      await sql('update pgpier.cluster set system_identifier = null');
      await open();
    });

    test('rights are not swept away when the service login leads to another cluster', async () => {
      await fresh();
      const lab = new Lab(server, await open());
      const session = await lab.session();
      await session.foreign('drop role if exists gone; create role gone');
      await session.run('GRANT SYSTEM VIEWJOB TO gone');
      await session.foreign('drop role gone');
      await session.client.end();
      const pool = new pg.Pool({ connectionString: server.connectionString('pgpier') });
      // The next test drops the database, perhaps before the last connection has closed.
      pool.on('error', () => {});
      const count = async () => (await pool.query('select from pgpier.privilege')).rowCount;
      await pool.query('update pgpier.cluster set system_identifier = 42');
      const log = collectingLog();
      await sweep(pool, lab.catalog.service, log);
      assert.equal(await count(), 1);
      assert.match(log.lines.join(), /leads to another cluster/);
      await pool.query('update pgpier.cluster set system_identifier = null');
      await sweep(pool, lab.catalog.service, log);
      assert.equal(await count(), 0);
      await pool.end();
    });

    test('connections of a catalog from before ALTER EXTERNAL CONNECTION are read as they were', async () => {
      await fresh();
      const first = new Lab(server, await open());
      const session = await first.session();
      await session.run("CREATE EXTERNAL CONNECTION old AS 's3://b?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s'");
      await session.client.end();
      await sql('alter table pgpier.external_connection add provider text, add uri bytea');
      await sql(
        'update pgpier.external_connection c set provider = u.provider, uri = u.uri from pgpier.connection_uri u where u.connection_id = c.connection_id',
      );
      await sql('drop table pgpier.connection_uri; drop table pgpier.connection_use cascade; alter table pgpier.job drop connections');
      await sql('delete from pgpier.migration where number >= 4');
      const second = new Lab(server, await open());
      const later = await second.session();
      assert.deepEqual(await later.show('SHOW CREATE EXTERNAL CONNECTION old'), [
        ['old', "CREATE EXTERNAL CONNECTION 'old' AS 's3://b?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s'"],
      ]);
      await later.client.end();
    });

    test('a stored value that was tampered with is an error to read, and can be dropped', async () => {
      await fresh();
      const lab = new Lab(server, await open());
      const session = await lab.session();
      await session.run("CREATE EXTERNAL CONNECTION a AS 'nodelocal://self/a'; CREATE EXTERNAL CONNECTION b AS 'nodelocal://self/b'");
      const of = (name: string): string => `(select connection_id from pgpier.external_connection where name = '${name}')`;
      await sql(
        `update pgpier.connection_uri set uri = (select uri from pgpier.connection_uri where connection_id = ${of('b')}) where connection_id = ${of('a')}`,
      );
      assert.match(
        await session.refusal('SHOW EXTERNAL CONNECTION a'),
        /^XX001 the encrypted value external_connection\/[0-9a-f-]+\/uri in the catalog/,
      );
      assert.deepEqual(await session.show('SHOW EXTERNAL CONNECTION b'), [['b', 'nodelocal://self/b', 'STORAGE']]);
      await session.run('DROP EXTERNAL CONNECTION a');
      assert.deepEqual(await session.names(), ['b']);
      await session.client.end();
    });

    test('a catalog elsewhere keeps rights of this cluster, and its database stays open to those who use it', async () => {
      await fresh();
      const elsewhere = await startPostgres({ version: version === 15 ? 18 : 15 });
      try {
        const lab = new Lab(server, await open({ catalogUrl: elsewhere.connectionString() }));
        const session = await lab.session();
        await session.foreign('begin');
        await session.runInTransaction("CREATE EXTERNAL CONNECTION far AS 'nodelocal://self/c'");
        await session.foreign('commit');
        assert.deepEqual(await session.names(), ['far']);
        await session.client.end();
        const client = new pg.Client(elsewhere.connectionString());
        await client.connect();
        const { rows } = await client.query("select has_database_privilege(0::oid, 'postgres', 'connect') as open");
        assert.deepEqual(rows, [{ open: true }]);
        await client.end();
        await Promise.all(opened.splice(0).map((catalog) => catalog.close()));
      } finally {
        await elsewhere.stop();
      }
    });

    test('a server that is away makes statements fail in bounded time, and works again when it is back', async () => {
      await fresh();
      const log = collectingLog();
      const catalog = await open({ log });
      assert.deepEqual(await list(catalog), []);
      await server.restart();
      // The first use after a restart may meet a connection that the restart has ended.
      await list(catalog).catch(() => {});
      assert.deepEqual(await list(catalog), []);

      const unreachable = { connectionString: 'postgres://postgres@127.0.0.1:1/postgres' };
      const down = await open({ service: unreachable, log });
      const began = performance.now();
      assert.equal(await refusalOf(list(down)), "57P03 PgPier's catalog is not available (ECONNREFUSED)");
      assert.ok(performance.now() - began < 6_000);
      assert.ok(log.lines.some((line) => line.includes('the catalog is not available')));
    });

    test('a server that accepts connections and never answers is given up on after five seconds', async () => {
      const { createServer } = await import('node:net');
      const silent = createServer(() => {}).listen(0, '127.0.0.1');
      await new Promise((resolve) => silent.once('listening', resolve));
      const { port } = silent.address() as import('node:net').AddressInfo;
      const began = performance.now();
      const catalog = await open({ service: { host: '127.0.0.1', port, user: 'postgres', database: 'postgres' } });
      const took = performance.now() - began;
      assert.ok(took > 4_000 && took < 8_000, `${took}`);
      await catalog.close();
      opened.pop();
      silent.close();
    });

    test("a client's settings and a hostile search_path in the service's database change nothing", async () => {
      await fresh();
      await sql(
        `alter role postgres set search_path = evil; drop schema if exists evil cascade; create schema evil;
        create table evil.pg_roles (oid oid, rolname name, rolsuper boolean);
        create function evil.texteq(text, text) returns boolean language sql return true;
        create operator evil.= (function = evil.texteq, leftarg = text, rightarg = text)`,
        'postgres',
      );
      const lab = new Lab(server, await open());
      const session = await lab.session();
      await session.run("CREATE EXTERNAL CONNECTION a AS 'nodelocal://self/a'");
      assert.match(await session.refusal('SHOW EXTERNAL CONNECTION b'), /^42704/);
      await session.client.end();
      await sql('alter role postgres reset search_path', 'postgres');
    });
  });
}
