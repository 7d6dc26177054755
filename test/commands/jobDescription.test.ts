/** What SHOW JOBS prints of a statement: all that was said, and no secret. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { jobDescription } from '../../commands/jobDescription.ts';
import { classify } from '../../statement/classify.ts';

const parameters = [
  's3://b/p?AWS_SECRET_ACCESS_KEY=hush%2F1&AWS_ACCESS_KEY_ID=a',
  '2026/04/18-084211.25',
  's3://b/?AWS_SESSION_TOKEN=hush',
];

function describe(text: string): string {
  const found = classify(text, { standardConformingStrings: true });
  assert.ok(found.kind === 'own', `${text}: ${found.kind === 'malformed' ? found.error.message : found.kind}`);
  const { statement } = found.statements[0]!;
  assert.ok(['backup', 'backupDetached', 'restore', 'restoreDetached'].includes(statement.kind), `${text}: ${statement.kind}`);
  return jobDescription(statement as Parameters<typeof jobDescription>[0], {
    text: (value) => (value.kind === 'string' ? value.value : parameters[value.number - 1]!),
  });
}

const shown = "'s3://b/p?AWS_ACCESS_KEY_ID=a&AWS_SECRET_ACCESS_KEY=redacted'";

test('a description is the statement, normalised and without secrets', () => {
  const rows: readonly [string, string][] = [
    ['backup  database Movr, "Big One" into $1', `BACKUP DATABASE movr, "Big One" INTO ${shown}`],
    [
      'BACKUP a.t, b.*, *, "user"."x.y" INTO $1 WITH detached',
      `BACKUP TABLE a.t, b.*, *, "user"."x.y" INTO ${shown} WITH OPTIONS (detached)`,
    ],
    ["BACKUP t INTO 'external://c/it''s'", "BACKUP TABLE t INTO 'external://c/it''s'"],
    ['RESTORE DATABASE d FROM LATEST IN $1', `RESTORE DATABASE d FROM LATEST IN ${shown}`],
    [
      "RESTORE DATABASE d FROM $2 IN $1 WITH new_db_name = 'a''b', schema_only, detached = true, grants",
      `RESTORE DATABASE d FROM '2026/04/18-084211.25' IN ${shown} WITH OPTIONS (detached, new_db_name = 'a''b', schema_only, grants)`,
    ],
    ["RESTORE t FROM 's3://x?CREDENTIALS=hush' IN $1", `RESTORE TABLE t FROM '***' IN ${shown}`],
    ['BACKUP "s3://x?CREDENTIALS=hush" INTO $1', `BACKUP TABLE *** INTO ${shown}`],
    ['BACKUP t INTO $3', "BACKUP TABLE t INTO 's3://b/?AWS_SESSION_TOKEN=redacted'"],
  ];
  for (const [text, description] of rows) assert.equal(describe(text), description);
});

test('a description is read as the same statement again', () => {
  for (const text of [
    'BACKUP DATABASE "a""b", c INTO $1',
    'BACKUP TABLE a.b.c, d.*, e.f.*, *, "select" INTO $1 WITH detached',
    'RESTORE a.*, "Ü".t FROM \'/2026/04/18-084211.25\' IN $1 WITH into_db = x, skip_missing_views, detached',
  ]) {
    assert.equal(describe(describe(text)), describe(text));
  }
});
