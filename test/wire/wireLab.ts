/** A PostgreSQL with the objects that wire scripts may use, and a way back to that state between two runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Postgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import type { Endpoint } from './wireSession.ts';

export interface WireLab {
  readonly postgres: Postgres;
  readonly bare: Endpoint;
  /** Startup parameters of a script's session. */
  readonly login: Record<string, string>;
  /** Waits until no session is left in the scripts' database, then empties it. @throws Error when a backend stays. */
  reset(): Promise<void>;
  /** Runs SQL as superuser on the scripts' database, past any proxy. */
  sql(text: string, values?: unknown[]): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

const ROLES = `
  do $$ begin create role app login; exception when duplicate_object then null; end $$;
  do $$ begin create role other login; exception when duplicate_object then null; end $$;`;

const EMPTY = `
  drop schema public cascade; create schema public; grant all on schema public to public;
  create table t (id int primary key, v text);
  create table wide (id int, filler text);
  create table deferred (id int unique deferrable initially deferred);
  create function noisy() returns void language plpgsql as $$ begin raise notice 'first'; raise warning 'second'; end $$;
  grant all on all tables in schema public to app, other;`;

export async function startWireLab(version: PostgresVersion, settings: Record<string, string> = {}): Promise<WireLab> {
  const postgres = await startPostgres({ version, settings });
  const admin = new pg.Client(postgres.connectionString());
  await admin.connect();
  await admin.query('create database wire');
  await admin.end();
  const client = new pg.Client(postgres.connectionString('wire'));
  client.on('error', () => {});
  await client.connect();
  await client.query(ROLES);
  const sql = async (text: string, values: unknown[] = []) => (await client.query(text, values.length ? values : undefined)).rows;
  return {
    postgres,
    bare: { path: `${postgres.socketDir}/.s.PGSQL.${postgres.port}` },
    login: { user: 'postgres', database: 'wire', application_name: 'wire' },
    sql,
    async reset() {
      const others = `select pid, state, left(query, 80) as query from pg_stat_activity
        where datname = 'wire' and pid <> pg_backend_pid() and backend_type = 'client backend'`;
      let left = await sql(others);
      for (let waited = 0; left.length && waited < 10_000; waited += 5) {
        await sleep(5);
        left = await sql(others);
      }
      if (left.length) {
        await sql(`select pg_terminate_backend(pid) from (${others}) x`);
        throw new Error(`sessions were left on the server: ${JSON.stringify(left)}`);
      }
      for (const { gid } of await sql(`select gid from pg_prepared_xacts where database = 'wire'`)) await sql(`rollback prepared '${gid}'`);
      await sql(EMPTY);
    },
    async stop() {
      await client.end();
      await postgres.stop();
    },
  };
}
