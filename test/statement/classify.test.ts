/** What each statement of ours is read as, and how a mistake in it is told. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify } from '../../statement/classify.ts';
import { describeStatement } from '../../statement/redact.ts';
import type { Statement, StringOrParameter } from '../../statement/statement.ts';

const options = { standardConformingStrings: true };
const string = (value: string): StringOrParameter => ({ kind: 'string', value });
const parameter = (number: number): StringOrParameter => ({ kind: 'parameter', number });
const role = (name: string) => ({ kind: 'role', name }) as const;

function read(text: string): { statement: Statement; parameterCount: number } {
  const found = classify(text, options);
  if (found.kind === 'malformed') assert.fail(`${text}: ${found.error.message} at ${found.error.data.position}`);
  assert.ok(found.kind === 'own', `${text}: ${found.kind}`);
  assert.equal(found.statements.length, 1);
  return found.statements[0]!;
}

/** Text, what it says, its line in a log. */
const readings: readonly [string, Statement, string][] = [
  [
    "CREATE EXTERNAL CONNECTION Foo AS 's3://b'",
    { kind: 'createExternalConnection', ifNotExists: false, name: string('foo'), uri: string('s3://b') },
    'CREATE EXTERNAL CONNECTION "foo" AS ***',
  ],
  [
    'create external connection IF NOT EXISTS "Fo""o" as $2::text;',
    { kind: 'createExternalConnection', ifNotExists: true, name: string('Fo"o'), uri: parameter(2) },
    'CREATE EXTERNAL CONNECTION IF NOT EXISTS "Fo""o" AS ***',
  ],
  // `if` is a name unless NOT EXISTS comes behind it.
  [
    "CREATE EXTERNAL CONNECTION if AS ((('x')::text))",
    { kind: 'createExternalConnection', ifNotExists: false, name: string('if'), uri: string('x') },
    'CREATE EXTERNAL CONNECTION "if" AS ***',
  ],
  ["DROP EXTERNAL CONNECTION 'Foo'", { kind: 'dropExternalConnection', name: string('Foo') }, 'DROP EXTERNAL CONNECTION "Foo"'],
  ['DROP EXTERNAL CONNECTION $1', { kind: 'dropExternalConnection', name: parameter(1) }, 'DROP EXTERNAL CONNECTION $1'],
  ['SHOW EXTERNAL CONNECTIONS', { kind: 'showExternalConnections' }, 'SHOW EXTERNAL CONNECTIONS'],
  ['SHOW EXTERNAL CONNECTION foo', { kind: 'showExternalConnection', name: string('foo') }, 'SHOW EXTERNAL CONNECTION "foo"'],
  ['SHOW CREATE ALL EXTERNAL CONNECTIONS', { kind: 'showCreateAllExternalConnections' }, 'SHOW CREATE ALL EXTERNAL CONNECTIONS'],
  [
    'SHOW CREATE EXTERNAL CONNECTION foo',
    { kind: 'showCreateExternalConnection', name: string('foo') },
    'SHOW CREATE EXTERNAL CONNECTION "foo"',
  ],
  [
    'GRANT SYSTEM ExternalConnection, backup TO bob, PUBLIC, "public", "Eve", CURRENT_USER, CURRENT_ROLE, SESSION_USER WITH GRANT OPTION',
    {
      kind: 'grantSystem',
      privileges: ['EXTERNALCONNECTION', 'BACKUP'],
      grantees: [
        role('bob'),
        { kind: 'public' },
        { kind: 'public' },
        role('Eve'),
        { kind: 'currentUser' },
        { kind: 'currentUser' },
        { kind: 'sessionUser' },
      ],
      withGrantOption: true,
    },
    'GRANT SYSTEM EXTERNALCONNECTION, BACKUP TO "bob", PUBLIC, PUBLIC, "Eve", CURRENT_USER, CURRENT_USER, SESSION_USER WITH GRANT OPTION',
  ],
  [
    'REVOKE GRANT OPTION FOR SYSTEM ALL PRIVILEGES FROM bob',
    { kind: 'revokeSystem', privileges: 'all', grantees: [role('bob')], grantOptionFor: true },
    'REVOKE GRANT OPTION FOR SYSTEM ALL FROM "bob"',
  ],
  [
    'GRANT usage, Drop ON EXTERNAL CONNECTION a, "B", \'c d\' TO bob',
    {
      kind: 'grantOnExternalConnection',
      privileges: ['USAGE', 'DROP'],
      connections: ['a', 'B', 'c d'],
      grantees: [role('bob')],
      withGrantOption: false,
    },
    'GRANT USAGE, DROP ON EXTERNAL CONNECTION "a", "B", "c d" TO "bob"',
  ],
  [
    'REVOKE ALL ON EXTERNAL CONNECTION a FROM bob',
    { kind: 'revokeOnExternalConnection', privileges: 'all', connections: ['a'], grantees: [role('bob')], grantOptionFor: false },
    'REVOKE ALL ON EXTERNAL CONNECTION "a" FROM "bob"',
  ],
  [
    'SHOW GRANTS ON EXTERNAL CONNECTION a, b FOR bob',
    { kind: 'showGrantsOnExternalConnection', connections: ['a', 'b'], grantees: [role('bob')] },
    'SHOW GRANTS ON EXTERNAL CONNECTION "a", "b" FOR "bob"',
  ],
  ['SHOW SYSTEM GRANTS', { kind: 'showSystemGrants' }, 'SHOW SYSTEM GRANTS'],
  ['SHOW SYSTEM GRANTS FOR bob', { kind: 'showSystemGrants', grantees: [role('bob')] }, 'SHOW SYSTEM GRANTS FOR "bob"'],
  [
    "EXPORT INTO CSV $1 WITH Delimiter = ('|'), nullas, 'chunk_rows' = 10, chunk_size = 32MB, x = -1.5, y = true FROM SELECT ';' -- end\n;",
    {
      kind: 'exportIntoCsv',
      uri: parameter(1),
      options: [
        { name: 'delimiter', position: 25, value: string('|') },
        { name: 'nullas', position: 44 },
        { name: 'chunk_rows', position: 52, value: string('10') },
        { name: 'chunk_size', position: 71, value: string('32MB') },
        { name: 'x', position: 90, value: string('-1.5') },
        { name: 'y', position: 100, value: string('true') },
      ],
      query: { text: "SELECT ';'", offset: 113 },
    },
    'EXPORT INTO CSV *** WITH "delimiter", "nullas", "chunk_rows", "chunk_size", "x", "y" FROM ***',
  ],
  [
    "/* 😀 */ EXPORT INTO CSV 'é' WITH OPTIONS (compression = $3) FROM (TABLE t)",
    {
      kind: 'exportIntoCsv',
      uri: string('é'),
      options: [{ name: 'compression', position: 43, value: parameter(3) }],
      query: { text: '(TABLE t)', offset: 65 },
    },
    'EXPORT INTO CSV *** WITH "compression" FROM ***',
  ],
  ["EXPORT INTO PARQUET 'x' FROM VALUES (1)", { kind: 'notYet', what: 'EXPORT INTO PARQUET' }, 'EXPORT INTO PARQUET'],
  ["BACKUP INTO 's3://secret'", { kind: 'notYet', what: 'BACKUP of a whole cluster' }, 'BACKUP of a whole cluster'],
  ["COPY /* hint */ INTO t FROM 's3://secret'", { kind: 'notYet', what: 'COPY INTO' }, 'COPY INTO'],
];

test('every statement says what its text says, and its line for logs has names but no values', () => {
  for (const [text, statement, line] of readings) {
    const found = read(text);
    assert.deepEqual(found.statement, statement, text);
    assert.equal(describeStatement(found.statement), line);
  }
});

test('the highest parameter counts, wherever it stands', () => {
  assert.equal(read('CREATE EXTERNAL CONNECTION $3 AS $1').parameterCount, 3);
  assert.equal(read('EXPORT INTO CSV $1 FROM SELECT $2, $7::int').parameterCount, 7);
  assert.equal(read("EXPORT INTO CSV 'a$5' FROM SELECT $$ $9 $$").parameterCount, 0);
  assert.equal(read('BACKUP INTO $4').parameterCount, 4);
});

/** Text, message, character at which the mistake is. */
const mistakes: readonly [string, string, number][] = [
  ['CREATE EXTERNAL CONNECTION', 'syntax error at end of input', 27],
  ['CREATE EXTERNAL CONNECTION ;', 'syntax error at or near ";"', 28],
  ['SHOW EXTERNAL CONNECTION; SHOW JOBS', 'syntax error at or near ";"', 25],
  ["CREATE EXTERNAL CONNECTION AS 'x'", 'syntax error at or near "AS"', 28],
  ["CREATE EXTERNAL CONECTION foo AS 'x'", 'syntax error at or near "CONECTION"', 17],
  ["CREATE EXTERNAL CONNECTION IF EXISTS foo AS 'x'", 'syntax error at or near "EXISTS"', 31],
  ["CREATE EXTERNAL CONNECTION a AS 'x' WITH y", 'syntax error at or near "WITH"', 37],
  ["CREATE EXTERNAL CONNECTION a AS 'x' yz", 'syntax error at or near "..."', 37],
  ["CREATE EXTERNAL CONNECTION a AS 'x' 'y'", 'syntax error at or near "\'...\'"', 37],
  ['CREATE EXTERNAL CONNECTION a AS "x" "y"', 'syntax error at or near ""...""', 37],
  ['CREATE EXTERNAL CONNECTION a AS s3://b', 'syntax error at or near ":"', 35],
  ['CREATE EXTERNAL CONNECTION a AS 5', 'syntax error at or near "..."', 33],
  ['CREATE EXTERNAL CONNECTION $0 AS 5', 'syntax error at or near "$0"', 28],
  ["CREATE EXTERNAL CONNECTION 'é😀' A 'x'", 'syntax error at or near "..."', 33],
  ["CREATE EXTERNAL CONNECTION a AS ('x'", 'syntax error at end of input', 37],
  ['CREATE EXTERNAL CONNECTION "" AS \'x\'', 'syntax error at or near ""...""', 28],
  ["CREATE EXTERNAL CONNECTION a AS 'x", 'unterminated quoted string', 33],
  ["BACKUP INTO 'x", 'unterminated quoted string', 13],
  ['BACKUP INTO $65536', 'syntax error at or near "$65536"', 13],
  ["BACKUP INTO x /* 'y'", 'unterminated /* comment', 15],
  ["EXPORT INTO CSV 'x' FROM SELECT $$a", 'unterminated dollar-quoted string', 33],
  ["EXPORT INTO CSV 'x' FROM", 'syntax error at end of input', 25],
  ["EXPORT INTO CSV 'x' FROM DELETE FROM t", 'syntax error at or near "..."', 26],
  ["EXPORT INTO CSV 'x' WITH FROM SELECT 1", 'syntax error at or near "FROM"', 26],
  ["EXPORT INTO ORC 'x' FROM TABLE t", 'syntax error at or near "ORC"', 13],
  ['GRANT USAGE ON EXTERNAL CONNECTION a FROM bob', 'syntax error at or near "FROM"', 38],
  ['GRANT USAGE, ON EXTERNAL CONNECTION a TO bob', 'syntax error at or near "ON"', 14],
  ['GRANT SYSTEM ALL TO bob WITH ADMIN OPTION', 'syntax error at or near "WITH"', 25],
  ['GRANT SYSTEM ALL TO user', 'syntax error at or near "user"', 21],
  ['SHOW EXTERNAL CONNECTIONS foo', 'syntax error at or near "foo"', 27],
  ['SHOW SYSTEM GRANTS FOR', 'syntax error at end of input', 23],
];

test('a mistake is told in PostgreSQL’s words, with the character it stands at', () => {
  for (const [text, message, position] of mistakes) {
    const found = classify(text, options);
    assert.ok(found.kind === 'malformed', `${text}: ${found.kind}`);
    assert.deepEqual([found.error.message, found.error.data.sqlstate, found.error.data.position], [message, '42601', position], text);
  }
});

test('texts of several statements are all ours, mixed, or PostgreSQL’s', () => {
  const kinds: readonly [string, string][] = [
    ['SHOW JOBS; SHOW EXTERNAL CONNECTIONS;', 'own'],
    [';; SHOW JOBS ;;', 'own'],
    ['SHOW JOBS; select 1', 'mixed'],
    ['begin; SHOW JOBS; commit', 'mixed'],
    ['select 1; SHOW EXTERNAL CONNECTION', 'malformed'],
    ['select 1; select 2', 'foreign'],
    ["select '; SHOW JOBS'", 'foreign'],
    ['select (1; SHOW JOBS', 'foreign'],
    ['create procedure p() begin atomic; SHOW JOBS; end', 'foreign'],
    ['EXPLAIN BACKUP INTO x', 'foreign'],
    ['PREPARE p AS BACKUP INTO x', 'foreign'],
    ['\ufeffBACKUP INTO x', 'foreign'],
    ['\u00a0BACKUP INTO x', 'foreign'],
    ['"backup" INTO x', 'foreign'],
    ['', 'foreign'],
  ];
  for (const [text, kind] of kinds) assert.equal(classify(text, options).kind, kind, text);
});
