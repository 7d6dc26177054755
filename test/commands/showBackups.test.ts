/** SHOW BACKUPS and SHOW BACKUP as clients send them, on collections made by hand (docs/backup-format.md). */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { type AddressInfo, createConnection, createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { buildBackup, exampleBackup, pointerName, put } from '../jobs/backupBuilder.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, postgresBin, startPostgres } from '../servers/postgres.ts';

const first = '2025/12/31-235959.99';
const second = '2026/04/18-084211.25';
const settings = { nodeId: 1, allowedNetworks: [] };

for (const version of [15, 18] as const)
  describe(`SHOW BACKUPS and SHOW BACKUP, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let pgpier: Pgpier;
    let client: pg.Client;
    let notices: string[] = [];
    let made = 0;

    before(async () => {
      server = await startPostgres({ version });
      pgpier = await startPgpier({ backend: server });
      client = await connect('postgres');
      client.on('notice', ({ message, detail, hint }) => notices.push([message, detail, hint].filter(Boolean).join(' | ')));
      await client.query('create role reader login; create role stranger login');
      await client.query(`CREATE EXTERNAL CONNECTION backups AS 'nodelocal://1/shared'`);
      await client.query('GRANT USAGE ON EXTERNAL CONNECTION backups TO reader');
      const storage = await local('shared');
      for (const folder of [second, first]) await buildBackup(storage, folder);
      await storage.close();
    });
    after(async () => {
      await client?.end();
      await pgpier?.stop();
      await server?.stop();
    });

    async function connect(user: string): Promise<pg.Client> {
      const connected = new pg.Client({ connectionString: pgpier.connectionString('postgres', user) });
      connected.on('error', () => {});
      await connected.connect();
      return connected;
    }
    function sendCancel(of: pg.Client): void {
      const { processID, secretKey } = of as unknown as { processID: number; secretKey: number };
      const packet = Buffer.alloc(16);
      for (const [index, value] of [16, 80_877_102, processID, secretKey].entries()) packet.writeInt32BE(value, index * 4);
      createConnection(pgpier.port, '127.0.0.1').resume().end(packet);
    }
    const local = (path: string): Promise<Storage> =>
      openStorage({ uri: `nodelocal://1/${path}`, trusted: true }, { ...settings, externalDir: pgpier.externalDirectory });
    async function collection(fill: (storage: Storage) => Promise<void> = async () => {}): Promise<string> {
      const name = `c${++made}`;
      const storage = await local(name);
      await fill(storage);
      await storage.close();
      return `nodelocal://1/${name}`;
    }
    async function rows(text: string, values: unknown[] = [], as = client): Promise<unknown[][]> {
      notices = [];
      return (await as.query({ text, values, rowMode: 'array' })).rows;
    }
    async function refused(text: string, values: unknown[] = [], as = client): Promise<string> {
      const error: unknown = await as.query(text, values).then(
        () => assert.fail(`accepted: ${text}`),
        (reason: unknown) => reason,
      );
      assert.ok(error instanceof pg.DatabaseError, String(error));
      return [`${error.code} ${error.message}`, error.detail, error.hint].filter((each) => each !== undefined).join(' | ');
    }

    test('backups are listed oldest first, with a slash before', async () => {
      assert.deepEqual(await rows(`SHOW BACKUPS IN 'external://backups'`), [[`/${first}`], [`/${second}`]]);
      assert.deepEqual(await rows('SHOW BACKUPS IN $1', ['nodelocal://1/shared']), [[`/${first}`], [`/${second}`]]);
      assert.deepEqual(await rows(`SHOW BACKUPS IN 'nodelocal://1/nothing/here'`), []);
    });

    test('NEWER THAN and OLDER THAN take times, folders and spans, in the zone of the session', async () => {
      const shown = async (clause: string) => (await rows(`SHOW BACKUPS IN 'external://backups' ${clause}`)).map(([path]) => path);
      assert.deepEqual(await shown(`NEWER THAN '2026-01-01'`), [`/${second}`]);
      assert.deepEqual(await shown(`OLDER THAN '2026-01-01'`), [`/${first}`]);
      assert.deepEqual(await shown(`NEWER THAN '2025-01-01' OLDER THAN '/${second}'`), [`/${first}`]);
      assert.deepEqual(await shown(`NEWER THAN '2026-04-18 08:42:11.24+00'`), [`/${second}`]);
      assert.deepEqual(await shown(`NEWER THAN '2026-04-18 08:42:11.25+00'`), []);
      assert.deepEqual(await shown(`OLDER THAN '-1s'`), [`/${first}`, `/${second}`]);
      await client.query(`set timezone = 'Europe/Berlin'`);
      assert.deepEqual(await shown(`NEWER THAN '2026-04-18T10:42:11.24'`), [`/${second}`]);
      assert.deepEqual(await shown(`NEWER THAN '2026-04-18T10:42:11.26'`), []);
      await client.query('reset timezone');
      assert.match(
        await refused(`SHOW BACKUPS IN 'external://backups' NEWER THAN 'yesterday'`),
        /^22007 invalid time behind NEWER THAN \| Write a time/,
      );
    });

    const example = exampleBackup();
    const time = new Date('2026-04-18T08:42:11.250Z');
    const row = (...[database, schema, name, type, bytes, count]: (string | null)[]) =>
      [database, schema, name, type, 'full', null, time, bytes, count, false, null] as unknown[];
    const objects = [
      row(null, null, 'movr', 'database', null, null),
      row('movr', null, 'public', 'schema', null, null),
      row('movr', 'public', 'rides', 'table', '47', '2'),
      row('movr', 'public', 'users', 'table', '20', '1'),
      row('movr', 'public', 'Busy "rides"', 'table', '0', '0'),
      row('movr', 'public', 'mood', 'type', null, null),
      row('movr', 'public', 'fare(integer)', 'function', null, null),
    ];

    test('a backup is an object a row, in CockroachDB’s eleven columns', async () => {
      const result = await client.query({ text: `SHOW BACKUP FROM LATEST IN 'external://backups'`, rowMode: 'array' });
      assert.deepEqual(
        result.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
        [
          ['database_name', 25],
          ['parent_schema_name', 25],
          ['object_name', 25],
          ['object_type', 25],
          ['backup_type', 25],
          ['start_time', 1184],
          ['end_time', 1184],
          ['size_bytes', 20],
          ['rows', 20],
          ['is_full_cluster', 16],
          ['regions', 25],
        ],
      );
      assert.deepEqual(result.rows, objects);
      for (const from of [`'${first}'`, `'/${first}/'`]) {
        assert.deepEqual(await rows(`SHOW BACKUP FROM ${from} IN 'external://backups'`), objects);
      }
      assert.deepEqual(await rows('SHOW BACKUP $1 IN $2', [second, 'external://backups']), objects);
    });

    test('options add columns behind them, in one order', async () => {
      const result = await client.query(`SHOW BACKUP SCHEMAS FROM LATEST IN 'external://backups' WITH check_files, privileges, SKIP SIZE`);
      assert.deepEqual(
        result.fields.slice(11).map(({ name }) => name),
        ['create_statement', 'privileges', 'owner', 'file_bytes'],
      );
      const [database, schema, rides] = result.rows;
      const stored = (path: string) => example.files.get(path)!.length;
      assert.equal(database.create_statement, 'CREATE DATABASE movr;\n');
      assert.equal(database.file_bytes, String(stored('1/pre-data.sql.zst') + stored('1/post-data.sql.zst') + stored('1/restore.psql')));
      assert.equal(schema.file_bytes, null);
      assert.deepEqual([rides.size_bytes, rides.rows, rides.owner], [null, null, 'movr_owner']);
      assert.equal(rides.file_bytes, String(stored('1/data/1-0.copy.zst')));
      assert.equal(
        rides.privileges,
        'GRANT INSERT, SELECT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE public.rides TO movr_owner; GRANT SELECT ON TABLE public.rides TO PUBLIC;',
      );
      assert.equal(schema.privileges, null);
      assert.match(rides.create_statement, /^CREATE TABLE public\.rides \(\n/);
    });

    test('as_json is the manifest, as jsonb, in text and in binary, whatever else is asked', async () => {
      const text = `SHOW BACKUP SCHEMAS FROM LATEST IN 'external://backups' WITH as_json, privileges`;
      const result = await client.query(text);
      assert.deepEqual(
        result.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
        [['manifest', 3802]],
      );
      assert.deepEqual(result.rows, [{ manifest: example.manifest }]);
      const binary = await client.query({
        text: text.replace("'external://backups'", '$1'),
        values: ['external://backups'],
        binary: true,
      } as pg.QueryConfig);
      assert.deepEqual(JSON.parse(String(binary.rows[0].manifest).slice(1)), example.manifest);
    });

    test('psql prints them, and describes the columns before it runs', { skip: missingPostgres(15) }, () => {
      const psql = (text: string) => spawnSync(join(postgresBin(15)!, 'psql'), ['-X', '-A', pgpier.url], { input: text, encoding: 'utf8' });
      const shown = psql(`SHOW BACKUPS IN 'external://backups';\nSHOW BACKUP FROM LATEST IN 'external://backups' WITH SKIP SIZE;`);
      assert.equal(shown.stderr, '');
      assert.match(shown.stdout, /^path\n\/2025\/12\/31-235959\.99\n\/2026\/04\/18-084211\.25\n\(2 rows\)\n/);
      assert.match(shown.stdout, /\n\|\|movr\|database\|full\|\|2026-04-18 08:42:11\.250?\+00\|\|\|f\|\nmovr\|\|public\|schema\|/);
      const described = psql(`SHOW BACKUP FROM LATEST IN 'external://backups' WITH privileges \\gdesc`);
      assert.match(described.stdout, /regions\|text\nprivileges\|text\nowner\|text\n\(13 rows\)\n$/);
    });

    test('who may use the place may read its backups, and nobody else', async () => {
      const reader = await connect('reader');
      const stranger = await connect('stranger');
      try {
        for (const text of [`SHOW BACKUPS IN 'external://backups'`, `SHOW BACKUP FROM LATEST IN 'external://backups'`]) {
          assert.ok((await rows(text, [], reader)).length > 0);
          assert.equal(
            await refused(text, [], stranger),
            '42501 user stranger does not have USAGE privilege on external_connection backups',
          );
          assert.match(
            await refused(text.replace('external://backups', 'nodelocal://1/shared'), [], reader),
            /^42501 only users with the admin role/,
          );
        }
        assert.match(await refused(`SHOW BACKUPS IN 'external://backups/../other'`, [], reader), /^42501 the path leads outside/);
        assert.match(
          await refused(`SHOW BACKUP FROM '../c1/${second}' IN 'external://backups'`, [], reader),
          /^58P01 the collection holds no finished/,
        );
      } finally {
        await reader.end();
        await stranger.end();
      }
    });

    test('inside a transaction they show what there is, and an error aborts it', async () => {
      await client.query('begin read only');
      assert.equal((await rows(`SHOW BACKUPS IN 'external://backups'`)).length, 2);
      await refused(`SHOW BACKUP FROM LATEST IN 'nodelocal://1/nothing'`);
      assert.match(await refused('select 1'), /^25P02 /);
      await client.query('rollback');
    });

    test('a collection without a finished backup has no latest one', async () => {
      const missing =
        '58P01 path does not contain a completed latest backup | Its URI may be another one, or no backup has been finished there: SHOW BACKUPS IN lists what it holds.';
      assert.equal(await refused(`SHOW BACKUP FROM LATEST IN 'nodelocal://1/nothing'`), missing);
      const uri = await collection(async (storage) => {
        await put(storage, `${second}/1/pre-data.sql.zst`, 'x');
        await put(storage, 'readme.txt', 'x');
      });
      assert.equal(await refused(`SHOW BACKUP FROM LATEST IN '${uri}'`), missing);
      assert.equal(
        await refused(`SHOW BACKUP FROM '${second}' IN '${uri}'`),
        `58P01 the collection holds no finished backup "/${second}" | It holds files of a backup that is not finished. | SHOW BACKUPS IN lists those that it holds.`,
      );
    });

    test('what is not finished is not listed, but named in a notice', async () => {
      const uri = await collection(async (storage) => {
        await buildBackup(storage, second);
        await put(storage, '2026/05/01-000000.00/BACKUP-LOCK-77', '');
        await put(storage, '2026/05/01-000000.00/1/data/1-0.copy.zst', 'x');
        await put(storage, '2026/05/02-000000.00/1/pre-data.sql.zst', 'x');
        await put(storage, 'some/other/file', 'x');
      });
      assert.deepEqual(await rows(`SHOW BACKUPS IN '${uri}'`), [[`/${second}`]]);
      assert.deepEqual(notices, [
        '/2026/05/01-000000.00 holds no finished backup | Job 77 is writing it, or ended early. | SHOW JOB 77 tells, on the PgPier that writes there. If the job has ended, delete the folder.',
        '/2026/05/02-000000.00 holds no finished backup | Delete the folder if nobody is writing there.',
      ]);
      const many = await collection(async (storage) => {
        for (let day = 1; day <= 12; day++) await put(storage, `2026/05/${String(day).padStart(2, '0')}-000000.00/BACKUP-LOCK-${day}`, '');
      });
      assert.deepEqual(await rows(`SHOW BACKUPS IN '${many}'`), []);
      assert.equal(notices.length, 11);
      assert.equal(notices[0], '2 older folders hold no finished backup either');
    });

    test('a broken manifest, a newer one and a strange pointer are told', async () => {
      const broken = async (manifest: string) => {
        const uri = await collection((storage) => buildBackup(storage, second, { manifest }));
        return refused(`SHOW BACKUP FROM LATEST IN '${uri}'`);
      };
      assert.equal(await broken('{"format":'), `XX001 the manifest of the backup "/${second}" is broken: it is not JSON in UTF-8`);
      assert.equal(await broken('{}'), `XX001 the manifest of the backup "/${second}" is broken: format must be one of pgpier-backup`);
      assert.match(
        await broken('{"format":"pgpier-backup","version":7}'),
        /^0A000 the backup ".*" has format version 7, this program reads no newer one than 1/,
      );
      const escaping = structuredClone(example.manifest) as unknown as { databases: { preData: { path: string } }[] };
      escaping.databases[0]!.preData.path = '../../../etc/passwd';
      assert.match(await broken(JSON.stringify(escaping)), /^XX001 .* databases\[0\]\.preData\.path must be a path in the folder/);
      const uri = await collection((storage) => put(storage, pointerName(second), '../../../etc'));
      assert.match(await refused(`SHOW BACKUP FROM LATEST IN '${uri}'`), /^58P01 path does not contain a completed latest backup/);
    });

    test('check_files names what is missing and what has another size', async () => {
      const uri = await collection(async (storage) => {
        await buildBackup(storage, second);
        await storage.delete(`${second}/1/data/2-0.copy.zst`);
        await storage.delete(`${second}/1/restore.psql`);
      });
      assert.deepEqual(await rows(`SHOW BACKUP FROM LATEST IN '${uri}'`), objects);
      assert.equal(
        await refused(`SHOW BACKUP FROM LATEST IN '${uri}' WITH check_files`),
        '58P01 The following files are missing from the backup:\n\t1/restore.psql\n\t1/data/2-0.copy.zst',
      );
      await local(uri.slice('nodelocal://1/'.length)).then((storage) => put(storage, `${second}/1/data/1-0.copy.zst`, 'longer? no'));
      const size = example.files.get('1/data/1-0.copy.zst')!.length;
      const wrong = `The following files of the backup have another size than they had when it was written:\n\t1/data/1-0.copy.zst (10 bytes instead of ${size})`;
      assert.match(
        await refused(`SHOW BACKUP FROM LATEST IN '${uri}' WITH check_files, as_json`),
        /^58P01 .*missing.* \| The following files .*\(10 bytes/s,
      );
      const other = await collection(async (storage) => {
        await buildBackup(storage, second);
        await put(storage, `${second}/1/data/1-0.copy.zst`, 'longer? no');
      });
      assert.equal(await refused(`SHOW BACKUP FROM LATEST IN '${other}' WITH check_files`), `XX001 ${wrong}`);
    });

    test('10,000 tables are shown, with their statements, from a large folder', async () => {
      const { manifest } = example;
      const [database] = manifest.databases;
      const tables = Array.from({ length: 10_000 }, (_, index) => ({
        ...database!.tables[0]!,
        name: `table ${index}`,
        rows: 0,
        files: [],
      }));
      const more = tables.map(({ schema, name }) => ({
        schema,
        name,
        type: 'table',
        owner: 'o',
        bytes: 1,
        rows: 2,
        createStatement: 'x'.repeat(1000),
      }));
      const json = JSON.stringify({ ...manifest, databases: [{ ...database, tables, objects: more }] });
      const uri = await collection((storage) => buildBackup(storage, second, { manifest: json }));
      const shown = await rows(`SHOW BACKUP SCHEMAS FROM LATEST IN '${uri}'`);
      assert.equal(shown.length, 10_000);
      assert.equal(shown[9_999]![2], 'table 9999');
      assert.equal(String(shown[9_999]![11]).length, 1000);
      const [[whole]] = (await rows(`SHOW BACKUP FROM LATEST IN '${uri}' WITH as_json`)) as [[{ databases: { tables: unknown[] }[] }]];
      assert.equal(whole.databases[0]!.tables.length, 10_000);
    });

    test('a storage that does not answer is left on cancel and at statement_timeout', async () => {
      const silent = createServer(() => {});
      await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
      const { port } = silent.address() as AddressInfo;
      const uri = `s3://b/p?AWS_ACCESS_KEY_ID=a&AWS_SECRET_ACCESS_KEY=b&AWS_REGION=us-east-1&AWS_ENDPOINT=http://127.0.0.1:${port}`;
      const patient = await connect('postgres');
      try {
        await patient.query(`set statement_timeout = '300ms'`);
        assert.match(await refused(`SHOW BACKUPS IN '${uri}'`, [], patient), /^57014 canceling statement due to statement timeout/);
        assert.match(await refused(`SHOW BACKUP FROM LATEST IN '${uri}'`, [], patient), /^57014 /);
        await patient.query('reset statement_timeout');
        const connected = new Promise((resolve) => silent.once('connection', resolve));
        const shown = refused(`SHOW BACKUPS IN '${uri}'`, [], patient);
        await connected;
        sendCancel(patient);
        assert.match(await shown, /^57014 canceling statement due to user request/);
        assert.equal((await patient.query('select 1 as one')).rows[0].one, 1);
      } finally {
        await patient.end();
        silent.close();
      }
    });

    test('no URI with a secret stands in an error or in the log', async () => {
      const secret = 'Zq7Xw9Kv3Jp5Ym1T';
      const uri = `s3://bucket/p?AWS_ACCESS_KEY_ID=a&AWS_SECRET_ACCESS_KEY=${secret}&AWS_REGION=us-east-1&AWS_ENDPOINT=http://127.0.0.1:1`;
      for (const text of [
        `SHOW BACKUPS IN '${uri}'`,
        `SHOW BACKUP FROM '${uri}' IN 'nodelocal://1/shared'`,
        `SHOW BACKUP FROM LATEST IN '${uri}' WITH check_files`,
      ]) {
        assert.doesNotMatch(await refused(text), new RegExp(secret), text);
      }
      assert.doesNotMatch(pgpier.output(), new RegExp(secret));
    });
  });
