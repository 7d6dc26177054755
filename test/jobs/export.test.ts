import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { missingPostgres, type PostgresVersion } from '../servers/postgres.ts';
import { type ExportLab, failure, psqlCopy, startExportLab } from './exportLab.ts';

const manyTypes = `
  select n, n::int2 as s, n::int8 * 1000000007 as big, n / 7.0::float8 as f, n::numeric / 13 as dec, n % 2 = 0 as b,
    case n % 5 when 0 then null when 1 then '' when 2 then 'plain' when 3 then E'quo"te, line\\nbreak\\r\\n' else 'ünï😀 \\' || n end as t,
    decode(md5(n::text), 'hex') as bytes, date '2024-02-29' + n as d, timestamp '1999-12-31 23:59:59.5' + n * interval '1 hour' as ts,
    timestamptz '2024-06-01 12:00+02' + n * interval '1 day' as tz, interval '1 mon 2 days' * n as iv, array[n, null, n + 1] as a,
    array['a,b', 'c"d', null, ''] as ta, jsonb_build_object('k', n, 'v', null) as j, '{"a" :  1}'::json as j2, md5(n::text)::uuid as u,
    ('10.0.0.' || n % 256)::inet as ip, B'1011' as bits, row(n, 'x,y', null) as r, int4range(n, n + 5) as rng, '\\.' as dot,
    point(n, 1) as p, 12.5::money as m, 'c'::"char" as ch, 'fixed'::char(8) as fixed, xmlelement(name a, n) as x
  from generate_series(1, 2000) n order by n`;

for (const version of [15, 18] as const)
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) }, () => suite(version));

function suite(version: PostgresVersion) {
  let lab: ExportLab;
  before(async () => {
    lab = await startExportLab({ version });
    await lab.admin.query(`
      create role asker; create role other;
      create table mine (id int, owner text, v text);
      insert into mine select n, case when n % 2 = 0 then 'asker' else 'other' end, 'v' || n from generate_series(1, 10) n;
      create table secret (id int); insert into secret values (1);
      alter table mine enable row level security;
      create policy own on mine to asker using (owner = current_user);
      grant select on mine to asker;`);
  });
  after(() => lab?.stop());

  test('the bytes are those of psql COPY … CSV, over many types', async () => {
    const files = await lab.export(manyTypes);
    assert.equal(files.length, 1);
    const expected = psqlCopy(lab.server, manyTypes);
    assert.ok(lab.content(files).equals(expected));
    assert.deepEqual({ ...files[0] }, { filename: 'export0000000000000001-n1.0.csv', rows: 2000, bytes: expected.length });
  });

  test('delimiter and nullas are those of COPY', async () => {
    const files = await lab.export(manyTypes, { csv: { delimiter: '\t', nullas: '\\N' } });
    assert.ok(lab.content(files).equals(psqlCopy(lab.server, manyTypes, `FORMAT csv, DELIMITER E'\\t', NULL '\\N'`)));
  });

  test('settings of the client session shape the text', async () => {
    const settings = {
      DateStyle: 'German',
      IntervalStyle: 'sql_standard',
      TimeZone: 'Asia/Tokyo',
      bytea_output: 'escape',
      extra_float_digits: '-10',
    };
    const sets = Object.entries(settings)
      .map(([name, value]) => `set ${name} = '${value}'`)
      .join(';');
    const files = await lab.export(manyTypes, { settings: { search_path: 'public', ...settings } });
    assert.ok(lab.content(files).equals(psqlCopy(lab.server, manyTypes, 'FORMAT csv', sets)));
  });

  test('files are cut at rows by chunk_rows, and by chunk_size with the row that reaches it', async () => {
    const byRows = await lab.export('select n from generate_series(1, 25) n', { chunkRows: 10 });
    assert.deepEqual(
      byRows.map(({ rows, bytes }) => [rows, bytes]),
      [
        [10, 21],
        [10, 30],
        [5, 15],
      ],
    );
    assert.match(byRows[2]!.filename, /-n1\.2\.csv$/);
    const bySize = await lab.export(`select repeat('x', 9) from generate_series(1, 25)`, { chunkSize: 35 });
    assert.deepEqual(
      bySize.map(({ rows }) => rows),
      [4, 4, 4, 4, 4, 4, 1],
    );
    const each = await lab.export(manyTypes, { chunkRows: 1 });
    assert.equal(each.length, 2000);
    assert.ok(lab.content(each).equals(psqlCopy(lab.server, manyTypes)));
  });

  test('gzip files hold the same rows, and bytes is the size of the file', async () => {
    const files = await lab.export(manyTypes, { compression: 'gzip', chunkRows: 700 });
    assert.deepEqual(
      files.map(({ rows }) => rows),
      [700, 700, 600],
    );
    assert.match(files[0]!.filename, /\.0\.csv\.gz$/);
    const plain = psqlCopy(lab.server, manyTypes);
    assert.ok(lab.content(files).equals(plain));
    assert.ok(files.reduce((sum, { bytes }) => sum + bytes, 0) < plain.length / 2);
  });

  test('rows larger than every buffer arrive whole', async () => {
    const query = `select n, repeat(md5(n::text), 500000) from generate_series(1, 5) n`;
    const files = await lab.export(query, { chunkSize: 20_000_000 });
    assert.deepEqual(
      files.map(({ rows }) => rows),
      [2, 2, 1],
    );
    assert.ok(lab.content(files).equals(psqlCopy(lab.server, query)));
  });

  test('an empty result has no rows and no files', async () => {
    const before = lab.leftovers().length;
    assert.deepEqual(await lab.export('select 1 where false'), []);
    assert.equal(lab.leftovers().length, before);
  });

  test('a result without columns is rows of nothing', async () => {
    assert.equal(lab.content(await lab.export('select from generate_series(1, 3)')).toString(), '\n\n\n');
  });

  test('NULL without nullas is 22004 wherever it stands, and leaves no file; without NULLs all is well', async () => {
    const before = lab.leftovers();
    for (const row of [1, 77_777, 300_000]) {
      const error = await failure(
        lab.export(`select n, nullif(n, ${row}), 'x' from generate_series(1, 300000) n`, { csv: { delimiter: ',' }, chunkRows: 50_000 }),
      );
      assert.deepEqual([error.sqlstate, error.message.slice(0, 41)], ['22004', 'NULL value encountered during EXPORT, use']);
      assert.deepEqual(lab.leftovers(), before);
    }
    for (const delimiter of [',', 'a', '0', '\x01'])
      assert.equal(lab.content(await lab.export(`select 'q', ''`, { csv: { delimiter } })).toString(), `q${delimiter}\n`);
  });

  test('parameters have the values and types that the driver declared', async () => {
    const cases: [string, { value: string | null; typeOid: number }[]][] = [
      ['pg_typeof($1), $1 + 1', [{ value: '41', typeOid: 20 }]],
      ["pg_typeof($1), $1 || 'x'", [{ value: 'it\'s \\ "q"', typeOid: 0 }]],
      ['pg_typeof($1), $1', [{ value: 'text', typeOid: 25 }]],
      ['pg_typeof($1), $1[2]', [{ value: '{1,2,3}', typeOid: 1007 }]],
      [
        '$1::date - 1, $2 is null, pg_typeof($2)',
        [
          { value: '2024-03-01', typeOid: 0 },
          { value: null, typeOid: 1700 },
        ],
      ],
      ['pg_typeof($1), $1', [{ value: 'abcdef', typeOid: 1042 }]],
      ['pg_typeof($1), $1', [{ value: '101101', typeOid: 1560 }]],
      [
        'n from generate_series(1, 9) n where n = any($1) order by n limit $2',
        [
          { value: '{3,1,2}', typeOid: 0 },
          { value: '2', typeOid: 0 },
        ],
      ],
      ["pg_typeof($1), $1 ->> 'a'", [{ value: '{"a":"é😀"}', typeOid: 3802 }]],
      ['pg_typeof($1), $1', [{ value: 't', typeOid: 16 }]],
    ];
    const expected = [
      'bigint,42',
      `text,"it's \\ ""q""x"`,
      version >= 10 ? 'text,text' : '',
      'integer[],2',
      '2024-02-29,t,numeric',
      'character,abcdef',
      'bit,101101',
      '1\n2',
      'jsonb,é😀',
      'boolean,t',
    ];
    for (const [index, [columns, parameters]] of cases.entries()) {
      const text = lab.content(await lab.export(`select ${columns}`, { parameters })).toString();
      // An untyped literal is "unknown" to pg_typeof, as it is in a text that holds it.
      assert.equal(text.replace('unknown', 'text').trimEnd(), expected[index], columns);
    }
  });

  test('a parameter of a type of the schema is cast to it', async () => {
    await lab.admin.query(`create type mood as enum ('sad', 'so so')`);
    const { rows } = await lab.admin.query(`select 'mood'::regtype::oid::int as oid`);
    const text = lab.content(await lab.export('select pg_typeof($1), $1', { parameters: [{ value: 'so so', typeOid: rows[0].oid }] }));
    assert.equal(text.toString(), 'mood,so so\n');
    assert.equal((await failure(lab.export('select $1', { parameters: [{ value: 'nope', typeOid: rows[0].oid }] }))).sqlstate, '22P02');
  });

  test("PostgreSQL's errors arrive with SQLSTATE, detail, hint and the position in the client's text", async () => {
    const missing = await failure(
      lab.export("select $1, '😀', nope from mine", { offset: 100, parameters: [{ value: 'long long value', typeOid: 0 }] }),
    );
    assert.deepEqual([missing.sqlstate, missing.position], ['42703', 100 + 17]);
    const syntax = await failure(lab.export('select 1 frm x y', { offset: 7 }));
    assert.deepEqual([syntax.sqlstate, syntax.position], ['42601', 7 + 14]);
    const late = await failure(lab.export('select 1 / (200000 - n) from generate_series(1, 300000) n', { chunkRows: 1000 }));
    assert.deepEqual([late.sqlstate, late.message], ['22012', 'division by zero']);
    const raised = await failure(lab.export('select loud()'));
    assert.equal(raised.sqlstate, '42883');
    assert.match(raised.hint!, /No function matches|must add explicit/);
  });

  test('notices of the query reach the client', async () => {
    await lab.admin.query(`create function loud() returns int language plpgsql as $$ begin
      raise notice 'hello %', 1 using hint = 'listen'; raise warning 'careful'; raise info 'psst'; return 1; end $$`);
    lab.notices.length = 0;
    await lab.export('select loud()');
    assert.deepEqual(
      lab.notices.map(({ severity, message, hint }) => [severity, message, hint]),
      [
        ['NOTICE', 'hello 1', 'listen'],
        ['WARNING', 'careful', undefined],
      ],
    );
  });

  test('the asker reads what the asker may: tables, policies, nothing else', async () => {
    assert.equal((await failure(lab.export('table secret', { role: 'asker' }))).sqlstate, '42501');
    assert.equal(lab.content(await lab.export('select id from mine order by id', { role: 'asker' })).toString(), '2\n4\n6\n8\n10\n');
    assert.equal(lab.content(await lab.export('select current_user', { role: 'asker' })).toString(), 'asker\n');
  });

  test('a query that leaves SET ROLE gains nothing beyond the asker', async () => {
    for (const leaving of [`set_config('role', 'none', false)`, `set_config('role', 'none', true)`]) {
      const error = await failure(lab.export(`select ${leaving}, (select count(*) from secret)`, { role: 'asker' }));
      assert.equal(error.sqlstate, '42501');
    }
    await lab.admin.query(`create function escape() returns text language plpgsql as $$ declare outcome text := ''; begin
      perform set_config('role', 'none', false);
      outcome := current_user <> 'asker' and not (select rolsuper or rolcreaterole or rolcreatedb from pg_roles where rolname = current_user);
      begin execute 'table secret'; outcome := outcome || ' read'; exception when insufficient_privilege then outcome := outcome || ' denied'; end;
      begin execute 'set session authorization postgres'; outcome := outcome || ' super'; exception when others then outcome := outcome || ' denied'; end;
      begin execute 'set role postgres'; outcome := outcome || ' postgres'; exception when others then outcome := outcome || ' denied'; end;
      begin execute 'set role other'; outcome := outcome || ' other'; exception when others then outcome := outcome || ' denied'; end;
      return outcome; end $$`);
    const text = lab.content(await lab.export('select escape()', { role: 'asker' })).toString();
    assert.equal(text, 'true denied denied denied denied\n');
  });

  test('the query can neither write nor leave COPY', async () => {
    assert.equal((await failure(lab.export('with x as (insert into secret values (2) returning 1) select * from x'))).sqlstate, '25006');
    assert.equal((await failure(lab.export('select 1) to program $$touch /tmp/never$$ --'))).sqlstate, '42601');
    assert.equal(
      (await failure(lab.export(`select set_config('transaction_read_only', 'off', true), (select 1 from mine limit 1)`))).sqlstate,
      '25001',
    );
  });

  test('all rows are of one snapshot', async () => {
    await lab.admin.query(`create table ledger as select n as id, 100 as amount from generate_series(1, 2000) n`);
    let writing = true;
    const writer = (async () => {
      while (writing)
        await lab.admin.query(
          'with m as (update ledger set amount = amount - 1 where id <= 500) update ledger set amount = amount + 1 where id > 500 and id <= 1000',
        );
    })();
    try {
      for (let round = 0; round < 5; round++) {
        const [low = 0, high = 0] = lab
          .content(
            await lab.export(
              'select sum(amount) from ledger where id <= 500 union all (select sum(amount) from ledger, pg_sleep(0.05) where id > 500 and id <= 1000)',
            ),
          )
          .toString()
          .split('\n')
          .map(Number);
        assert.equal(low + high, 100_000);
      }
    } finally {
      writing = false;
      await writer;
    }
  });

  test('a backslash in the query is a backslash, whatever the server takes it for', async () => {
    await lab.admin.query(`alter system set standard_conforming_strings = off`);
    await lab.admin.query('select pg_reload_conf()');
    try {
      const query = String.raw`select 'a\n', E'a\\n', $1`;
      const text = lab.content(await lab.export(query, { parameters: [{ value: String.raw`\'`, typeOid: 0 }] })).toString();
      assert.equal(text.trimEnd(), String.raw`a\n,a\n,\'`);
      const settings = { standard_conforming_strings: 'off' };
      assert.equal((await failure(lab.export(query, { settings }))).sqlstate, '0A000');
    } finally {
      await lab.admin.query('alter system reset standard_conforming_strings');
      await lab.admin.query('select pg_reload_conf()');
    }
  });

  test('limits of the server for statements do not end an export', async () => {
    await lab.admin.query(`alter system set statement_timeout = '300ms'`);
    await lab.admin.query('select pg_reload_conf()');
    try {
      assert.equal(lab.content(await lab.export('select 1 from pg_sleep(0.8)')).toString(), '1\n');
    } finally {
      await lab.admin.query('alter system reset statement_timeout');
      await lab.admin.query('select pg_reload_conf()');
    }
  });

  test('no login is left, and the log of the server knows no password', async () => {
    const { rows } = await lab.admin.query(`select rolname from pg_roles where rolname like 'pgpier%'`);
    assert.deepEqual(rows, []);
    assert.deepEqual(
      lab.logged.filter((entry) => !JSON.stringify(entry).includes('worker process started')),
      [],
    );
  });
}
