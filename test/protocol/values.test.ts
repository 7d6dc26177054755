import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { dataRow, readDataRow } from '../../protocol/backend/dataRow.ts';
import { checkedCount, checkedInt32, MessageWriter } from '../../protocol/frame.ts';
import { readBind, writeBindWithNulls } from '../../protocol/frontend/bind.ts';
import { type Column, type ColumnType, decodeParameter, encodeValue, typeOid, type Value } from '../../protocol/values.ts';
import { type Postgres, startPostgres } from '../servers/postgres.ts';

let server: Postgres;
let client: pg.Client;

before(async () => {
  server = await startPostgres({ version: 18 });
  client = new pg.Client({ connectionString: server.connectionString('postgres') });
  await client.connect();
});

after(async () => {
  await client?.end();
  await server?.stop();
});

const samples: readonly (readonly [ColumnType, Exclude<Value, null>, string])[] = [
  ['bool', true, 'true'],
  ['bool', false, 'false'],
  ['int8', 0, '0'],
  ['int8', -9_007_199_254_740_991, '-9007199254740991'],
  ['int8', 9_223_372_036_854_775_807n, '9223372036854775807'],
  ['float8', 0.1, '0.1'],
  ['float8', -1e300, '-1e300'],
  ['text', 'zoë "x"', `'zoë "x"'`],
  ['timestamptz', new Date('2026-11-23T12:34:56.789Z'), `'2026-11-23 12:34:56.789+00'`],
  ['jsonb', '{"a": [1, "ü"]}', `'{"a": [1, "ü"]}'`],
  ['timestamptz', new Date('1969-07-20T20:17:40Z'), `'1969-07-20 20:17:40+00'`],
];

test('a value in binary is what PostgreSQL itself sends', async () => {
  for (const [type, value, literal] of samples) {
    const { rows } = await client.query({
      text: `select ${type === 'timestamptz' || type === 'jsonb' ? `${type}_send` : `${type}send`}(${literal}::${type}) as bytes`,
    });
    assert.equal(encodeValue(value, type, 1).toString('hex'), (rows[0].bytes as Buffer).toString('hex'), `${type} ${literal}`);
  }
});

test('a value in text reads back as the same in PostgreSQL', async () => {
  for (const [type, value, literal] of samples) {
    const text = encodeValue(value, type, 0).toString('utf8');
    const { rows } = await client.query(`select $1::${type} is not distinct from ${literal}::${type} as same`, [text as unknown]);
    assert.equal(rows[0].same, true, `${type} ${text}`);
  }
});

test('a binary parameter reads as PostgreSQL prints it', async () => {
  const values: readonly (readonly [number, string, string])[] = [
    [21, 'int2send', '(-32768)::int2'],
    [23, 'int4send', '2147483647::int4'],
    [20, 'int8send', "'-9223372036854775808'::int8"],
    [16, 'boolsend', 'true'],
    [700, 'float4send', '0.1::float4'],
    [700, 'float4send', '16777216::float4'],
    [701, 'float8send', '3.141592653589793::float8'],
    [17, 'byteasend', "'\\x00ff'::bytea"],
    [3802, 'jsonb_send', `'{"a": 1}'::jsonb`],
    [114, 'json_send', `'{"a":1}'::json`],
    [1043, 'varcharsend', "'é'::varchar"],
  ];
  for (const [oid, send, literal] of values) {
    const { rows } = await client.query(`select ${send}(${literal}) as bytes, (${literal})::text as text`);
    const text = decodeParameter(rows[0].bytes, oid, 1);
    // PostgreSQL prints large floats with an exponent where JavaScript does not: the value counts.
    if (oid === 700 || oid === 701) assert.equal(Number(text), Number(rows[0].text), literal);
    else assert.equal(text, rows[0].text, literal);
  }
});

test('a binary parameter of a type without a reader is told, a short one throws', () => {
  assert.equal(decodeParameter(Buffer.alloc(8), 1184, 1), null);
  assert.throws(() => decodeParameter(Buffer.alloc(3), 23, 1), RangeError);
});

test('lengths that do not fit the protocol throw instead of wrapping', () => {
  assert.throws(() => checkedInt32(2 ** 32 + 4), RangeError);
  assert.throws(() => checkedCount(65_536), RangeError);
  assert.throws(() => new MessageWriter(0x54).string('a\0b'), RangeError);
});

test('a Bind keeps its names and formats when its values become NULL', () => {
  const bind = new MessageWriter(0x42)
    .string('p')
    .string('s')
    .count(1)
    .int16(1)
    .count(2)
    .int32(3)
    .bytes(Buffer.from('key'))
    .int32(-1)
    .count(1)
    .int16(1);
  const nulled = readBind(writeBindWithNulls(readBind(bind.finish())!))!;
  assert.deepEqual(nulled, { portal: 'p', statement: 's', parameterFormats: [1], values: [null, null], resultFormats: [1] });
});

test('a DataRow reads back as it was written', () => {
  const columns: Column[] = [
    { name: 'a', type: 'text' },
    { name: 'b', type: 'int8' },
  ];
  assert.deepEqual(readDataRow(dataRow(columns, ['x', null])), ['x', null]);
  assert.equal(typeOid.text, 25);
});
