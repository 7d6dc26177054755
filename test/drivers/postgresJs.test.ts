import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import postgres from 'postgres';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, startDriverLab } from './driverLab.ts';

describe('postgres.js', { skip: missingPostgres(15) }, () => {
  let lab: DriverLab;
  let sql: postgres.Sql;
  before(async () => {
    lab = await startDriverLab();
    sql = postgres(lab.pgpier.connectionString(), { max: 1, onnotice: () => {} });
  });
  after(async () => {
    await sql?.end({ timeout: 2 });
    await lab?.stop();
  });
  const code = (code: string) => (error: unknown) => (error as { code?: string }).code === code;

  test('ordinary SQL, prepared and simple', async () => {
    assert.deepEqual([...(await sql`select ${41}::int + 1 as n`)], [{ n: 42 }]);
    for (let i = 0; i < 3; i++) assert.deepEqual([...(await sql`select ${`v${i}`}::text as v`)], [{ v: `v${i}` }]);
    assert.deepEqual([...(await sql.unsafe('select 1 as a'))], [{ a: 1 }]);
    await assert.rejects(sql`select 1/0`, code('22012'));
  });

  test('create, show, grant, drop', async () => {
    await sql`create external connection ${'pj'} as ${'nodelocal://self/pj'}`;
    for (let i = 0; i < 3; i++) {
      const rows = await sql`show external connection ${'pj'}`;
      assert.deepEqual([...rows], [{ connection_name: 'pj', connection_uri: 'nodelocal://self/pj', connection_type: 'STORAGE' }]);
    }
    assert.equal((await sql`show external connections`.simple()).length, 1);
    await sql.unsafe('create role pj_reader');
    await sql.unsafe('grant usage on external connection pj to pj_reader');
    const grants = await sql`show grants on external connection pj for pj_reader`;
    assert.equal(grants.length, 1);
    assert.equal(grants[0]?.is_grantable, false);
    const described = await sql`show external connection ${'pj'}`.describe();
    assert.deepEqual(
      described.columns?.map(({ name }) => name),
      ['connection_name', 'connection_uri', 'connection_type'],
    );
    await sql`drop external connection ${'pj'}`;
    await sql.unsafe('drop role pj_reader');
  });

  test('three at once in one write, ours in the middle', async () => {
    const [a, b, c] = await Promise.all([sql`select 1 as n`, sql`show external connections`, sql`select 3 as n`]);
    assert.deepEqual([a[0]?.n, b.length, c[0]?.n], [1, 0, 3]);
    const failing = await Promise.allSettled([sql`select 1 as n`, sql`show external connection ${'nothing'}`, sql`select 3 as n`]);
    assert.deepEqual(
      failing.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled'],
    );
  });

  test('a cursor over our rows', async () => {
    for (const name of ['a', 'b', 'c']) await sql`create external connection ${name} as ${`nodelocal://self/${name}`}`;
    const pages: number[] = [];
    for await (const rows of sql`show external connections`.cursor(2)) pages.push(rows.length);
    assert.deepEqual(pages, [2, 1]);
    for (const name of ['a', 'b', 'c']) await sql`drop external connection ${name}`;
  });

  test('an error of ours in a block undoes it; a savepoint saves the rest', async () => {
    await sql`create table pj (a int)`;
    await assert.rejects(
      sql.begin(async (tx) => {
        await tx`insert into pj values (1)`;
        await tx`create external connection gone as 'nodelocal://self/gone'`;
        await tx`show external connection ${'nothing'}`;
      }),
      code('42704'),
    );
    await sql.begin(async (tx) => {
      await tx`insert into pj values (2)`;
      await tx.savepoint((sp) => sp`show external connection ${'nothing'}`).catch(() => {});
      await tx`create external connection kept as 'nodelocal://self/kept'`;
    });
    assert.deepEqual([...(await sql`select a from pj`)], [{ a: 2 }]);
    assert.deepEqual(
      (await sql`show external connections`).map((row) => row.connection_name),
      ['kept'],
    );
    await sql`drop external connection kept`;
  });

  test('export with parameters', async () => {
    const rows = await sql`export into csv ${'nodelocal://self/pj'} from select i from generate_series(1, 3) i`;
    assert.deepEqual([rows.length, rows[0]?.rows, rows[0]?.bytes], [1, '3', '6']);
    await assert.rejects(
      sql.begin((tx) => tx`export into csv ${'nodelocal://self/pj'} from select 1`),
      code('25001'),
    );
  });

  test('COPY in and out as streams', async () => {
    await sql`create table copied (a int, b text)`;
    const writable = await sql`copy copied from stdin`.writable();
    await new Promise<void>((resolve, reject) => {
      writable.on('error', reject).on('finish', resolve);
      for (let i = 0; i < 1000; i++) writable.write(`${i}\tb${i}\n`);
      writable.end();
    });
    const readable = await sql`copy copied to stdout`.readable();
    let bytes = 0;
    for await (const chunk of readable) bytes += (chunk as Buffer).length;
    assert.ok(bytes > 8000);
    assert.deepEqual([...(await sql`select count(*)::int as n from copied`)], [{ n: 1000 }]);
  });
});
