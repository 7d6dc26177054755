/** Whatever a user gets wrong, no piece of a secret may stand in an error or a log line. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toErrorData } from '../../errors.ts';
import { classify } from '../../statement/classify.ts';
import { describeStatement } from '../../statement/redact.ts';

const options = { standardConformingStrings: true };
const secret = 'Zq7Xw9Kv3Jp5Ym1Tn8';
const uri = `s3://b/p?AWS_SECRET_ACCESS_KEY=${secret}`;
const texts = [
  `CREATE EXTERNAL CONNECTION c AS '${uri}'`,
  `CREATE EXTERNAL CONNECTION c AS E'${uri}';`,
  `CREATE EXTERNAL CONNECTION c AS $$${uri}$$`,
  `CREATE EXTERNAL CONNECTION c AS "${uri}"`,
  `CREATE EXTERNAL CONNECTION IF NOT EXISTS 'c' AS ('${uri}'::text)`,
  `EXPORT INTO CSV '${uri}' WITH delimiter = ';' FROM SELECT 1`,
  `BACKUP INTO '${uri}'`,
  `BACKUP DATABASE a, b INTO '${uri}' WITH detached, kms = '${uri}'`,
  `BACKUP TABLE a.* INTO ('${uri}', '${uri}') AS OF SYSTEM TIME '-10s' WITH OPTIONS (detached = true)`,
  `BACKUP t INTO LATEST IN '${uri}' WITH encryption_passphrase = '${secret}'`,
  `RESTORE DATABASE a FROM LATEST IN '${uri}' WITH new_db_name = 'b'`,
  `RESTORE TABLE t FROM '${uri}' IN '${uri}' WITH encryption_passphrase = '${secret}'`,
  `SHOW BACKUPS IN '${uri}' NEWER THAN '-1d'`,
  `SHOW BACKUP SCHEMAS FROM LATEST IN '${uri}' WITH as_json`,
  `SHOW BACKUP '${uri}' IN '${uri}'`,
  `SELECT path FROM [SHOW BACKUPS IN '${uri}']`,
  `CREATE CONNECTION c STORAGE_TYPE = 's3' SECRET_ACCESS_KEY = '${uri}'`,
];

/** Any five characters of the secret in a row. */
function leaks(shown: string): boolean {
  const lower = shown.toLowerCase();
  return Array.from({ length: secret.length - 4 }, (_, at) => secret.slice(at, at + 5).toLowerCase()).some((piece) =>
    lower.includes(piece),
  );
}

function check(text: string): void {
  const found = classify(text, options);
  if (found.kind === 'malformed') {
    const data = toErrorData(found.error);
    assert.match(data.sqlstate, /^(42601|22021|22023|22025)$/);
    assert.ok(!leaks(JSON.stringify(data)), `${text} → ${data.message}`);
  } else if (found.kind === 'own') {
    for (const { statement } of found.statements) assert.ok(!leaks(describeStatement(statement)), text);
  } else assert.notEqual(found.kind, 'foreign', text);
}

test('a text of ours cut off anywhere behind its head stays ours and silent', () => {
  for (const text of texts) for (let length = text.indexOf(uri); length <= text.length; length++) check(text.slice(0, length));
});

test('a quote, backslash, semicolon or blank in the middle of the secret does not show the rest', () => {
  for (const text of texts) {
    for (let at = text.indexOf(secret); at < text.indexOf(secret) + secret.length; at++) {
      for (const odd of ["'", '"', '\\', ';', ' ', "''", "'\\", '$$', '--', '/*', "';", '\n'])
        check(text.slice(0, at) + odd + text.slice(at));
    }
  }
});

test('a URI without quotes or in the place of a name is not shown', () => {
  for (const text of [
    `CREATE EXTERNAL CONNECTION c AS ${uri}`,
    `CREATE EXTERNAL CONNECTION c AS ${secret} ${secret}`,
    `CREATE EXTERNAL CONNECTION '${uri}' AS 'x'`,
    `DROP EXTERNAL CONNECTION "${uri}"`,
    `DROP EXTERNAL CONNECTION "${uri}" ${secret}`,
    `GRANT USAGE ON EXTERNAL CONNECTION '${uri}' TO bob`,
    `BACKUP DATABASE a INTO ${uri}`,
    `BACKUP DATABASE a INTO ${secret} ${secret}`,
    `BACKUP DATABASE a INTO LATEST IN ${secret} ${secret}`,
    `BACKUP "${uri}" INTO 'x'`,
    `BACKUP DATABASE "${uri}" INTO 'x' WITH detached`,
    `BACKUP t INTO 'x' WITH '${uri}'`,
    `BACKUP t INTO 'x' WITH detached = ${secret} ${secret}`,
    `RESTORE t FROM '${uri}' IN 'x'`,
    `RESTORE t FROM LATEST IN ${secret} ${secret}`,
    `SHOW BACKUPS IN ${secret} ${secret}`,
    `SHOW BACKUP FROM '${uri}' IN 'x'`,
    `SHOW JOB '${uri}'`,
    `CANCEL JOBS '${uri}', '${secret}'`,
    `EXPORT INTO CSV ${uri} FROM SELECT 1`,
    `EXPORT INTO CSV 'x' WITH a = ${uri} FROM SELECT 1`,
    `EXPORT INTO CSV 'x' FROM SELECT '${uri}`,
  ]) {
    check(text);
  }
});

test('an own statement beside one of PostgreSQL’s is refused whole', () => {
  assert.equal(classify(`select 1; ${texts[0]}`, options).kind, 'mixed');
  assert.equal(classify(`${texts[0]}; select 1`, options).kind, 'mixed');
});
