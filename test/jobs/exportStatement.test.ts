/** EXPORT as a client sends it, through the product. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

for (const version of [15, 18] as const)
  describe(`through the proxy, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let pgpier: Pgpier;
    let client: pg.Client;
    before(async () => {
      server = await startPostgres({ version });
      pgpier = await startPgpier({ backend: server });
      client = new pg.Client({ connectionString: pgpier.url });
      client.on('error', () => {});
      await client.connect();
      await client.query(`create table orders as select n as id, nullif(n % 3, 0) as note from generate_series(1, 9) n`);
      await client.query('create role asker login; create role denied login; grant select on orders to asker');
      await client.query(`create external connection exports as 'nodelocal://1/exports'`);
      await client.query('grant usage on external connection exports to asker');
    });
    after(async () => {
      await client?.end();
      await pgpier?.stop();
      await server?.stop();
    });

    async function refused(text: string, values?: unknown[], as = client): Promise<pg.DatabaseError> {
      try {
        await as.query(text, values);
      } catch (error) {
        assert.ok(error instanceof pg.DatabaseError, String(error));
        return error;
      }
      return assert.fail('accepted');
    }
    const content = (filename: string, folder = 'exports') => readFileSync(join(pgpier.externalDirectory, folder, filename), 'utf8');

    test('a simple query gives the files, their rows and bytes', async () => {
      const result = await client.query(
        `EXPORT INTO CSV 'external://exports/a' WITH nullas = '-', chunk_rows = '5' FROM SELECT * FROM orders ORDER BY id`,
      );
      assert.deepEqual([result.command, result.rowCount], ['EXPORT', 2]);
      assert.deepEqual(
        result.fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
        [
          ['filename', 25],
          ['rows', 20],
          ['bytes', 20],
        ],
      );
      assert.deepEqual(
        result.rows.map(({ rows, bytes }) => [rows, bytes]),
        [
          ['5', '20'],
          ['4', '16'],
        ],
      );
      assert.equal(
        result.rows.map(({ filename }) => content(filename, 'exports/a')).join(''),
        '1,1\n2,2\n3,-\n4,1\n5,2\n6,-\n7,1\n8,2\n9,-\n',
      );
    });

    test('parameters stand in the query, the URI and the options', async () => {
      const { rows } = await client.query(`EXPORT INTO CSV $1 WITH delimiter = $2 FROM SELECT id, $3::text FROM orders WHERE id = $4`, [
        'external://exports',
        '|',
        "it's",
        7,
      ]);
      assert.equal(content(rows[0].filename), "7|it's\n");
    });

    test('SET ROLE counts, and the asker needs SELECT and USAGE', async () => {
      await client.query('set role asker');
      try {
        assert.equal((await client.query(`EXPORT INTO CSV 'external://exports' FROM SELECT current_user`)).rows.length, 1);
        await client.query('set role denied');
        assert.equal((await refused(`EXPORT INTO CSV 'external://exports' FROM SELECT 1`)).code, '42501');
        await client.query('reset role');
        await client.query('grant usage on external connection exports to denied');
        await client.query('set role denied');
        assert.equal((await refused(`EXPORT INTO CSV 'external://exports' FROM TABLE orders`)).code, '42501');
      } finally {
        await client.query('reset role');
      }
    });

    test('mistakes have a position in the text that was sent', async () => {
      const cases: [string, string, string][] = [
        [`EXPORT INTO CSV 'external://exports' WITH nullas = '' FROM SELECT '😀', nope FROM orders`, '42703', 'nope'],
        [`EXPORT INTO CSV 'external://exports' FROM SELECT 1 FRM x y`, '42601', 'x y'],
        [`EXPORT INTO CSV 'external://exports' WITH delimiter = '||' FROM SELECT 1`, '22023', 'delimiter'],
        [`EXPORT INTO CSV 'external://exports' WITH nullas = 'x', foo = 'y' FROM SELECT 1`, '42601', 'foo'],
        [`EXPORT INTO CSV 'external://exports' FROM TABLE missing`, '42P01', 'missing'],
      ];
      for (const [text, sqlstate, at] of cases) {
        const error = await refused(text);
        const position = [...text.slice(0, text.lastIndexOf(at))].length + 1;
        assert.deepEqual([error.code, error.position], [sqlstate, String(position)], text);
      }
      const nulls = await refused(`EXPORT INTO CSV 'external://exports' FROM TABLE orders`);
      assert.deepEqual([nulls.code, nulls.message.slice(0, 41)], ['22004', 'NULL value encountered during EXPORT, use']);
    });

    test('a temporary table is not seen, and the hint says why', async () => {
      await client.query('create temp table mine as select 1');
      const error = await refused(`EXPORT INTO CSV 'external://exports' FROM TABLE mine`);
      assert.deepEqual([error.code, /temporary/.test(error.hint ?? '')], ['42P01', true]);
    });

    test('inside a transaction block it is 25001', async () => {
      await client.query('begin');
      assert.equal((await refused(`EXPORT INTO CSV 'external://exports' FROM SELECT 1`)).code, '25001');
      await client.query('rollback');
    });

    test('the client cancels, leaves, or reaches its statement_timeout: the query ends and no file is left', async () => {
      const long = `EXPORT INTO CSV 'external://exports/long' WITH chunk_rows = '1000' FROM SELECT n, repeat('x', 1000) FROM generate_series(1, 5000000) n`;
      const copies = `select 1 from pg_stat_activity where query like 'COPY%' and state = 'active'`;
      const gone = async () => {
        for (let tries = 0; tries < 300; tries++) {
          if (files().length === 0 && (await client.query(copies)).rows.length === 0) return;
          await sleep(20);
        }
        assert.fail('something is left');
      };
      const folder = join(pgpier.externalDirectory, 'exports', 'long');
      const files = () => (existsSync(folder) ? readdirSync(folder) : []);
      const begun = async () => {
        for (let tries = 0; files().length < 3 && tries < 500; tries++) await sleep(10);
        assert.ok(files().length >= 3);
      };
      const connect = async () => {
        const other = new pg.Client({ connectionString: pgpier.url });
        other.on('error', () => {});
        await other.connect();
        return other;
      };

      const impatient = await connect();
      await impatient.query(`set statement_timeout = '400ms'`);
      assert.equal((await refused(long, undefined, impatient)).code, '57014');
      await gone();
      assert.equal((await impatient.query('select 1 as one')).rows[0].one, 1);
      await impatient.end();

      const canceled = await connect();
      const { rows } = await canceled.query('select pg_backend_pid() as pid');
      const key = canceled as unknown as { processID: number; secretKey: number };
      assert.equal(key.processID, rows[0].pid);
      const done = refused(long, undefined, canceled);
      await begun();
      const request = Buffer.alloc(16);
      for (const [index, word] of [16, 80877102, key.processID, key.secretKey].entries()) request.writeInt32BE(word, 4 * index);
      createConnection(pgpier.port, pgpier.host).end(request);
      assert.equal((await done).code, '57014');
      await gone();
      await canceled.end();

      const leaving = await connect();
      const lost = leaving.query(long).catch(() => {});
      await begun();
      (leaving as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
      await gone();
      await lost;
    });

    test('no login is left, and nothing was logged as an error', async () => {
      // Nobody waits for the end of the client that has just gone: its login is dropped when its query has ended.
      const left = async () => (await client.query(`select rolname from pg_roles where rolname like 'pgpier\\_job%'`)).rows;
      for (let waited = 0; waited < 10_000 && (await left()).length > 0; waited += 50)
        await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(await left(), []);
      assert.doesNotMatch(pgpier.output(), /could not be dropped|crashed/);
    });
  });
