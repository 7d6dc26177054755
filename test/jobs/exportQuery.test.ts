import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { copyText, type Parameter, readExportQuery } from '../../jobs/transfer/exportQuery.ts';

const csv = { delimiter: ',', nullString: 'N' };

async function written(
  text: string,
  parameters: readonly Parameter[] = [],
  types: readonly (readonly [number, string])[] = [],
): Promise<string> {
  const query = await readExportQuery(text, 0, true);
  return copyText(query, parameters, new Map(types), csv).text;
}

async function refused(text: string, offset = 0, standard = true): Promise<PgPierError['data']> {
  try {
    await readExportQuery(text, offset, standard);
  } catch (error) {
    assert.ok(error instanceof PgPierError, String(error));
    return error.data;
  }
  return assert.fail(`accepted: ${text}`);
}

test('a parameter becomes a literal in parentheses, cast to its declared type', async () => {
  assert.equal(
    await written(
      'select $1, $2[1] from t where "é😀$1" = $3 -- $1',
      [
        { value: "it's", typeOid: 25 },
        { value: '{1}', typeOid: 1007 },
        { value: null, typeOid: 20 },
      ],
      [
        [1007, 'integer[]'],
        [20, 'bigint'],
      ],
    ),
    `COPY (select ('it''s'), ('{1}'::integer[])[1] from t where "é😀$1" = (NULL::bigint) -- $1\n) TO STDOUT WITH (FORMAT csv, DELIMITER ',', NULL 'N')`,
  );
});

test('a value with a backslash reads the same under either standard_conforming_strings', async () => {
  assert.match(await written('select $1', [{ value: "\\' or 1=1 --", typeOid: 0 }]), /\(E'\\\\'' or 1=1 --'\)/);
});

test('what is not exactly one query is refused where it stands', async () => {
  assert.deepEqual(await refused('select 1; select 2', 10).then(({ sqlstate, position }) => [sqlstate, position]), ['42601', 21]);
  for (const text of ['', ' ', '-- only a comment', ';'])
    assert.equal((await refused(text)).message, 'syntax error at end of input', JSON.stringify(text));
  assert.equal((await refused('execute x')).sqlstate, '42601');
  assert.equal((await refused('create table x as select 1')).sqlstate, '42601');
  assert.equal((await refused('select 1) to program $$id$$ with (format csv) --')).sqlstate, '42601');
  assert.equal((await refused('insert into t values (1) returning 1')).message, 'INSERT is not supported in EXPORT');
  assert.equal((await refused('select 1 into x')).message, 'SELECT INTO is not supported in EXPORT');
  assert.equal((await refused('select 1 into x union select 2')).sqlstate, '0A000');
});

test('a syntax error has the position in the client text, in characters', async () => {
  const error = await refused("select '😀é' fro m x y", 7);
  assert.deepEqual([error.sqlstate, error.message, error.position], ['42601', 'syntax error at or near "m"', 7 + 17]);
});

test('a semicolon and comments at the end are left out or closed', async () => {
  assert.match(await written('table t ; -- x'), /^COPY \(table t ?\n\) TO/);
  assert.match(await written('values (1) -- )'), /^COPY \(values \(1\) -- \)\n\) TO/);
});

test('a parameter without a value is 42P02, an unknown type 42704', async () => {
  await assert.rejects(written('select $2', [{ value: 'a', typeOid: 0 }]), /there is no parameter \$2/);
  await assert.rejects(written('select $1', [{ value: 'a', typeOid: 99999 }]), /OID 99999/);
});

test('positions come back from behind inlined parameters', async () => {
  const client = "EXPORT … FROM select $1, '😀', $2, nope";
  const offset = [...client].findIndex((_, index, all) => all.slice(index, index + 6).join('') === 'select');
  const query = await readExportQuery(client.slice(client.indexOf('select')), offset, true);
  const copy = copyText(
    query,
    [
      { value: 'a long value 😀', typeOid: 0 },
      { value: null, typeOid: 23 },
    ],
    new Map([[23, 'integer']]),
    csv,
  );
  const at = (needle: string, text: string) => [...text.slice(0, text.indexOf(needle))].length + 1;
  assert.equal(copy.clientPosition(at('nope', copy.text)), at('nope', client));
  assert.equal(copy.clientPosition(at('long value', copy.text)), at('$1', client));
  assert.equal(copy.clientPosition(at('integer)', copy.text)), at('$2', client));
  assert.equal(copy.clientPosition(at('select', copy.text)), at('select', client));
  assert.equal(copy.clientPosition(1), undefined);
  assert.equal(copy.clientPosition(at('TO STDOUT', copy.text)), undefined);
});

test('a plain string with a backslash is refused while standard_conforming_strings is off', async () => {
  assert.deepEqual(await refused(String.raw`select 1, 'a\' , 2`, 5, false).then(({ sqlstate, position }) => [sqlstate, position]), [
    '0A000',
    16,
  ]);
  await readExportQuery(String.raw`select E'a\'b', $$\$$, "\"`, 0, false);
});

test('a query nested too deeply is 54001', async () => {
  assert.equal((await refused(`select ${'('.repeat(100_000)}1`)).sqlstate, '54001');
  assert.equal((await refused(`select ${'1+'.repeat(200_000)}1`)).sqlstate, '54001');
});
