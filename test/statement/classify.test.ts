/** What each statement of ours is read as; mistakes.test.ts has what is wrong in one. */
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

const noOptions = {
  schemaOnly: false,
  verifyBackupTableData: false,
  skipMissingForeignKeys: false,
  skipMissingSequences: false,
  skipMissingSequenceOwners: false,
  skipMissingViews: false,
  skipMissingUdfs: false,
  grants: false,
};
const showsNothingElse = { schemas: false, asJson: false, checkFiles: false, privileges: false, skipSize: false };

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
  [
    "ALTER EXTERNAL CONNECTION foo AS 's3://b?AWS_SECRET_ACCESS_KEY=x'",
    {
      kind: 'alterExternalConnection',
      ifExists: false,
      name: string('foo'),
      change: { kind: 'uri', uri: string('s3://b?AWS_SECRET_ACCESS_KEY=x') },
    },
    'ALTER EXTERNAL CONNECTION "foo" AS ***',
  ],
  [
    'alter external connection if exists $1 as $2',
    { kind: 'alterExternalConnection', ifExists: true, name: parameter(1), change: { kind: 'uri', uri: parameter(2) } },
    'ALTER EXTERNAL CONNECTION IF EXISTS $1 AS ***',
  ],
  [
    "alter external connection foo set fallback 's3://b?AWS_SECRET_ACCESS_KEY=x'",
    {
      kind: 'alterExternalConnection',
      ifExists: false,
      name: string('foo'),
      change: { kind: 'setFallback', uri: string('s3://b?AWS_SECRET_ACCESS_KEY=x') },
    },
    'ALTER EXTERNAL CONNECTION "foo" SET FALLBACK ***',
  ],
  [
    'ALTER EXTERNAL CONNECTION IF EXISTS $1 DROP FALLBACK',
    { kind: 'alterExternalConnection', ifExists: true, name: parameter(1), change: { kind: 'dropFallback' } },
    'ALTER EXTERNAL CONNECTION IF EXISTS $1 DROP FALLBACK',
  ],
  [
    "CHECK EXTERNAL CONNECTION 'external://a' WITH TRANSFER = 64MiB, CONCURRENTLY = 2, TIME = $1",
    {
      kind: 'checkExternalConnection',
      uri: string('external://a'),
      transfer: string('64MiB'),
      time: parameter(1),
      concurrently: string('2'),
    },
    'CHECK EXTERNAL CONNECTION ***',
  ],
  [
    "DROP EXTERNAL CONNECTION 'Foo'",
    { kind: 'dropExternalConnection', name: string('Foo'), restrict: false },
    'DROP EXTERNAL CONNECTION "Foo"',
  ],
  [
    'DROP EXTERNAL CONNECTION restrict restrict',
    { kind: 'dropExternalConnection', name: string('restrict'), restrict: true },
    'DROP EXTERNAL CONNECTION "restrict" RESTRICT',
  ],
  [
    'drop connection if exists $1 restrict',
    { kind: 'dropConnection', ifExists: true, name: parameter(1), restrict: true },
    'DROP CONNECTION IF EXISTS $1 RESTRICT',
  ],
  ['DROP EXTERNAL CONNECTION $1', { kind: 'dropExternalConnection', name: parameter(1), restrict: false }, 'DROP EXTERNAL CONNECTION $1'],
  ['SHOW EXTERNAL CONNECTIONS', { kind: 'showExternalConnections' }, 'SHOW EXTERNAL CONNECTIONS'],
  ['SHOW EXTERNAL CONNECTIONS USAGE', { kind: 'showConnectionUsage' }, 'SHOW EXTERNAL CONNECTIONS USAGE'],
  [
    'SHOW EXTERNAL CONNECTION usage usage',
    { kind: 'showConnectionUsage', name: string('usage') },
    'SHOW EXTERNAL CONNECTION "usage" USAGE',
  ],
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
  [
    'BACKUP DATABASE Movr, "Big One" INTO $1',
    { kind: 'backup', targets: { kind: 'database', databases: ['movr', 'Big One'] }, uri: parameter(1) },
    'BACKUP DATABASE "movr", "Big One" INTO ***',
  ],
  [
    'BACKUP TABLE t, S.t, "D".s.t, d.*, d.s.*, *, a.select INTO (\'external://c\') WITH OPTIONS (detached)',
    {
      kind: 'backupDetached',
      targets: {
        kind: 'table',
        patterns: [
          { names: ['t'], all: false },
          { names: ['s', 't'], all: false },
          { names: ['D', 's', 't'], all: false },
          { names: ['d'], all: true },
          { names: ['d', 's'], all: true },
          { names: [], all: true },
          { names: ['a', 'select'], all: false },
        ],
      },
      uri: string('external://c'),
    },
    'BACKUP TABLE "t", "s"."t", "D"."s"."t", "d".*, "d"."s".*, *, "a"."select" INTO *** WITH detached',
  ],
  [
    "BACKUP t INTO x WITH detached = off, revision_history = 'false'",
    { kind: 'backup', targets: { kind: 'table', patterns: [{ names: ['t'], all: false }] }, uri: string('x') },
    'BACKUP TABLE "t" INTO ***',
  ],
  [
    "RESTORE DATABASE movr FROM LATEST IN 'u' WITH new_db_name = $2, schema_only",
    {
      kind: 'restore',
      targets: { kind: 'database', databases: ['movr'] },
      from: { kind: 'latest' },
      uri: string('u'),
      options: { ...noOptions, newDbName: parameter(2), schemaOnly: true },
    },
    'RESTORE DATABASE "movr" FROM LATEST IN ***',
  ],
  [
    `RESTORE t FROM '/2026/04/18-084211.25' IN 'u' WITH OPTIONS (into_db = 'Other', detached, grants, verify_backup_table_data,
      skip_missing_foreign_keys, skip_missing_sequences = true, skip_missing_sequence_owners, skip_missing_views, skip_missing_udfs, skip_localities_check)`,
    {
      kind: 'restoreDetached',
      targets: { kind: 'table', patterns: [{ names: ['t'], all: false }] },
      from: { kind: 'subdirectory', path: string('/2026/04/18-084211.25') },
      uri: string('u'),
      options: {
        intoDb: string('Other'),
        schemaOnly: false,
        verifyBackupTableData: true,
        skipMissingForeignKeys: true,
        skipMissingSequences: true,
        skipMissingSequenceOwners: true,
        skipMissingViews: true,
        skipMissingUdfs: true,
        grants: true,
      },
    },
    `RESTORE TABLE "t" FROM '/2026/04/18-084211.25' IN *** WITH detached`,
  ],
  [
    "SHOW BACKUPS IN 'u' OLDER THAN $1 NEWER THAN '-1d'",
    { kind: 'showBackups', uri: string('u'), newerThan: string('-1d'), olderThan: parameter(1) },
    'SHOW BACKUPS IN ***',
  ],
  [
    'SHOW BACKUP LATEST IN $1',
    { kind: 'showBackup', from: { kind: 'latest' }, uri: parameter(1), ...showsNothingElse },
    'SHOW BACKUP FROM LATEST IN ***',
  ],
  [
    "SHOW BACKUP SCHEMAS FROM $1 IN 'u' WITH privileges, check_files, SKIP /* */ SIZE, as_json",
    {
      kind: 'showBackup',
      from: { kind: 'subdirectory', path: parameter(1) },
      uri: string('u'),
      schemas: true,
      asJson: true,
      checkFiles: true,
      privileges: true,
      skipSize: true,
    },
    'SHOW BACKUP SCHEMAS FROM $1 IN ***',
  ],
  ['SHOW JOBS', { kind: 'showJobs' }, 'SHOW JOBS'],
  ["SHOW JOB '12'::int8", { kind: 'showJob', job: string('12') }, 'SHOW JOB 12'],
  ['SHOW JOB ((1009))', { kind: 'showJob', job: string('1009') }, 'SHOW JOB 1009'],
  ['SHOW JOB WHEN COMPLETE $1', { kind: 'showJobWhenComplete', jobs: [parameter(1)] }, 'SHOW JOBS WHEN COMPLETE $1'],
  ['SHOW JOBS WHEN COMPLETE 1, 2', { kind: 'showJobWhenComplete', jobs: [string('1'), string('2')] }, 'SHOW JOBS WHEN COMPLETE 1, 2'],
  ["PAUSE JOB 1 WITH REASON = 'x'", { kind: 'pauseJobs', jobs: [string('1')], reason: string('x') }, 'PAUSE JOBS 1'],
  ['RESUME JOBS 1, $2', { kind: 'resumeJobs', jobs: [string('1'), parameter(2)] }, 'RESUME JOBS 1, $2'],
  ["CANCEL JOB 'x'", { kind: 'cancelJobs', jobs: [string('x')] }, 'CANCEL JOBS ***'],
  ["COPY /* hint */ INTO t FROM 's3://secret'", { kind: 'notYet', what: 'COPY INTO' }, 'COPY INTO'],
];

test('every statement says what its text says, and its line for logs has names but no values', () => {
  for (const [text, statement, line] of readings) {
    const found = read(text);
    assert.deepEqual(found.statement, statement, text);
    assert.equal(describeStatement(found.statement), line);
  }
});

test('what is not carried out yet is known by its name, once it has been read in full', () => {
  const names: readonly [string, string][] = [
    ['BACKUP INTO x', 'BACKUP of a whole cluster'],
    ['BACKUP DATABASE a INTO LATEST IN x', 'BACKUP INTO LATEST IN'],
    ["BACKUP DATABASE a INTO '2026' IN (x, y)", "BACKUP INTO 'subdirectory' IN"],
    ["BACKUP DATABASE a INTO ('x', $1)", 'BACKUP into several locations'],
    ['BACKUP DATABASE a INTO x AS OF SYSTEM TIME follower_read_timestamp()', 'BACKUP … AS OF SYSTEM TIME'],
    ["BACKUP DATABASE a INTO x AS OF SYSTEM TIME '-10s' WITH detached", 'BACKUP … AS OF SYSTEM TIME'],
    ['BACKUP DATABASE a INTO x AS OF SYSTEM TIME -1.5', 'BACKUP … AS OF SYSTEM TIME'],
    ['BACKUP DATABASE a INTO x WITH revision_history', 'BACKUP … WITH revision_history'],
    ['BACKUP DATABASE a INTO x WITH detached, kms = (y, z)', 'BACKUP … WITH kms'],
    ["BACKUP DATABASE a INTO x WITH execution locality = 'y'", 'BACKUP … WITH execution locality'],
    ["BACKUP DATABASE a INTO x WITH encryption_passphrase = 'y'", 'BACKUP … WITH encryption_passphrase'],
    ['RESTORE FROM LATEST IN x', 'RESTORE of a whole cluster'],
    ['RESTORE SYSTEM USERS FROM LATEST IN x', 'RESTORE SYSTEM USERS'],
    ["RESTORE t FROM LATEST IN x AS OF SYSTEM TIME '-1s'", 'RESTORE … AS OF SYSTEM TIME'],
    ['RESTORE t FROM LATEST IN x WITH experimental deferred copy', 'RESTORE … WITH experimental deferred copy'],
    ['SHOW BACKUPS IN x WITH REVISION START TIME', 'SHOW BACKUPS … WITH REVISION START TIME'],
    ['SHOW BACKUP FROM LATEST IN x WITH debug_ids', 'SHOW BACKUP … WITH debug_ids'],
    ["SHOW BACKUP CONNECTION 'x'", 'SHOW BACKUP CONNECTION'],
    ['SELECT status FROM [SHOW JOBS] WHERE a[1] > $1', '[SHOW …] in the place of a table'],
    ['SHOW JOBS SELECT 1', 'SHOW JOBS with a query'],
    ['SHOW JOBS WHEN COMPLETE (SELECT 1)', 'SHOW JOBS WHEN COMPLETE with a query'],
    ['SHOW JOBS FOR SCHEDULE 1', 'SHOW JOBS FOR SCHEDULES'],
    ['SHOW JOB 1 WITH EXECUTION DETAILS', 'SHOW JOB WITH EXECUTION DETAILS'],
    ['SHOW AUTOMATIC JOBS', 'SHOW AUTOMATIC JOBS'],
    ['PAUSE JOBS (SELECT 1)', 'PAUSE JOBS with a query'],
    ['RESUME JOBS FOR SCHEDULE 1', 'RESUME JOBS FOR SCHEDULES'],
    ['CANCEL ALL BACKUP JOBS', 'CANCEL ALL JOBS'],
  ];
  for (const [text, what] of names) assert.deepEqual(read(text).statement, { kind: 'notYet', what }, text);
});

test('names are cut to 63 bytes, as PostgreSQL cuts them', () => {
  const { statement } = read(`BACKUP DATABASE ${'é'.repeat(40)} INTO x`);
  assert.deepEqual(statement.kind === 'backup' && statement.targets, { kind: 'database', databases: ['é'.repeat(31)] });
});

test('the highest parameter counts, wherever it stands', () => {
  assert.equal(read('CREATE EXTERNAL CONNECTION $3 AS $1').parameterCount, 3);
  assert.equal(read('EXPORT INTO CSV $1 FROM SELECT $2, $7::int').parameterCount, 7);
  assert.equal(read("EXPORT INTO CSV 'a$5' FROM SELECT $$ $9 $$").parameterCount, 0);
  assert.equal(read('BACKUP INTO $4').parameterCount, 4);
});

test('texts of several statements are all ours, mixed, or PostgreSQL’s', () => {
  const kinds: readonly [string, string][] = [
    ['SHOW JOBS; SHOW EXTERNAL CONNECTIONS;', 'own'],
    [';; SHOW JOBS ;;', 'own'],
    ['SHOW JOBS; select 1', 'mixed'],
    ['begin; SHOW JOBS; commit', 'mixed'],
    ['select 1; select * from [show jobs]', 'mixed'],
    ["select * from [show jobs] where a = 'x", 'malformed'],
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
