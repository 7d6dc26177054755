/** A server with the rich schema in it, and what the tests of dumps and backups share. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { type Postgres, type PostgresVersion, postgresBin, startPostgres } from '../servers/postgres.ts';

export const richSchemaFile = fileURLToPath(new URL('./richSchema.sql', import.meta.url));

/** Tools of PostgreSQL 15: psql speaks with newer servers too. */
export const clientTool = (name: 'psql' | 'pg_dump' | 'pg_restore'): string => `${postgresBin(15)}/${name}`;

export interface DumpLab {
  readonly server: Postgres;
  readonly admin: pg.Client;
  /** Runs psql; throws with what it said. */
  psql(database: string, ...args: string[]): string;
  stop(): Promise<void>;
}

/** A database `rich` made by richSchema.sql, roles rich_owner and rich_reader; `admin` is connected to it as superuser. */
export async function startDumpLab(version: PostgresVersion): Promise<DumpLab> {
  const server = await startPostgres({ version, settings: { wal_level: 'logical' } });
  const psql = (database: string, ...args: string[]) => {
    const to = ['-h', server.socketDir, '-p', String(server.port), '-U', 'postgres', '-d', database];
    return execFileSync(clientTool('psql'), ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...to, ...args], {
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
  };
  psql(
    'postgres',
    '-c',
    'create role rich_owner',
    '-c',
    'create role rich_reader',
    '-c',
    'create database rich template template0 encoding utf8',
  );
  psql('rich', '-f', richSchemaFile);
  if (version >= 18) {
    psql(
      'rich',
      '-c',
      `create table shop.virtual (a integer not null, b integer generated always as (a * 2) virtual, constraint soft check (a > 0) not enforced,
         valid daterange, primary key (a, valid without overlaps))`,
      '-c',
      `insert into shop.virtual (a, valid) values (1, '[2024-01-01, 2024-02-01)')`,
    );
  }
  const admin = new pg.Client({ connectionString: server.connectionString('rich') });
  await admin.connect();
  return {
    server,
    admin,
    psql,
    async stop() {
      await admin.end();
      await server.stop();
    },
  };
}
