/** What the schema of a backup may hold. The other side, that all of pg_dump's output may, is what the restores of richSchema.sql show. */
import assert from 'node:assert/strict';
import { before, test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { readSchema } from '../../jobs/restore/schema.ts';
import { loadGrammar, readSchemaStatement } from '../../jobs/restore/schemaStatement.ts';

before(loadGrammar);

test('what no dump holds is refused by name', () => {
  for (const [text, name] of [
    ["alter system set archive_command = 'x'", /ALTER SYSTEM/],
    ["copy t from program 'id'", /COPY/],
    ['copy t to stdout', /COPY/],
    ['do $$ begin end $$', /DO/],
    ['create role x superuser', /CREATE ROLE/],
    ['alter role postgres superuser', /ALTER ROLE/],
    ['drop role x', /DROP ROLE/],
    ['grant pg_read_server_files to x', /GRANT ROLE/],
    ['set role postgres', /SET/],
    ['set session authorization postgres', /SET/],
    ['reset role', /SET/],
    ["set local statement_timeout = '0'", /SET/],
    ["set session_preload_libraries = 'x'", /SET session_preload_libraries/],
    ["load 'x'", /LOAD/],
    ['create database x', /CREATEDB|CREATE DATABASE/],
    ["create tablespace x location '/x'", /CREATE TABLE SPACE/],
    ["create subscription s connection 'host=x' publication p", /CREATE SUBSCRIPTION that connects/],
    ["create subscription s connection 'host=x' publication p with (connect = true)", /CREATE SUBSCRIPTION that connects/],
    ["alter subscription s connection 'host=x'", /ALTER SUBSCRIPTION/],
    ["select pg_catalog.set_config('role', 'postgres', false)", /a SELECT/],
    ["select pg_catalog.set_config('search_path', 'evil', false)", /a SELECT/],
    ["select pg_catalog.set_config('search_path', '', false) from evil()", /a SELECT/],
    ["select pg_read_file('/etc/passwd')", /a SELECT/],
    ['create table t as select 1', /CREATE TABLE AS/],
    ['insert into t values (1)', /INSERT/],
    ['update pg_catalog.pg_proc set prosrc = $$x$$', /UPDATE/],
    ['delete from t', /DELETE/],
    ['truncate t', /TRUNCATE/],
    ['drop table t', /DROP/],
    ['begin', /TRANSACTION/],
    ['commit', /TRANSACTION/],
    ['vacuum', /VACUUM/],
    ['call p()', /CALL/],
    ['reassign owned by a to b', /REASSIGN OWNED/],
    ['prepare p as select 1', /PREPARE/],
    ['listen x', /LISTEN/],
    ['explain analyze select evil()', /EXPLAIN/],
    ['import foreign schema s from server x into y', /IMPORT FOREIGN SCHEMA/],
    ['create table a (); drop table b', /more than one statement/],
  ] as const) {
    assert.throws(
      () => readSchemaStatement(text),
      (error: unknown) => error instanceof PgPierError && error.data.sqlstate === '42501' && name.test(error.message),
      text,
    );
  }
});

test('hiding a statement does not help it', async () => {
  for (const text of [
    "--\n-- Name: a; Type: TABLE; Schema: s; Owner: o\n--\n\nCREATE TABLE s.a (); /* ; */ ALTER SYSTEM SET x = 'y';",
    "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $x$ select 1; $x$; ALTER SYSTEM SET x = 'y';",
    "COMMENT ON TABLE t IS E'\\'; select 1; --'; ALTER SYSTEM SET x = 'y'; --';",
    "COMMENT ON TABLE t IS 'a\\'; ALTER SYSTEM SET x = 'y';",
    "COMMENT ON TABLE t IS U&'\\0027'; ALTER SYSTEM SET x = 'y';",
    'CREATE TABLE "a;--" (); ALTER SYSTEM SET x = 1;',
    "SET standard_conforming_strings = off; COMMENT ON TABLE t IS 'a\\'; ALTER SYSTEM SET x = 1; --';",
    '/* /* */ ALTER SYSTEM SET x = 1; */ ALTER SYSTEM SET x = 1;',
  ]) {
    await assert.rejects(
      readSchema(text),
      (error: unknown) => error instanceof PgPierError && ['42501', '42601'].includes(error.data.sqlstate),
      text,
    );
  }
});

test('what is no SQL is told as such', () => {
  assert.throws(() => readSchemaStatement('create tabel x'), {
    message: /the schema of the backup cannot be read: syntax error at or near "tabel"/,
  });
  assert.throws(
    () => readSchemaStatement(`create view v as select ${'('.repeat(30_000)}1${')'.repeat(30_000)}`),
    (error: unknown) => error instanceof PgPierError,
  );
});

test('a function of four megabytes is read', () => {
  const body = 'select 1; '.repeat(400_000);
  assert.equal(
    readSchemaStatement(`create function f() returns void language plpgsql as $b$ begin ${body} end $b$`).kind,
    'CreateFunctionStmt',
  );
});
