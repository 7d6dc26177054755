/** Values of literals and identifiers, and error positions, as PostgreSQL reads them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { characterPosition } from '../../statement/characters.ts';
import { classify } from '../../statement/classify.ts';
import { testOnEachPostgres } from './eachPostgres.ts';

const conforming = { standardConformingStrings: true };

/** The value as our own statement carries it. */
function read(literal: string, options = conforming): string {
  const found = classify(`create external connection x as ${literal}`, options);
  if (found.kind === 'malformed') throw found.error;
  assert.ok(found.kind === 'own', literal);
  const { statement } = found.statements[0]!;
  assert.ok(statement.kind === 'createExternalConnection' && statement.uri.kind === 'string', literal);
  return statement.uri.value;
}

const strings = [
  "''",
  "'a'",
  "'it''s'",
  "''''",
  "'a'\n'b'",
  "'a' -- x\n  'b''c'\r\n'd'",
  "'a\\b'",
  "'a\\'",
  "E''",
  "E'a\\nb\\tc\\bd\\fe\\r'",
  "E'\\\\ \\' '' \\q \\x'",
  "E'\\101\\60\\7'",
  "E'\\x41\\x4g'",
  "E'\\u00e9\\U0001F600'",
  "E'\\ud83d\\ude00'",
  "E'\\xc3\\xa9 \\303\\251'",
  "e'a\\'b'\n'c\\'d'",
  "E'a\\\nb'",
  "U&'a\\0041\\+01F600\\\\'",
  "U&'d!0061t!+000061' UESCAPE '!'",
  "U&'\\d83d\\de00'",
  "U&'it''s'\n'\\0041'",
  "u&'a' uescape '\\'",
  '$$a$b$$',
  "$x$a'$$\\$x$",
  '$é$ü$é$',
  "'é😀'",
  "('a')",
  "'a'::text",
  "('a'::varchar(9))::text",
  "'a'::character varying(20)",
  "'a'::pg_catalog.text",
];
const wrong = [
  "E'\\u12'",
  "E'\\U00110000'",
  "E'\\ud83d'",
  "E'\\ud83dx'",
  "E'\\xff'",
  "E'\\0'",
  "E'\\u0000'",
  "U&'\\00'",
  "U&'\\d83d'",
  "U&'a' uescape 'a'",
  "U&'a' uescape ' '",
];

testOnEachPostgres('string constants have the value that PostgreSQL gives them', async (connection) => {
  for (const literal of strings) {
    const reply = await connection.query(`select ${literal}`);
    assert.equal(reply.sqlstate, undefined, `${literal}: ${reply.message}`);
    assert.equal(read(literal), reply.rows[0]![0], literal);
  }
});

testOnEachPostgres('what PostgreSQL refuses in a string constant is refused, without echoing it', async (connection) => {
  for (const literal of wrong) {
    assert.ok((await connection.query(`select ${literal}`)).sqlstate, literal);
    assert.throws(
      () => read(literal),
      (error) => error instanceof PgPierError && /^(42601|22025|22021)$/.test(error.data.sqlstate) && !error.message.includes(literal),
      literal,
    );
  }
});

testOnEachPostgres('with standard_conforming_strings off plain constants have escapes', async (connection) => {
  await connection.query('set standard_conforming_strings = off; set escape_string_warning = off');
  for (const literal of ["'a\\nb'", "'a\\'b'", "'a\\\\'\n'\\x41'", "E'\\t'", '$$\\n$$']) {
    const reply = await connection.query(`select ${literal}`);
    assert.equal(read(literal, { standardConformingStrings: false }), reply.rows[0]![0], literal);
  }
  assert.ok((await connection.query("select U&'a'")).sqlstate);
  assert.throws(() => read("U&'secret'", { standardConformingStrings: false }), /at or near "'\.\.\.'"/);
});

testOnEachPostgres('identifiers fold and unquote as PostgreSQL’s column labels do', async (connection) => {
  for (const identifier of ['Foo', 'ÄÖ_x$1', '"Foo"', '"a""b"', 'U&"d\\0061t\\+000061"', 'U&"d!0061" uescape \'!\'', '" ;é"', 'İx']) {
    const reply = await connection.query(
      `create temp table t(${identifier} int); select attname from pg_attribute where attrelid = 't'::regclass and attnum = 1; drop table t`,
    );
    assert.equal(read(identifier), reply.rows[0]?.[0], `${identifier}: ${reply.message}`);
  }
});

testOnEachPostgres('positions count characters as PostgreSQL counts them', async (connection) => {
  for (const text of ["select 'é' from from", "select '😀😀', 'ü' from from", '/* 😀\n */ select 1 from from', 'from']) {
    const reply = await connection.query(text);
    assert.equal(characterPosition(text, text.lastIndexOf('from')), reply.position, text);
  }
});

test('a name in a role list is cut to 63 bytes, never in the middle of a character', () => {
  const found = classify(`grant system backup to ${'é'.repeat(40)}`, conforming);
  assert.ok(found.kind === 'own');
  assert.deepEqual(found.statements[0]!.statement, {
    kind: 'grantSystem',
    privileges: ['BACKUP'],
    grantees: [{ kind: 'role', name: 'é'.repeat(31) }],
    withGrantOption: false,
  });
});
