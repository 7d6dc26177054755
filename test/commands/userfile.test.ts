/** userfile:// in statements, through the product: whose files a URI means, and that proxies which share a catalog share the files. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const PGPIER_SECRET_KEY = Buffer.alloc(32, 5).toString('base64');

for (const version of [15, 18] as const)
  describe(`userfile in statements, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let elsewhere: Postgres;
    let near: Pgpier;
    let far: Pgpier;
    let files: pg.Client;
    const clients: pg.Client[] = [];

    before(async () => {
      [server, elsewhere] = await Promise.all([startPostgres({ version }), startPostgres({ version })]);
      const setup = new pg.Client({ connectionString: elsewhere.connectionString() });
      await setup.connect();
      await setup.query('create database remembered');
      await setup.end();
      // The catalog on a server of its own, and two proxies that share it.
      const PGPIER_CATALOG = elsewhere.connectionString('remembered');
      const env = { PGPIER_CATALOG, PGPIER_SECRET_KEY };
      near = await startPgpier({ backend: server, env });
      far = await startPgpier({ backend: server, env: { ...env, PGPIER_NODE_ID: '2' } });
      files = new pg.Client({ connectionString: PGPIER_CATALOG });
      await files.connect();
      const admin = await as('postgres');
      await admin.query(`create role alice login; create role bob login; create role team; grant team to alice`);
      await admin.query(`create table t as select n from generate_series(1, 5) n; grant select on t to alice, bob, team`);
      await admin.query('grant system externalconnection to alice');
    });
    after(async () => {
      for (const client of [...clients, files]) await client?.end().catch(() => {});
      await Promise.all([near?.stop(), far?.stop()]);
      await Promise.all([server?.stop(), elsewhere?.stop()]);
    });

    async function as(user: string, proxy = near): Promise<pg.Client> {
      const client = new pg.Client({ connectionString: proxy.connectionString('postgres', user) });
      client.on('error', () => {});
      await client.connect();
      clients.push(client);
      return client;
    }
    const exportTo = async (client: pg.Client, uri: string): Promise<string> => {
      const { rows } = await client.query(`EXPORT INTO CSV '${uri}' FROM SELECT n FROM t ORDER BY n`);
      return rows[0].filename;
    };
    const refused = async (client: pg.Client, text: string): Promise<string> => {
      const error = await client.query(text).then(
        () => assert.fail('accepted'),
        (error) => error,
      );
      return `${error.code} ${error.message}`;
    };
    /** `owner-name path: content` of all files, by SQL. */
    async function stored(): Promise<string[]> {
      const { rows } = await files.query(
        `select p.owner, p.name, convert_from(f.path, 'UTF8') as path, (select string_agg(convert_from(bytes, 'UTF8'), '' order by number)
           from pgpier.userfile_chunk c where c.file_id = f.file_id) as content
         from pgpier.userfile f join pgpier.userfile_prefix p using (prefix_id) where f.state = 'finished' order by f.file_id`,
      );
      const names = await onServer('select oid, rolname from pg_roles');
      const nameOf = new Map(names.map(({ oid, rolname }) => [oid, rolname]));
      return rows.map(
        ({ owner, name, path, content }) => `${nameOf.get(owner) ?? owner} ${name} ${path}: ${content.replaceAll('\n', ' ')}`,
      );
    }
    async function onServer(text: string): Promise<Record<string, string | number>[]> {
      const client = new pg.Client({ connectionString: server.connectionString() });
      await client.connect();
      try {
        return (await client.query(text)).rows;
      } finally {
        await client.end();
      }
    }

    test('EXPORT writes for whoever asks, SET ROLE included, and nothing lands on a disk or in another database', async () => {
      const [admin, alice, bob] = [await as('postgres'), await as('alice'), await as('bob', far)];
      const made = [
        await exportTo(admin, 'userfile:///out'),
        await exportTo(alice, 'userfile:///out'),
        await exportTo(bob, 'userfile:///out/'),
      ];
      await alice.query('set role team');
      made.push(await exportTo(alice, 'userfile:///out'));
      const content = '1 2 3 4 5 ';
      assert.deepEqual(await stored(), [
        `postgres  out/${made[0]}: ${content}`,
        `alice  out/${made[1]}: ${content}`,
        `bob  out/${made[2]}: ${content}`,
        `team  out/${made[3]}: ${content}`,
      ]);
      assert.deepEqual(await onServer(`select 1 from pg_database where datname = 'pgpier'`), []);
      await files.query('delete from pgpier.userfile_chunk; delete from pgpier.userfile');
    });

    test("a role's own files have CockroachDB's name too; those of others are for admins", async () => {
      const [admin, alice, bob] = [await as('postgres'), await as('alice'), await as('bob')];
      const names = [
        await exportTo(alice, 'userfile://defaultdb.public.userfiles_alice/a'),
        await exportTo(admin, 'userfile://defaultdb.public.userfiles_alice/b'),
      ];
      assert.deepEqual(
        (await stored()).map((line) => line.split(':')[0]),
        [`alice  a/${names[0]}`, `alice  b/${names[1]}`],
      );
      assert.equal(
        await refused(bob, "EXPORT INTO CSV 'userfile://defaultdb.public.userfiles_alice/a' FROM SELECT 1"),
        '42501 permission denied for the files of defaultdb.public.userfiles_alice',
      );
      assert.match(await refused(bob, "SHOW BACKUPS IN 'userfile://defaultdb.public.userfiles_alice/a'"), /^42501 permission denied/);
      assert.match(
        await refused(admin, "SHOW BACKUPS IN 'userfile://defaultdb.public.userfiles_nobody/a'"),
        /^42704 role "nobody" does not exist/,
      );
      assert.deepEqual((await bob.query("SHOW BACKUPS IN 'userfile:///a'")).rows, []);
    });

    test('a name of three parts is whose wrote there first', async () => {
      const [admin, alice, bob] = [await as('postgres'), await as('alice', far), await as('bob')];
      await exportTo(alice, 'userfile://shop.public.backups/x');
      assert.match(
        await refused(bob, "EXPORT INTO CSV 'userfile://shop.public.backups/x' FROM SELECT 1"),
        /^42501 permission denied for the files of/,
      );
      await exportTo(alice, 'userfile://Shop.PUBLIC.backups/x');
      await exportTo(admin, 'userfile://shop.public.backups/x');
      assert.equal((await stored()).filter((line) => line.startsWith('alice shop.public.backups x/')).length, 3);
      assert.match(await refused(admin, "EXPORT INTO CSV 'userfile://pgpier.dropped.1/x' FROM SELECT 1"), /^42501/);
    });

    test("CockroachDB's words for what is no place", async () => {
      const alice = await as('alice');
      assert.equal(
        await refused(alice, "EXPORT INTO CSV 'userfile:///foo/..' FROM SELECT 1"),
        '22023 path /foo/.. changes after normalization to /. userfile upload does not permit such path constructs',
      );
      assert.match(await refused(alice, "EXPORT INTO CSV 'userfile:///a//b' FROM SELECT 1"), /changes after normalization to \/a\/b\./);
      assert.match(
        await refused(alice, "EXPORT INTO CSV 'userfile:///a?AUTH=implicit' FROM SELECT 1"),
        /^22023 unknown userfile query parameters: AUTH$/,
      );
      for (const host of ['x', 'a.b', 'a.b.c.d', 'a..c', 'u@a.b.c'])
        assert.match(await refused(alice, `EXPORT INTO CSV 'userfile://${host}/p' FROM SELECT 1`), /^22023 invalid `userfile` URI/, host);
    });

    test("a connection stands for its maker's files, whoever has USAGE on it and whatever the roles are called", async () => {
      const [admin, alice, bob] = [await as('postgres'), await as('alice'), await as('bob', far)];
      await alice.query("CREATE EXTERNAL CONNECTION mine AS 'userfile:///kept'");
      await alice.query('GRANT USAGE ON EXTERNAL CONNECTION mine TO bob');
      const made = [await exportTo(bob, 'external://mine/sub'), await exportTo(admin, 'external://mine')];
      await onServer('alter role alice rename to alicia');
      made.push(await exportTo(bob, 'external://mine'));
      assert.deepEqual(
        (await stored()).filter((line) => line.includes(' kept/')).map((line) => line.split(':')[0]),
        [
          'alicia  kept/crdb_external_storage_location',
          `alicia  kept/sub/${made[0]}`,
          `alicia  kept/${made[1]}`,
          `alicia  kept/${made[2]}`,
        ],
      );
      assert.deepEqual((await admin.query('SHOW CREATE EXTERNAL CONNECTION mine')).rows.length, 1);
      const refusal = await refused(alice, "CREATE EXTERNAL CONNECTION theirs AS 'userfile://defaultdb.public.userfiles_bob/x'");
      assert.match(refusal, /^42501 /);
      await onServer('alter role alicia rename to alice');
    });

    test('files of a dropped role stay, for admins alone; its connections say so', async () => {
      const [admin, bob] = [await as('postgres'), await as('bob')];
      await onServer('create role carol login; grant select on t to carol');
      await admin.query('grant system externalconnection to carol');
      const carol = await as('carol');
      const made = await exportTo(carol, 'userfile:///backups');
      await carol.query("CREATE EXTERNAL CONNECTION hers AS 'userfile:///backups'; GRANT USAGE ON EXTERNAL CONNECTION hers TO bob");
      const oid = Number((await onServer(`select oid from pg_roles where rolname = 'carol'`))[0]!.oid);
      await carol.end();
      await onServer('drop owned by carol; drop role carol');
      assert.match(
        await refused(bob, "SHOW BACKUPS IN 'external://hers'"),
        /^42704 the role whose files external connection hers stands for was dropped/,
      );
      // What the sweep does every 30 s.
      const { keepFilesOfDroppedRoles } = await import('../../catalog/userfiles.ts');
      await keepFilesOfDroppedRoles(files, [oid], { info() {}, warn() {}, error() {} });
      const { rows } = await files.query(`select name from pgpier.userfile_prefix where owner = 0`);
      assert.match(rows[0].name, new RegExp(`^pgpier\\.dropped\\.${oid}_\\d+$`));
      await admin.query(`SHOW BACKUPS IN 'userfile://${rows[0].name}/backups'`);
      assert.match(await refused(bob, `SHOW BACKUPS IN 'userfile://${rows[0].name}/backups'`), /^42501/);
      assert.ok((await stored()).some((line) => line.includes(`${rows[0].name} backups/${made}`)));
    });

    test('a role backs a database up into its files, through one proxy, and restores it through the other', async () => {
      await onServer('alter role alice createdb');
      const admin = await as('postgres');
      await admin.query('create database shop owner alice');
      const alice = new pg.Client({ connectionString: near.connectionString('shop', 'alice') });
      clients.push(alice);
      await alice.connect();
      await alice.query(`create table orders as select n, repeat(md5(n::text), 20) as note from generate_series(1, 5000) n`);
      await alice.query(`BACKUP DATABASE shop INTO 'userfile:///shop'`);
      const elsewhere = await as('alice', far);
      const { rows } = await elsewhere.query(`SHOW BACKUPS IN 'userfile:///shop'`);
      assert.equal(rows.length, 1);
      const found = await elsewhere.query(`SHOW BACKUP FROM LATEST IN 'userfile:///shop' WITH check_files`);
      assert.ok(found.rows.some(({ object_name }) => object_name === 'orders'));
      await elsewhere.query(`RESTORE DATABASE shop FROM LATEST IN 'userfile:///shop' WITH new_db_name = 'shop2'`);
      const copy = new pg.Client({ connectionString: far.connectionString('shop2', 'alice') });
      clients.push(copy);
      await copy.connect();
      const sum = `select count(*) as count, md5(string_agg(o::text, '' order by n)) as md5 from orders o`;
      assert.deepEqual((await copy.query(sum)).rows, (await alice.query(sum)).rows);
      assert.match(await refused(await as('bob'), `SHOW BACKUP FROM LATEST IN 'userfile:///shop'`), /^(42704|58P01|22023) /);
    });

    test("the catalog's password is in no environment and no argument of a worker", async () => {
      // Whatever /proc shows of all our children: the workers were told by IPC.
      const { readdirSync, readFileSync } = await import('node:fs');
      if (process.platform !== 'linux') return;
      for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        let text = '';
        try {
          const parent = / (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) \w/, ''))?.[1];
          if (Number(parent) !== near.pid) continue;
          text = readFileSync(`/proc/${pid}/environ`, 'latin1') + readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        } catch {
          continue;
        }
        assert.ok(!text.includes('remembered') && !text.includes('PGPIER_'), `process ${pid}`);
      }
    });
  });
