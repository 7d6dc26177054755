/** Makes the catalog's database and brings it up to date, whoever else is doing the same at this moment. */
import { readdir, readFile } from 'node:fs/promises';
import pg from 'pg';
import { PgPierError } from '../errors.ts';
import type { Log } from './catalog.ts';

export const catalogDatabase = 'pgpier';

/** One advisory lock for all proxies that prepare the same catalog ('pgpier' in ASCII). */
const migrationLock = '123580437455218';

const directory = new URL('./sql/', import.meta.url);

/** Migrations as numbered files, in order, without a gap. */
export async function readMigrations(): Promise<readonly { readonly number: number; readonly sql: string }[]> {
  const names = (await readdir(directory)).filter((name) => /^\d{6}\.sql$/.test(name)).sort();
  return Promise.all(
    names.map(async (name) => ({ number: Number(name.slice(0, 6)), sql: await readFile(new URL(name, directory), 'utf8') })),
  );
}

/** Asked on a connection to any database of the cluster. */
export async function createDatabase(service: pg.Pool, log: Log): Promise<void> {
  const { rowCount } = await service.query('select 1 from pg_catalog.pg_database where datname = $1', [catalogDatabase]);
  if (rowCount !== 0) return;
  try {
    // template0 and C: the same in every cluster, whatever its encoding and locale are, and names in the order of their characters.
    await service.query(`create database ${catalogDatabase} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`);
    log.info({ database: catalogDatabase }, 'made the database of the catalog');
  } catch (error) {
    // Another proxy was first: 42P04 before, 23505 at the same time.
    if (!(error instanceof pg.DatabaseError && (error.code === '42P04' || error.code === '23505'))) throw error;
  }
}

/**
 * Runs what is missing, in one transaction, on a connection to the catalog's own database. `ours`: the database is PgPier's alone, so
 * PUBLIC's right to enter it is taken away. Throws `catalogOwner`, `catalogNewer`.
 */
export async function migrate(client: pg.ClientBase, ours: boolean, log: Log): Promise<void> {
  const migrations = await readMigrations();
  await client.query(`select pg_catalog.pg_advisory_xact_lock(${migrationLock})`);
  await refuseForeignOwner(client, ours);
  const present = await client.query(`select pg_catalog.to_regclass('pgpier.migration') is not null as yes`);
  if (!present.rows[0].yes) {
    await client.query('create schema if not exists pgpier');
    await client.query('create table pgpier.migration (number integer primary key, applied timestamptz not null default pg_catalog.now())');
  }
  const { rows } = await client.query('select coalesce(pg_catalog.max(number), 0) as number from pgpier.migration');
  const reached: number = rows[0].number;
  const newest = migrations.at(-1)?.number ?? 0;
  if (reached > newest) throw new PgPierError('catalogNewer', { found: reached, known: newest });
  for (const { number, sql } of migrations.filter((migration) => migration.number > reached)) {
    await client.query(sql);
    await client.query('insert into pgpier.migration (number) values ($1)', [number]);
    log.info({ migration: number }, 'migrated the catalog');
  }
  if (ours) await closeToPublic(client);
}

/**
 * Whoever owns the database or the schema can read, forge and booby-trap what is in it (a trigger of theirs would run under the service
 * login), so it has to be the service role itself, or a superuser.
 */
async function refuseForeignOwner(client: pg.ClientBase, ours: boolean): Promise<void> {
  const { rows } = await client.query(`
    select 'schema' as what, r.rolname as owner from pg_catalog.pg_namespace n join pg_catalog.pg_roles r on r.oid = n.nspowner
      where n.nspname in ('pgpier', 'pgpier_queue') and not r.rolsuper and r.rolname <> current_user
    union all
    select 'database', r.rolname from pg_catalog.pg_database d join pg_catalog.pg_roles r on r.oid = d.datdba
      where ${ours ? 'true' : 'false'} and d.datname = pg_catalog.current_database()
        and not r.rolsuper and r.rolname <> current_user`);
  const found = rows[0];
  if (found !== undefined) throw new PgPierError('catalogOwner', { what: found.what, owner: found.owner });
}

async function closeToPublic(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query(`
    select pg_catalog.has_database_privilege(0::pg_catalog.oid, pg_catalog.current_database(), 'CONNECT')
        or pg_catalog.has_database_privilege(0::pg_catalog.oid, pg_catalog.current_database(), 'TEMPORARY') as open`);
  if (rows[0].open) await client.query(`revoke connect, temporary on database ${catalogDatabase} from public`);
}
