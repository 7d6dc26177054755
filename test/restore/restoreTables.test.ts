import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import type { RestorePayload } from '../../jobs/restore/restorePayload.ts';
import type { TablePattern } from '../../statement/statement.ts';
import { type DumpLab, startDumpLab } from '../dump/dumpLab.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { contentsOf } from './compare.ts';
import { makeBackup } from './handmadeBackup.ts';
import { fakeRun } from './restoreLab.ts';

const pattern = (...names: string[]): TablePattern => ({ names, all: false });
const everything = (...names: string[]): TablePattern => ({ names, all: true });

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) }, () => {
    let lab: DumpLab;
    let service: pg.Pool;
    let externalDir: string;

    before(async () => {
      lab = await startDumpLab(version);
      service = new pg.Pool({ connectionString: lab.server.connectionString('postgres'), max: 4 });
      service.on('error', () => {});
      externalDir = mkdtempSync(join(tmpdir(), 'pgpier-restore-'));
      await makeBackup(lab.server, version, join(externalDir, 'backups'));
    });
    beforeEach(() => lab.psql('postgres', '-c', 'drop database if exists target', '-c', 'create database target template template0'));
    after(async () => {
      await service?.end();
      await lab?.stop();
      rmSync(externalDir, { recursive: true, force: true });
    });

    const restore = (patterns: TablePattern[], more: Partial<RestorePayload> = {}) =>
      restoreJob.run(
        fakeRun({
          server: lab.server,
          service,
          externalDir,
          payload: {
            uri: 'nodelocal://1/backups',
            choice: { kind: 'latest' },
            targets: { kind: 'table', patterns },
            intoDb: 'target',
            schemaOnly: false,
            skipMissingForeignKeys: false,
            grants: false,
            ...more,
          } satisfies RestorePayload,
        }),
      );
    const refused = (work: Promise<unknown>, sqlstate: string, message: RegExp) =>
      assert.rejects(work, (error: unknown) => {
        assert.ok(error instanceof PgPierError, String(error));
        assert.match(error.message, message);
        assert.equal(error.data.sqlstate, sqlstate);
        return true;
      });
    const only = (contents: Record<string, string>, names: readonly string[]) =>
      Object.fromEntries(names.map((name) => [name, contents[name]]));

    test('tables bring their types, functions, extensions, sequences, indexes, triggers and policies', async () => {
      await restore([pattern('shop', 'customer')]);
      const names = ['shop.customer', 'shop.customer_id_seq', 'shop.ticket'];
      assert.deepEqual(only(await contentsOf(lab.server, 'target'), names), only(await contentsOf(lab.server, 'rich'), names));
      const counts = `select (select count(*) from pg_index where indrelid = 'shop.customer'::regclass) as indexes,
        (select count(*) from pg_trigger where tgrelid = 'shop.customer'::regclass and not tgisinternal) as triggers,
        (select count(*) from pg_policy) as policies, (select relrowsecurity from pg_class where oid = 'shop.customer'::regclass) as secured,
        (select count(*) from pg_statistic_ext) as statistics`;
      assert.equal(lab.psql('target', '-At', '-c', counts), lab.psql('rich', '-At', '-c', counts));
      assert.equal(lab.psql('target', '-At', '-c', `select to_regclass('shop.orders') is null`).trim(), 't');
    });

    test('a partitioned table brings its partitions, and a foreign key out of the set is refused or skipped', async () => {
      await refused(
        restore([pattern('shop', 'orders')]),
        '42P01',
        /cannot restore table "orders" without referenced table "customer" \(or "skip_missing_foreign_keys" option\)/,
      );
      await restore([pattern('shop', 'orders')], { skipMissingForeignKeys: true });
      const names = ['shop.orders_2024', 'shop.orders_2025_0', 'shop.orders_2025_1', 'shop.orders_rest', 'shop.orders_id_seq'];
      assert.deepEqual(only(await contentsOf(lab.server, 'target'), names), only(await contentsOf(lab.server, 'rich'), names));
      const indexes = `select count(*) from pg_inherits i join pg_class c on c.oid = i.inhrelid where c.relkind in ('i', 'I')`;
      assert.equal(lab.psql('target', '-At', '-c', indexes), lab.psql('rich', '-At', '-c', indexes));
      assert.equal(lab.psql('target', '-At', '-c', `select count(*) from pg_constraint where contype = 'f'`).trim(), '0');
    });

    test('all tables of a schema come with their foreign keys, and with odd names', async () => {
      await restore([everything('shop'), pattern('Odd "Schema" ü; Type: TABLE', 't')]);
      const [there, source] = [await contentsOf(lab.server, 'target'), await contentsOf(lab.server, 'rich')];
      for (const name of ['shop.totals', 'shop.second_level', 'large objects']) {
        delete there[name];
        delete source[name];
      }
      assert.deepEqual(there, source);
      const keys = `select count(*) from pg_constraint where contype = 'f'`;
      assert.equal(lab.psql('target', '-At', '-c', keys), lab.psql('rich', '-At', '-c', keys));
    });

    test('it is whole or absent: what exists, and what fails late, leaves nothing', async () => {
      lab.psql('target', '-c', 'create schema shop', '-c', 'create table shop.listed ()');
      await refused(restore([pattern('shop', 'customer'), pattern('shop', 'listed')]), '42P07', /relation "listed" already exists/);
      assert.equal(lab.psql('target', '-At', '-c', `select to_regclass('shop.customer') is null`).trim(), 't');
      lab.psql('target', '-c', 'create sequence shop.customer_lower');
      await refused(restore([pattern('shop', 'customer')]), '42P07', /INDEX shop.customer_lower: relation "customer_lower" already exists/);
      assert.equal(lab.psql('target', '-At', '-c', `select to_regclass('shop.customer') is null`).trim(), 't');
    });

    test('a type that is there is used', async () => {
      lab.psql('target', '-c', 'create schema shop', '-c', `create type shop.mood as enum ('sad', 'ok', 'it''s "great"', 'more')`);
      await restore([pattern('shop', 'customer')]);
      assert.equal(lab.psql('target', '-At', '-c', `select count(*) from pg_enum where enumtypid = 'shop.mood'::regtype`).trim(), '4');
    });

    test('names that lead nowhere are told', async () => {
      await refused(restore([pattern('nothing')]), '42P01', /table "nothing" is not in the backup/);
      await refused(restore([pattern('shop', 'customer')], { intoDb: 'absent' }), '3D000', /a database named "absent" needs to exist/);
      await refused(restore([pattern('elsewhere', 'shop', 'customer')]), '3D000', /database "elsewhere" is not in the backup/);
      await refused(restore([pattern('rich', 'shop', 'customer'), pattern('other', 'shop', 'listed')]), '0A000', /one database/);
    });
  });
}
