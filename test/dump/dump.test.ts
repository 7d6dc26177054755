import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import { type DumpRequest, dumpSchema, type Section } from '../../jobs/dump/dump.ts';
import { readDump, writeDump } from '../../jobs/dump/readDump.ts';
import { dumpTableSchema } from '../../jobs/dump/tableSchema.ts';
import type { BackendLogin } from '../../jobs/task.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { clientTool, type DumpLab, startDumpLab } from './dumpLab.ts';

/** PostgreSQL 15.20 gives each column an option `pg_attver` of its own, which another version's pg_dump prints. */
function withoutColumnStamps(sql: string): string {
  return sql
    .replaceAll(/^ALTER (FOREIGN )?TABLE (ONLY )?.* ALTER COLUMN .* SET \(pg_attver=\d+\);\n\n?/gm, '')
    .replaceAll(/ SET \(pg_attver=\d+, /g, ' SET (');
}

/** Lines that a pg_dump of another major writes in its own way, and those that name its version. */
const versionStyle = (sql: string): string[] =>
  withoutColumnStamps(sql)
    .replaceAll(/^\\(un)?restrict .*$/gm, '')
    .split('\n')
    .filter((line) => !/^--|^\s*$|^SET (transaction_timeout|default_table_access_method)/.test(line))
    .map((line) =>
      line
        .replace(/^ALTER (TABLE|SEQUENCE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE)( ONLY)? (.* OWNER TO)/, 'ALTER TABLE $3')
        .replace(/^ALTER FOREIGN TABLE ONLY /, 'ALTER FOREIGN TABLE ')
        .replace(/ {2}/g, ' '),
    );

test('column options that a server sets of itself are left out, and nothing else is', () => {
  const table = 'CREATE TABLE "s"."t" ("a" integer)';
  const alter = (options: string): string => `ALTER TABLE ONLY "s"."t" ALTER COLUMN "a SET (pg_attver=1)" SET (${options})`;
  const body = "CREATE FUNCTION f() RETURNS text LANGUAGE sql AS 'ALTER TABLE ONLY t ALTER COLUMN a SET (pg_attver=5)'";
  const statements = [table, alter('pg_attver=26601856'), alter('pg_attver=5, n_distinct=-0.5'), alter('n_distinct=3'), body];
  const text = `-- Name: t; Type: TABLE; Schema: s; Owner: o\n\n${statements.join(';\n')};\n`;
  const [entry] = readDump(text).entries;
  assert.deepEqual(entry?.statements, [table, alter('n_distinct=-0.5'), alter('n_distinct=3'), body]);
});

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) || missingPostgres(15) }, () => {
    let lab: DumpLab;
    let snapshot: string;
    const never = new AbortController().signal;
    const login = (database = 'rich'): BackendLogin => ({
      host: lab.server.socketDir,
      port: lab.server.port,
      database,
      user: 'postgres',
      password: '',
      sslmode: 'disable',
    });
    const request = (section: Section, more: Partial<DumpRequest> = {}): DumpRequest => ({
      login: login(),
      role: 'postgres',
      snapshot,
      section,
      serverMajor: version,
      ...more,
    });

    before(async () => {
      lab = await startDumpLab(version);
      await lab.admin.query('begin isolation level repeatable read read only');
      snapshot = (await lab.admin.query('select pg_export_snapshot() as name')).rows[0].name;
    });
    after(() => lab?.stop());

    /** Native pg_dump 15 of a PostgreSQL 15, sections without data. */
    const native = (database: string): string => {
      const args = [
        '-h',
        lab.server.socketDir,
        '-p',
        String(lab.server.port),
        '-U',
        'postgres',
        '-d',
        database,
        '--quote-all-identifiers',
        '-B',
      ];
      return ['pre-data', 'post-data']
        .map((section) => execFileSync(clientTool('pg_dump'), [...args, `--section=${section}`], { encoding: 'utf8', maxBuffer: 1 << 28 }))
        .join('');
    };

    // Debian has no pg_dump that reads an 18; there the round trip below is the proof.
    if (version === 15) {
      test('WebAssembly pg_dump says what a native one says', async () => {
        const wasm =
          (await dumpSchema(request('pre-data'), { signal: never, runner: 'wasm' })) +
          (await dumpSchema(request('post-data'), { signal: never, runner: 'wasm' }));
        assert.deepEqual(versionStyle(wasm), versionStyle(native('rich')));
      });
    }

    test('what was dumped makes a database whose dump is the same', async () => {
      const dumpOf = async (database: string, runner: 'wasm', at: string): Promise<string> =>
        withoutColumnStamps(
          (await dumpSchema({ ...request('pre-data'), login: login(database), snapshot: at }, { signal: never, runner })) +
            (await dumpSchema({ ...request('post-data'), login: login(database), snapshot: at }, { signal: never, runner })),
        );
      const first = await dumpOf('rich', 'wasm', snapshot);
      lab.psql('postgres', '-c', 'create database again template template0');
      const file = join(lab.server.dataDir, '..', `again-${version}.sql`);
      // The user mapping's server and the like stand where they stood: what is restored is the text, as read and written again.
      writeFileSync(file, writeDump(readDump(first)).replaceAll('SET transaction_timeout = 0;', ''));
      lab.psql('again', '-f', file);
      const client = new pg.Client({ connectionString: lab.server.connectionString('again') });
      await client.connect();
      try {
        await client.query('begin isolation level repeatable read read only');
        const at = (await client.query('select pg_export_snapshot() as name')).rows[0].name;
        assert.equal(await dumpOf('again', 'wasm', at), first);
      } finally {
        await client.end();
      }
    });

    test('what was made after the snapshot is not in it', async () => {
      lab.psql('rich', '-c', 'create table shop.too_late ()');
      try {
        const sql = await dumpSchema(request('pre-data'), { signal: never, runner: 'wasm' });
        assert.ok(sql.includes('no_columns'));
        assert.ok(!sql.includes('too_late'));
      } finally {
        lab.psql('rich', '-c', 'drop table shop.too_late');
      }
    });

    test('entries begin at headers, and not at what only looks like one', async () => {
      const dump = readDump(await dumpSchema(request('pre-data'), { signal: never, runner: 'wasm' }));
      assert.deepEqual(
        dump.entries.filter(({ name }) => name.startsWith('fake')),
        [],
      );
      const hostile = dump.entries.find(({ name }) => name === 'hostile_text()')!;
      assert.equal(hostile.type, 'FUNCTION');
      assert.equal(hostile.owner, 'rich_owner');
      assert.match(hostile.statements[0]!, /DROP TABLE x/);
      const tables = (
        await lab.admin.query(`select relname from pg_class where relnamespace = 'shop'::regnamespace and relkind in ('r', 'p') order by 1`)
      ).rows;
      assert.deepEqual(
        dump.entries
          .filter(({ type, schema }) => type === 'TABLE' && schema === 'shop')
          .map(({ name }) => name)
          .sort(),
        tables.map(({ relname }) => relname).sort(),
      );
    });

    test('tables bring the types, functions, collations, extensions and schemas that they need, and no others', async () => {
      const tables = [
        { schema: 'shop', name: 'customer' },
        { schema: 'Odd "Schema" ü; Type: TABLE', name: 't' },
      ];
      const query = (text: string, values: readonly unknown[]) => lab.admin.query(text, [...values]);
      const pre = await dumpTableSchema({ ...request('pre-data'), tables }, query, { signal: never, runner: 'wasm' });
      const post = await dumpTableSchema({ ...request('post-data'), tables }, query, { signal: never, runner: 'wasm' });
      const names = readDump(pre).entries.map(({ type, name }) => `${type} ${name}`);
      for (const wanted of [
        'SCHEMA shop',
        'TYPE mood',
        'DOMAIN email',
        'DOMAIN positive',
        'TYPE address',
        'TYPE Weird.Type;',
        'EXTENSION hstore',
        'EXTENSION citext',
        'FUNCTION touch()',
        'TABLE customer',
      ])
        assert.ok(names.includes(wanted), `${wanted} is missing in ${names.join(', ')}`);
      for (const unwanted of ['TABLE orders', 'FUNCTION add(integer, integer)', 'TYPE price_range', 'EXTENSION postgres_fdw'])
        assert.ok(!names.includes(unwanted), unwanted);
      lab.psql('postgres', '-c', 'create database chosen template template0');
      const file = join(lab.server.dataDir, '..', `chosen-${version}.sql`);
      // A sequence that a default names is not the table's own: it is for whoever restores to say what happens then.
      writeFileSync(
        file,
        `create schema if not exists shop; create sequence shop.ticket;\n${pre}\n${post}`
          .replace('CREATE SCHEMA "shop";', '')
          .replaceAll('SET transaction_timeout = 0;', ''),
      );
      lab.psql('chosen', '-f', file);
      assert.equal(
        lab
          .psql('chosen', '-At', '-c', `select count(*) from pg_trigger where tgrelid = 'shop.customer'::regclass and not tgisinternal`)
          .trim(),
        '2',
      );
    });

    test('mistakes are told in pg_dump’s words, and a lost backend at once', async () => {
      await assert.rejects(
        dumpSchema({ ...request('pre-data'), snapshot: '00000003-0000001B-9' }, { signal: never, runner: 'wasm' }),
        (error: unknown) => {
          assert.ok(error instanceof PgPierError);
          assert.match(error.message, /pg_dump failed: .*snapshot/);
          return true;
        },
      );
      await assert.rejects(
        dumpSchema({ ...request('pre-data'), role: 'rich_reader' }, { signal: never, runner: 'wasm' }),
        /permission denied/,
      );
      const running = dumpSchema(request('pre-data'), { signal: never, runner: 'wasm' });
      const ended = assert.rejects(running, PgPierError);
      for (let tries = 0; tries < 200; tries++) {
        const { rows } = await pgQuery(
          lab,
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgpier pg_dump' and state is not null`,
        );
        if (rows.length > 0) break;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      await ended;
    });

    test('a cancelled dump ends in bounded time with the signal’s reason', async () => {
      const blocker = new pg.Client({ connectionString: lab.server.connectionString('rich') });
      await blocker.connect();
      await blocker.query('begin; lock table shop.customer in access exclusive mode');
      try {
        for (const runner of version === 15 ? (['wasm', 'native'] as const) : (['wasm'] as const)) {
          const abort = new AbortController();
          const running = dumpSchema(request('pre-data'), { signal: abort.signal, runner });
          setTimeout(() => abort.abort(new PgPierError('queryCanceled')), 700);
          await assert.rejects(running, { message: new PgPierError('queryCanceled').message });
        }
      } finally {
        await blocker.end();
      }
    });
  });
}

async function pgQuery(lab: DumpLab, text: string): Promise<pg.QueryResult> {
  const client = new pg.Client({ connectionString: lab.server.connectionString('postgres') });
  await client.connect();
  try {
    return await client.query(text);
  } finally {
    await client.end();
  }
}
