import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import { backupJob } from '../../jobs/backup/backupJob.ts';
import type { BackupPayload } from '../../jobs/backup/backupPayload.ts';
import type { Manifest } from '../../jobs/backup/manifest.ts';
import { restoreJob } from '../../jobs/restore/restoreJob.ts';
import type { RestorePayload } from '../../jobs/restore/restorePayload.ts';
import { type DumpLab, startDumpLab } from '../dump/dumpLab.ts';
import { contentsOf, schemaOf } from '../restore/compare.ts';
import { fakeRun } from '../restore/restoreLab.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { missingZstd } from '../servers/zstd.ts';

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) }, () => {
    let lab: DumpLab;
    let service: pg.Pool;
    let externalDir: string;
    let counter = 0;

    before(async () => {
      lab = await startDumpLab(version);
      service = new pg.Pool({ connectionString: lab.server.connectionString('postgres'), max: 4 });
      service.on('error', () => {});
      externalDir = mkdtempSync(join(tmpdir(), 'pgpier-backup-'));
      lab.psql('postgres', '-c', 'create role reader login', '-c', `comment on database rich is 'it''s rich'`);
      lab.psql(
        'postgres',
        '-c',
        `alter database rich set search_path to "$user", "Odd ""Schema"" ü; Type: TABLE"`,
        '-c',
        'grant create on database rich to rich_reader',
      );
    });
    after(async () => {
      await service?.end();
      await lab?.stop();
      rmSync(externalDir, { recursive: true, force: true });
    });

    const collection = () => `c${++counter}`;
    const run = (payload: BackupPayload, role = 'postgres', more: { id?: string; attempt?: number; checkpoint?: unknown } = {}) =>
      fakeRun({ server: lab.server, service, externalDir, payload, role, ...more });
    const ofDatabase = (name: string, database = 'rich'): BackupPayload => ({
      uri: `nodelocal://1/${name}`,
      targets: { kind: 'database', databases: [database] },
    });
    const restore = (name: string, more: Partial<RestorePayload>) =>
      restoreJob.run(
        fakeRun({
          server: lab.server,
          service,
          externalDir,
          payload: {
            uri: `nodelocal://1/${name}`,
            choice: { kind: 'latest' },
            targets: { kind: 'database', databases: ['rich'] },
            schemaOnly: false,
            skipMissingForeignKeys: false,
            grants: true,
            ...more,
          } satisfies RestorePayload,
        }),
      );
    /** Folder and manifest of the only backup there. */
    const theBackup = (name: string): { folder: string; manifest: Manifest } => {
      const root = join(externalDir, name);
      const pointers = readdirSync(join(root, 'metadata', 'latest')).sort();
      const folder = join(root, readFileSync(join(root, 'metadata', 'latest', pointers[0]!), 'utf8'));
      return { folder, manifest: JSON.parse(readFileSync(join(folder, 'BACKUP_MANIFEST'), 'utf8')) };
    };
    const jobRoles = async (): Promise<number> =>
      (await service.query(`select from pg_roles where rolname like 'pgpier_job_%'`)).rows.length;

    test('a database and its copy are the same to pg_dump, and row by row', async () => {
      const name = collection();
      const { rows } = await backupJob.run(run(ofDatabase(name)));
      await restore(name, { newDbName: 'copy' });
      assert.equal(await schemaOf(lab.server, version, 'copy'), await schemaOf(lab.server, version, 'rich'));
      const contents = await contentsOf(lab.server, 'rich');
      assert.deepEqual(await contentsOf(lab.server, 'copy'), contents);
      const counted = (
        await lab.admin.query(`select sum((xpath('/row/c/text()', query_to_xml(format('select count(*) as c from only %I.%I', nspname, relname), false, true, '')))[1]::text::int)::int as n
        from pg_class c join pg_namespace n on n.oid = relnamespace where relkind = 'r' and nspname !~ '^(pg_|information_schema)'`)
      ).rows[0].n;
      assert.equal(rows, counted);
      const properties = `select shobj_description(d.oid, 'pg_database') as comment, pg_get_userbyid(d.datdba) as owner, s.setconfig, array(select a::text from unnest(d.datacl) a order by 1) as acl
        from pg_database d left join pg_db_role_setting s on s.setdatabase = d.oid where d.datname = $1`;
      assert.deepEqual((await service.query(properties, ['copy'])).rows, (await service.query(properties, ['rich'])).rows);
      const largeObject = `select pg_get_userbyid(lomowner) as owner, lomacl::text, obj_description(oid, 'pg_largeobject') as comment from pg_largeobject_metadata`;
      assert.equal(lab.psql('copy', '-At', '-c', largeObject), lab.psql('rich', '-At', '-c', largeObject));
      assert.equal(await jobRoles(), 0);
    });

    test('every file is as the manifest says, and zstd reads it', { skip: missingZstd }, async () => {
      const name = collection();
      await backupJob.run(run(ofDatabase(name)));
      const { folder, manifest } = theBackup(name);
      const [database] = manifest.databases as [Manifest['databases'][0]];
      const files = [
        database.preData,
        database.postData,
        database.script,
        ...database.tables.flatMap((table) => table.files),
        ...database.largeObjects!.files,
      ];
      for (const { path, bytes, sha256 } of files) {
        const stored = readFileSync(join(folder, path));
        assert.equal(stored.length, bytes);
        assert.equal(createHash('sha256').update(stored).digest('hex'), sha256);
        if (path.endsWith('.zst')) execFileSync('zstd', ['-tq', join(folder, path)]);
      }
      const customer = database.tables.find((table) => table.name === 'customer')!;
      const text = execFileSync('zstd', ['-dcq', join(folder, customer.files[0]!.path)]).toString();
      const columns = customer.columns.map((column) => `"${column.replaceAll('"', '""')}"`).join(', ');
      assert.equal(text, lab.psql('rich', '-c', `copy shop.customer (${columns}) to stdout`));
      assert.ok(!customer.columns.includes('area'));
    });

    test('it is one snapshot while others write', {
      skip: !existsSync('/usr/lib/postgresql/15/bin/pgbench') && 'pgbench: not installed',
    }, async () => {
      const pgbench = (...args: string[]) =>
        execFileSync(
          '/usr/lib/postgresql/15/bin/pgbench',
          ['-h', lab.server.socketDir, '-p', String(lab.server.port), '-U', 'postgres', ...args, 'bench'],
          { stdio: 'ignore' },
        );
      lab.psql('postgres', '-c', 'create database bench');
      pgbench('-i', '-s', '2', '-q');
      const { spawn } = await import('node:child_process');
      const writers = spawn(
        '/usr/lib/postgresql/15/bin/pgbench',
        ['-h', lab.server.socketDir, '-p', String(lab.server.port), '-U', 'postgres', '-n', '-c', '4', '-T', '4', 'bench'],
        { stdio: 'ignore' },
      );
      const ended = new Promise((resolve) => writers.once('close', resolve));
      await new Promise((resolve) => setTimeout(resolve, 500));
      const name = collection();
      await backupJob.run(run(ofDatabase(name, 'bench')));
      await ended;
      await restore(name, { targets: { kind: 'database', databases: ['bench'] }, newDbName: 'bench2' });
      const sums = `select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches) and
        (select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers) and
        (select sum(tbalance) from pgbench_tellers) = (select coalesce(sum(delta), 0) from pgbench_history) as equal, (select count(*) from pgbench_history)::int as n`;
      assert.match(lab.psql('bench2', '-At', '-c', sums), /^t\|[1-9]/);
      assert.equal(await jobRoles(), 0);
    });

    test('tables alone, with what they need', async () => {
      const name = collection();
      const targets = {
        kind: 'table',
        database: 'rich',
        patterns: [{ names: ['shop', 'customer'], all: false }],
        texts: ['shop.customer'],
      } as const;
      await backupJob.run(run({ uri: `nodelocal://1/${name}`, targets }));
      lab.psql('postgres', '-c', 'create database some_tables template template0');
      await restore(name, {
        targets: { kind: 'table', patterns: [{ names: ['shop', 'customer'], all: false }] },
        intoDb: 'some_tables',
        grants: false,
      }).catch((error) => {
        throw error;
      });
      const [there, source] = [await contentsOf(lab.server, 'some_tables'), await contentsOf(lab.server, 'rich')];
      for (const table of ['shop.customer', 'shop.customer_id_seq', 'shop.ticket']) assert.equal(there[table], source[table]);
    });

    test('who may not read a table is told which, and nothing is left', async () => {
      const name = collection();
      const attempt = run(ofDatabase(name), 'reader');
      await assert.rejects(backupJob.run(attempt), (error: unknown) => {
        assert.ok(error instanceof PgPierError);
        assert.equal(error.data.sqlstate, '42501');
        assert.match(error.message, /user reader does not have SELECT privilege on relation/);
        return true;
      });
      await backupJob.revert({ ...attempt, checkpoint: attempt.saved.at(-1) });
      assert.deepEqual(
        readdirSync(join(externalDir, name), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()),
        [],
      );
      await assert.rejects(backupJob.run(run(ofDatabase(collection(), 'nothing'))), { message: /database "nothing" does not exist/ });
      const targets = { kind: 'table', database: 'rich', patterns: [{ names: ['nothing'], all: false }], texts: ['nothing'] } as const;
      await assert.rejects(backupJob.run(run({ uri: `nodelocal://1/${collection()}`, targets })), {
        message: /table "nothing" does not exist/,
      });
    });

    test('a policy is an error and never a shorter backup', async () => {
      lab.psql('postgres', '-c', 'create database guarded', '-c', 'grant pg_read_all_data to reader');
      lab.psql(
        'guarded',
        '-c',
        'create table t (a int)',
        '-c',
        'insert into t values (1), (2)',
        '-c',
        'alter table t enable row level security',
        '-c',
        'create policy p on t using (a = 1)',
      );
      await assert.rejects(backupJob.run(run(ofDatabase(collection(), 'guarded'), 'reader')), {
        message: /table public\.t: .*row-level security/,
      });
      lab.psql('postgres', '-c', 'revoke pg_read_all_data from reader');
    });

    test('cancelled, and lost backends: no backup is listed, and revert removes the files', async () => {
      for (const stop of ['cancel', 'terminate'] as const) {
        const name = collection();
        const attempt = run(ofDatabase(name, 'rich'));
        const work = backupJob.run(attempt);
        const failed = assert.rejects(work, PgPierError);
        for (let tries = 0; tries < 500 && attempt.saved.length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
        await new Promise((resolve) => setTimeout(resolve, 30));
        if (stop === 'cancel') attempt.abort.abort(new PgPierError('queryCanceled'));
        const lose = "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'pgpier BACKUP%'";
        for (let lost = 0; stop === 'terminate' && lost === 0; ) lost = (await service.query(lose)).rows.length;
        await failed;
        assert.ok(!existsSync(join(externalDir, name, 'metadata')));
        const deadline = { ...attempt, signal: AbortSignal.timeout(10_000), checkpoint: attempt.saved.at(-1) };
        await backupJob.revert(deadline);
        await backupJob.revert(deadline);
        const left = readdirSync(join(externalDir, name), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
        assert.deepEqual(left, []);
        assert.equal(await jobRoles(), 0);
      }
    });

    test('the attempt after a killed one removes its files and makes a backup; after a finished one it changes nothing', async () => {
      const name = collection();
      const first = run(ofDatabase(name));
      const work = assert.rejects(backupJob.run(first));
      for (let tries = 0; tries < 500 && first.saved.length === 0; tries++) await new Promise((resolve) => setTimeout(resolve, 10));
      await new Promise((resolve) => setTimeout(resolve, 30));
      first.abort.abort(new PgPierError('workersStopped'));
      await work;
      const second = run(ofDatabase(name), 'postgres', { id: first.id, attempt: 2, checkpoint: first.saved.at(-1) });
      await backupJob.run(second);
      const { folder, manifest } = theBackup(name);
      assert.ok(folder.endsWith((second.saved.at(-1) as { folder: string }).folder));
      const third = run(ofDatabase(name), 'postgres', { id: first.id, attempt: 3, checkpoint: second.saved.at(-1) });
      await backupJob.run(third);
      assert.equal(theBackup(name).manifest.id, manifest.id);
      const locks = readdirSync(join(externalDir, name), { recursive: true }).filter((file) => String(file).includes('BACKUP-LOCK'));
      assert.equal(locks.length, 1);
    });
  });
}
