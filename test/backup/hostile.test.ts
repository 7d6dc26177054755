/** A database whose owner wants more than his rights: backed up by a superuser, restored by an ordinary role. Through the proxy. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

/** What code of a stranger tries, each try by itself; what works is told in the server's log, which no rollback takes back. */
const attempts = (file: string): string[] => [
  `perform set_config('role', 'none', false)`,
  `execute format('create table if not exists public.%I (a int)', 'left by ' || session_user)`,
  `execute format('grant select on all tables in schema public to %I', session_user)`,
  `execute 'set session authorization postgres'`,
  `execute 'set role postgres'`,
  `execute 'alter role hank superuser'`,
  `execute 'alter role max superuser'`,
  `execute format('alter role %I superuser', session_user)`,
  `execute format('alter role %I createrole', session_user)`,
  `execute format('alter role %I valid until ''infinity''', session_user)`,
  `execute 'create role gained superuser login'`,
  `execute 'create role gained login'`,
  `execute 'grant postgres to hank'`,
  `execute 'grant pg_read_all_data to hank'`,
  `execute 'grant pg_execute_server_program to hank'`,
  `execute 'alter system set work_mem = ''64kB'''`,
  `execute 'alter database postgres owner to hank'`,
  `execute 'copy (select 1) to program ''touch ${file}'''`,
  `execute 'copy (select 1) to ''${file}'''`,
  `perform pg_read_file('/etc/passwd')`,
  `perform lo_import('/etc/passwd')`,
  `perform count(*) from pg_authid`,
  `execute 'update pg_authid set rolsuper = true'`,
  `execute 'load ''${file}'''`,
];

const hostileFunction = (file: string): string => `
  create function public.evil(what text) returns text language plpgsql immutable as $evil$
  begin
    raise log 'EVIL RUNS as % of % for %', current_user, session_user, what;
    ${attempts(file)
      .map(
        (attempt, index) => `
    begin ${attempt}; ${index < 3 ? '' : `raise log 'GAINED % as % of %', ${index}, current_user, session_user;`}
    exception when others then null; end;`,
      )
      .join('')}
    return what;
  end $evil$;
  create function public.evil_trigger() returns trigger language plpgsql as $$ begin perform public.evil('trigger'); return new; end $$;
  create function public.evil_policy() returns boolean language plpgsql as $$ begin perform public.evil('policy'); return true; end $$;
  create function public.evil_equal(oid, oid) returns boolean language plpgsql as $$ begin perform public.evil('operator'); return true; end $$;
  create function public.evil_equal(text, text) returns boolean language plpgsql as $$ begin perform public.evil('operator'); return true; end $$;
  create function public.evil_equal(name, text) returns boolean language plpgsql as $$ begin perform public.evil('operator'); return true; end $$;
  create operator public.= (leftarg = oid, rightarg = oid, procedure = public.evil_equal);
  create operator public.= (leftarg = text, rightarg = text, procedure = public.evil_equal);
  create operator public.= (leftarg = name, rightarg = text, procedure = public.evil_equal);
  create function public.set_config(text, text, boolean) returns text language sql as $$ select public.evil('set_config') $$;
  create function public.current_setting(text) returns text language sql as $$ select public.evil('current_setting') $$;
  create function public.pg_export_snapshot() returns text language sql as $$ select public.evil('snapshot') $$;
  create domain public.careful as text check (public.evil(value) is not null);
  create table public.victim (
    id int primary key, name text default public.evil('default'), made text generated always as (public.evil(name)) stored,
    guarded public.careful, constraint checked check (public.evil('check') is not null));
  insert into public.victim (id, name, guarded) values (1, 'a', 'x'), (2, 'b', 'y');
  create index victim_evil on public.victim (public.evil(name)) where public.evil('where') is not null;
  create statistics public.victim_statistics on public.evil(name), id from public.victim;
  create trigger victim_trigger before insert on public.victim for each row execute function public.evil_trigger();
  alter table public.victim enable always trigger victim_trigger;
  create rule victim_rule as on delete to public.victim do also select public.evil('rule');
  alter table public.victim enable row level security;
  alter table public.victim force row level security;
  create policy victim_policy on public.victim using (public.evil_policy());
  create view public.victim_view as select public.evil('view') as what;
  create materialized view public.victim_matview as select public.evil('matview') as what;
  create table public.parts (id int, region text) partition by list (public.evil(region));
  create table public.parts_a partition of public.parts for values in ('a');
  insert into public.parts values (1, 'a');
  create sequence public."odd ""); select public.evil('sequence'); --";
  create table public."odd ""); select public.evil('table'); --" ("odd ""); select public.evil('column'); --" int default 1);
  insert into public."odd ""); select public.evil('table'); --" values (7);
  comment on table public.victim is $$'; select public.evil('comment'); --$$;
  select lo_create(77);
  alter database prey set search_path to public, pg_catalog;
  alter database prey set datestyle to 'SQL, DMY';
  alter database prey set bytea_output to 'escape';
  alter database prey set statement_timeout to '1ms';
  alter database prey set default_transaction_read_only to on;
  alter database prey set lock_timeout to '1ms'`;

for (const version of [15, 18] as const) {
  describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let pgpier: Pgpier;
    let file: string;
    const clients: pg.Client[] = [];
    const connect = async (url: string): Promise<pg.Client> => {
      const client = new pg.Client({ connectionString: url, options: '-c statement_timeout=0 -c search_path=pg_catalog' });
      client.on('error', () => {});
      // Also of these databases, whose own settings are a trap too.
      await client.connect();
      clients.push(client);
      return client;
    };
    const log = (): string => readFileSync(server.logFile, 'utf8');

    before(async () => {
      server = await startPostgres({ version });
      pgpier = await startPgpier({ backend: server });
      file = join(server.socketDir, 'gained');
      const admin = await connect(server.connectionString());
      await admin.query('create role hank login');
      await admin.query('create role max login createdb');
      await admin.query('create database prey owner hank');
      const hank = await connect(server.connectionString('prey', 'hank'));
      if (version >= 15) await (await connect(server.connectionString('prey'))).query('grant create on schema public to hank');
      await hank.query(hostileFunction(file));
      await hank.end();
    });
    after(async () => {
      for (const client of clients) await client.end().catch(() => {});
      await pgpier?.stop();
      await server?.stop();
    });

    const nothingGained = async (since: number): Promise<void> => {
      assert.deepEqual(
        log()
          .slice(since)
          .match(/GAINED.*/g) ?? [],
        [],
      );
      assert.equal(existsSync(file), false);
      const admin = await connect(server.connectionString());
      const { rows } = await admin.query(
        `select rolname from pg_roles where (rolsuper or rolcreaterole or rolname ~ '^pgpier_job_|^gained$') and rolname <> 'postgres'`,
      );
      assert.deepEqual(rows, []);
      const { rows: members } = await admin.query(
        `select from pg_auth_members m join pg_roles r on r.oid = m.member where r.rolname in ('hank', 'max')`,
      );
      assert.equal(members.length, 0);
    };

    test('a superuser’s BACKUP runs none of it', async () => {
      const since = log().length;
      const client = await connect(pgpier.connectionString('postgres'));
      await client.query(`create external connection shelf as 'nodelocal://1/shelf'`);
      await client.query('grant usage on external connection shelf to max');
      const { rows } = await client.query(`backup database prey into 'external://shelf'`);
      assert.equal(Number(rows[0].rows), 4);
      await client.query(`show backup from latest in 'external://shelf' with check_files`);
      await client.query(`backup table prey.public.* into 'external://shelf/tables'`);
      assert.deepEqual(
        log()
          .slice(since)
          .match(/EVIL RUNS.*/g) ?? [],
        [],
      );
      await nothingGained(since);
    });

    test('an ordinary role’s RESTORE runs it with that role’s rights, and all is that role’s afterwards', async () => {
      const since = log().length;
      const client = await connect(pgpier.connectionString('postgres', 'max'));
      const { rows } = await client.query(`restore database prey from latest in 'external://shelf' with new_db_name = 'hunted'`);
      assert.equal(Number(rows[0].rows), 4);
      const ran =
        log()
          .slice(since)
          .match(/EVIL RUNS.*/g) ?? [];
      assert.ok(ran.length > 0, 'the trap was none');
      assert.deepEqual(
        ran.filter((line) => !/as (max|pgpier_job_\w+) of pgpier_job_/.test(line)),
        [],
      );
      await nothingGained(since);
      const hunted = await connect(server.connectionString('hunted'));
      const { rows: owners } = await hunted.query(`select distinct pg_get_userbyid(relowner) as owner from pg_class
        where relnamespace = 'public'::regnamespace union select pg_get_userbyid(proowner) from pg_proc where pronamespace = 'public'::regnamespace`);
      assert.deepEqual(owners, [{ owner: 'max' }]);
      const { rows: values } = await hunted.query('select id, name, made, guarded from public.victim order by 1');
      assert.deepEqual(values, [
        { id: 1, name: 'a', made: 'a', guarded: 'x' },
        { id: 2, name: 'b', made: 'b', guarded: 'y' },
      ]);
    });

    test('so do tables in a database of theirs', async () => {
      const since = log().length;
      const client = await connect(pgpier.connectionString('postgres', 'max'));
      await client.query('create database own');
      const { rows } = await client.query(`restore table public.* from latest in 'external://shelf/tables' with into_db = 'own'`);
      assert.equal(Number(rows[0].rows), 4);
      const own = await connect(server.connectionString('own'));
      const { rows: owners } = await own.query(`select distinct pg_get_userbyid(relowner) as owner from pg_class
        where relnamespace = 'public'::regnamespace`);
      assert.deepEqual(owners, [{ owner: 'max' }]);
      await nothingGained(since);
    });
  });
}
