/** What a database may hold that is rare: odd names, odd tables, odd encodings, huge values; restored by RESTORE and by the script beside the files. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import type { Manifest } from '../../jobs/backup/manifest.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import { contentsOf, schemaOf } from '../restore/compare.ts';
import { fakeRun } from '../restore/restoreLab.ts';
import { missingPostgres, type Postgres, postgresBin, startPostgres } from '../servers/postgres.ts';

const zstdMissing = spawnSync('zstd', ['--version']).status === 0 ? false : 'zstd: not installed';

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) || zstdMissing }, () => {
    let server: Postgres;
    let service: pg.Pool;
    let externalDir: string;
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

    const inDatabase = async (database: string, ...statements: string[]): Promise<pg.QueryResult> => {
      const client = new pg.Client({ connectionString: server.connectionString(database) });
      await client.connect();
      try {
        let last: pg.QueryResult | undefined;
        for (const statement of statements) last = await client.query(statement);
        return last!;
      } finally {
        await client.end();
      }
    };
    const backUp = async (database: string, role = 'postgres'): Promise<{ folder: string; manifest: Manifest }> => {
      const payload = { uri: `nodelocal://1/${database}`, targets: { kind: 'database', databases: [database] } } as const;
      await backupJob.run(fakeRun({ server, service, externalDir, payload, role }));
      const root = join(externalDir, database);
      const [pointer] = readdirSync(join(root, 'metadata', 'latest')).sort();
      const folder = join(root, readFileSync(join(root, 'metadata', 'latest', pointer!), 'utf8'));
      return { folder, manifest: JSON.parse(readFileSync(join(folder, 'BACKUP_MANIFEST'), 'utf8')) };
    };
    const restore = (database: string, newDbName: string): Promise<unknown> =>
      restoreJob.run(
        fakeRun({
          server,
          service,
          externalDir,
          payload: {
            uri: `nodelocal://1/${database}`,
            choice: { kind: 'latest' },
            targets: { kind: 'database', databases: [database] },
            newDbName,
            schemaOnly: false,
            skipMissingForeignKeys: false,
            grants: true,
          } as const,
        }),
      );
    const restoreByScript = (folder: string, database: string): void => {
      const to = ['-h', server.socketDir, '-p', String(server.port), '-U', 'postgres', '-d', database];
      execFileSync(join(postgresBin(15)!, 'psql'), ['-X', '-q', ...to, '-f', 'restore.psql'], { cwd: join(folder, '1'), stdio: 'pipe' });
    };

    test('names with every character, and tables of every shape', async () => {
      await service.query('create database odd template template0');
      const names = [
        'line\nbreak',
        'car\rriage',
        'quo"te',
        "apos'trophe",
        'back\\slash',
        'do.t',
        ' space ',
        'ünï😀',
        '$1',
        '-- Name: x; Type: TABLE',
        'select',
        '(a, b)',
        ';',
        'tab\tbed',
        '\\.',
      ];
      const quote = (name: string): string => `"${name.replaceAll('"', '""')}"`;
      await inDatabase(
        'odd',
        ...names.flatMap((name) => [
          `create schema ${quote(name)}`,
          `create table ${quote(name)}.${quote(name)} (${quote(name)} text, ${quote(`${name}2`)} int generated always as identity, g int generated always as (1) stored)`,
          `insert into ${quote(name)}.${quote(name)} (${quote(name)}) values (${quote(name).replaceAll("'", "''").replace(/^"|"$/g, "'")}), (null), (''), (E'\\\\.'), (E'\\\\N'), (E'a\\tb\\nc\\rd\\\\e')`,
        ]),
        'create table nothing ()',
        'insert into nothing default values; insert into nothing default values',
        'create table computed (a int generated always as (7) stored)',
        'insert into computed default values',
        'create table empty (a int)',
        'create unlogged table unlogged as select 1 as a',
        'create table dropped (a int, b int, c int)',
        "insert into dropped values (1, 2, 3); alter table dropped drop column b; alter table dropped add d text default 'x'",
        "create table numbers as select 1e-300::float8 as f, 0.1::float4 as r, 1e100::numeric as n, 'NaN'::numeric as nan, '-infinity'::timestamptz as t, '4713-01-01 BC'::date as d, '-1 year 2 mons'::interval as i",
        "create sequence counter increment -3 minvalue -100 start -1; select nextval('counter'); select nextval('counter')",
      );
      const { folder, manifest } = await backUp('odd');
      const tables = new Map(manifest.databases[0]!.tables.map((table) => [table.name, table]));
      assert.deepEqual([tables.get('empty')!.rows, tables.get('empty')!.files], [0, []]);
      assert.deepEqual([tables.get('nothing')!.rows, tables.get('nothing')!.columns], [2, []]);
      assert.deepEqual([tables.get('computed')!.rows, tables.get('computed')!.columns], [1, []]);
      assert.deepEqual(tables.get('line\nbreak')!.columns, ['line\nbreak', 'line\nbreak2']);
      const [contents, schema] = [await contentsOf(server, 'odd'), await schemaOf(server, version, 'odd')];
      await restore('odd', 'odd_restored');
      assert.deepEqual(await contentsOf(server, 'odd_restored'), contents);
      assert.equal(await schemaOf(server, version, 'odd_restored'), schema);
      await service.query('create database odd_by_hand template template0');
      restoreByScript(folder, 'odd_by_hand');
      assert.deepEqual(await contentsOf(server, 'odd_by_hand'), contents);
      assert.equal(await schemaOf(server, version, 'odd_by_hand'), schema);
    });

    test('an empty database', async () => {
      await service.query('create database empty template template0');
      const { folder } = await backUp('empty');
      await restore('empty', 'empty_restored');
      assert.equal(await schemaOf(server, version, 'empty_restored'), await schemaOf(server, version, 'empty'));
      await service.query('create database empty_by_hand template template0');
      restoreByScript(folder, 'empty_by_hand');
    });

    test('databases in LATIN1 and in no encoding at all', async () => {
      for (const encoding of ['LATIN1', 'SQL_ASCII']) {
        const name = `in_${encoding.toLowerCase()}`;
        const make = (database: string) =>
          `create database ${database} template template0 encoding '${encoding}' lc_collate 'C' lc_ctype 'C'`;
        await service.query(make(name));
        await inDatabase(
          name,
          `create table "t" as select convert_from('\\xe9e8', '${encoding === 'LATIN1' ? 'LATIN1' : 'SQL_ASCII'}') as a, n from generate_series(1, 3) n`,
        );
        const bytes = async (database: string): Promise<unknown> =>
          (await inDatabase(database, `select encode(convert_to(a, '${encoding}'), 'hex') as a, n from t order by n`)).rows;
        const { folder } = await backUp(name);
        await restore(name, `${name}_restored`);
        assert.deepEqual(await bytes(`${name}_restored`), await bytes(name), encoding);
        await service.query(make(`${name}_by_hand`));
        restoreByScript(folder, `${name}_by_hand`);
        assert.deepEqual(await bytes(`${name}_by_hand`), await bytes(name), encoding);
      }
    });

    test('a row of 70 MB, many equal rows and large objects with holes, read by a role that is no superuser', async () => {
      for (const statement of [
        'create role reader login',
        'create database big template template0',
        'grant connect on database big to reader',
      ])
        await service.query(statement);
      await inDatabase(
        'big',
        `create table wide as select n, repeat(md5(n::text), 2200000) as t from generate_series(1, 1) n`,
        `create table equal as select 'the same'::text as a from generate_series(1, 300000)`,
        'grant select on all tables in schema public to reader',
        `select lo_create(77777); select lo_put(77777, 3000000, '\\x616263'); select lo_create(77778); select lo_from_bytea(77779, convert_to(repeat('xyz', 400000), 'utf8'))`,
        'grant select on large object 77777, 77778, 77779 to reader',
      );
      const { manifest } = await backUp('big', 'reader');
      assert.equal(manifest.databases[0]!.largeObjects!.count, 3);
      const contents = await contentsOf(server, 'big');
      await restore('big', 'big_restored');
      assert.deepEqual(await contentsOf(server, 'big_restored'), contents);
    });
  });
}
