import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, startDriverLab } from './driverLab.ts';

describe('node-postgres', { skip: missingPostgres(15) }, () => {
  let lab: DriverLab;
  let client: pg.Client;
  before(async () => {
    lab = await startDriverLab();
    client = new pg.Client(lab.pgpier.connectionString());
    await client.connect();
  });
  after(async () => {
    await client?.end();
    await lab?.stop();
  });

  test('ordinary SQL: text, values, named, several results, errors', async () => {
    assert.deepEqual((await client.query('select 1 as a, null as b')).rows, [{ a: 1, b: null }]);
    assert.deepEqual((await client.query('select $1::int + 1 as n', [41])).rows, [{ n: 42 }]);
    for (const n of [1, 2, 3]) {
      assert.deepEqual((await client.query({ name: 'named', text: 'select $1::text as t', values: [`${n}`] })).rows, [{ t: `${n}` }]);
    }
    const several = (await client.query('select 1 as a; select 2 as b')) as unknown as pg.QueryResult[];
    assert.deepEqual(
      several.map(({ rows }) => rows),
      [[{ a: 1 }], [{ b: 2 }]],
    );
    await assert.rejects(client.query('select 1/0'), { code: '22012' });
    await assert.rejects(client.query('select $1::int', ['x']), { code: '22P02' });
  });

  test('create, show, grant and drop, with and without parameters', async () => {
    const created = await client.query('create external connection $1 as $2', ['np', 'nodelocal://self/np']);
    assert.equal(created.command, 'CREATE');
    const row = { connection_name: 'np', connection_uri: 'nodelocal://self/np', connection_type: 'STORAGE' };
    assert.deepEqual((await client.query('show external connections')).rows, [row]);
    assert.deepEqual((await client.query('show external connection $1', ['np'])).rows, [row]);
    for (let i = 0; i < 3; i++) {
      assert.deepEqual((await client.query({ name: 'own', text: 'show external connection $1', values: ['np'] })).rows, [row]);
    }
    await client.query('create role np_reader');
    await client.query('grant usage on external connection np to np_reader');
    const { rows } = await client.query('show grants on external connection np for np_reader');
    assert.equal(rows.length, 1);
    assert.match(JSON.stringify(rows), /np_reader.*USAGE/);
    assert.equal(typeof rows[0].is_grantable, 'boolean');
    await client.query('revoke usage on external connection np from np_reader');
    await client.query('drop external connection np');
    await client.query('drop role np_reader');
    assert.deepEqual((await client.query('show external connections')).rows, []);
  });

  test('rows in pages by `rows` and by pg-cursor', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e'])
      await client.query('create external connection $1 as $2', [name, `nodelocal://self/${name}`]);
    const paged = await client.query({ text: 'show external connections', rows: 2 } as pg.QueryConfig);
    assert.deepEqual(
      paged.rows.map((row) => row.connection_name),
      ['a', 'b', 'c', 'd', 'e'],
    );
    const cursor = client.query(new Cursor('show external connections'));
    assert.deepEqual(
      (await cursor.read(2)).map((row) => row.connection_name),
      ['a', 'b'],
    );
    assert.deepEqual(
      (await cursor.read(2)).map((row) => row.connection_name),
      ['c', 'd'],
    );
    await cursor.close();
    const foreign = client.query(new Cursor('select i from generate_series(1, 10) i'));
    assert.equal((await foreign.read(4)).length, 4);
    assert.equal((await foreign.read(40)).length, 6);
    await foreign.close();
    for (const name of ['a', 'b', 'c', 'd', 'e']) await client.query(`drop external connection ${name}`);
  });

  test('a large result by cursor, and a notice', async () => {
    const notices: string[] = [];
    client.on('notice', (notice) => notices.push(notice.message ?? ''));
    await client.query("do $$ begin raise notice 'seen'; end $$");
    await client.query('drop external connection nothing');
    assert.equal(notices[0], 'seen');
    assert.match(notices[1] ?? '', /nothing/);
    const { rows } = await client.query("select i, repeat('x', 1000) from generate_series(1, 20000) i");
    assert.equal(rows.length, 20_000);
  });

  test('an error of ours in a block undoes the block', async () => {
    await client.query('create table block (a int)');
    await client.query('begin');
    await client.query('insert into block values (1)');
    await assert.rejects(client.query('show external connection $1', ['nothing']), { code: '42704' });
    await assert.rejects(client.query('select 1'), { code: '25P02' });
    assert.equal((await client.query('commit')).command, 'ROLLBACK');
    assert.deepEqual((await client.query('select * from block')).rows, []);
  });

  test('export with a parameter as target returns the files', async () => {
    const { rows } = await client.query('export into csv $1 from select i from generate_series(1, 5) i', ['nodelocal://self/np-export']);
    assert.equal(rows.length, 1);
    assert.match(rows[0].filename, /^export\w+-n1\.0\.csv$/);
    assert.deepEqual([rows[0].rows, rows[0].bytes], ['5', '10']);
  });

  test('hundred queries queued at once, ours among them, are answered in order', async () => {
    const asked = Array.from({ length: 100 }, (_, i) =>
      i % 10 === 3
        ? client.query('show external connections').then(() => i)
        : client.query('select $1::int as i', [i]).then(({ rows }) => rows[0].i),
    );
    assert.deepEqual(
      await Promise.all(asked),
      Array.from({ length: 100 }, (_, i) => i),
    );
  });

  test('binary results of ours', async () => {
    await client.query("create external connection bin as 'nodelocal://self/bin'");
    const { rows } = await client.query({ text: 'show external connections', values: [], binary: true } as pg.QueryConfig);
    assert.equal(rows[0].connection_name, 'bin');
    await client.query('drop external connection bin');
  });

  test('LISTEN hears while statements of ours run', async () => {
    const heard: string[] = [];
    client.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await client.query('listen news');
    const other = new pg.Client(lab.postgres.connectionString());
    await other.connect();
    for (let i = 0; i < 10; i++) {
      await other.query(`notify news, '${i}'`);
      await client.query('show external connections');
    }
    await other.end();
    await client.query('select 1');
    assert.deepEqual(
      heard,
      Array.from({ length: 10 }, (_, i) => `${i}`),
    );
  });
});
