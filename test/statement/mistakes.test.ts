/** How a mistake in a statement of ours is told: SQLSTATE, words, and the character it stands at. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify } from '../../statement/classify.ts';

const options = { standardConformingStrings: true };

test('options are checked with their position: unknown, twice, without value, with a wrong one', () => {
  const wrong: readonly [string, string, string, number][] = [
    ['BACKUP t INTO x WITH detatched', '42601', 'invalid option "detatched"', 22],
    ["BACKUP t INTO x WITH detached, 's3://a?b=c'", '42601', 'invalid option "..."', 32],
    ['BACKUP t INTO x WITH detached, kms = y, detached', '42601', 'option "detached" is given more than once', 41],
    ['BACKUP t INTO x WITH detached = maybe', '22023', 'invalid value for option "detached": it must be true or false', 22],
    ['BACKUP t INTO x WITH detached = $1', '22023', 'invalid value for option "detached": it must be true or false', 22],
    ['RESTORE t FROM LATEST IN x WITH into_db', '42601', 'option "into_db" requires a value', 33],
    ["SHOW BACKUP FROM LATEST IN 'é' WITH SKIP SIZE, SKIP SIZE", '42601', 'option "skip size" is given more than once', 48],
    ['SHOW BACKUP FROM LATEST IN x WITH detached', '42601', 'invalid option "detached"', 35],
  ];
  for (const [text, sqlstate, message, position] of wrong) {
    const found = classify(text, options);
    assert.ok(found.kind === 'malformed', `${text}: ${found.kind}`);
    assert.deepEqual([found.error.data.sqlstate, found.error.message, found.error.data.position], [sqlstate, message, position], text);
  }
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
  ['BACKUP', 'syntax error at end of input', 7],
  ['BACKUP DATABASE INTO x', 'syntax error at or near "INTO"', 17],
  ['BACKUP TABLE a.b.c.d INTO x', 'syntax error at or near "."', 19],
  ['BACKUP TABLE a.b.c.* INTO x', 'syntax error at or near "."', 19],
  ['BACKUP TABLE a. INTO x', 'syntax error at or near "..."', 22],
  ['BACKUP TABLE t INTO', 'syntax error at end of input', 20],
  ['BACKUP TABLE t TO x', 'syntax error at or near "TO"', 16],
  ["BACKUP t INTO 'x' AS OF SYSTEM TIME", 'syntax error at end of input', 36],
  ["BACKUP t INTO 'x' WITH", 'syntax error at end of input', 23],
  ["BACKUP t INTO 'x' secret", 'syntax error at or near "..."', 19],
  ['BACKUP t INTO x secret', 'syntax error at or near "..."', 17],
  ["RESTORE DATABASE d FROM 'x'", 'syntax error at end of input', 28],
  ["RESTORE DATABASE d FROM newest IN 'x'", 'syntax error at or near "newest"', 25],
  ['SHOW BACKUPS x', 'syntax error at or near "x"', 14],
  ["SHOW BACKUPS IN 'x' NEWER THAN 'a' NEWER THAN 'b'", 'syntax error at or near "NEWER"', 36],
  ['SHOW BACKUP FROM LATEST', 'syntax error at end of input', 24],
  ['SHOW JOB abc', 'syntax error at or near "abc"', 10],
  ['SHOW JOB 1.5', 'syntax error at or near "1.5"', 10],
  ['SHOW JOB 1, 2', 'syntax error at or near ","', 11],
  ['SHOW JOBS 1', 'syntax error at or near "1"', 11],
  ['SHOW JOB WHEN COMPLETE', 'syntax error at end of input', 23],
  ['CANCEL JOB', 'syntax error at end of input', 11],
  ["RESUME JOB 1 WITH REASON = 'x'", 'syntax error at or near "WITH"', 14],
  ['SHOW SYSTEM GRANTS FOR', 'syntax error at end of input', 23],
];

test('a mistake is told in PostgreSQL’s words, with the character it stands at', () => {
  for (const [text, message, position] of mistakes) {
    const found = classify(text, options);
    assert.ok(found.kind === 'malformed', `${text}: ${found.kind}`);
    assert.deepEqual([found.error.message, found.error.data.sqlstate, found.error.data.position], [message, '42601', position], text);
  }
});
