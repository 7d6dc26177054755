/** What two databases have in common, told by PostgreSQL and pg_dump. */
import pg from 'pg';
import { dumpSchema } from '../../jobs/dump/dump.ts';
import type { Postgres, PostgresVersion } from '../servers/postgres.ts';

async function inDatabase<T>(server: Postgres, database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: server.connectionString(database) });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

const relations = `select quote_ident(n.nspname) || '.' || quote_ident(relname) as name, relkind from pg_class c join pg_namespace n on n.oid = relnamespace
  where relkind in ('r', 'm', 'S') and n.nspname !~ '^(pg_|information_schema)' order by 1`;

/** For every table, materialized view and sequence a sum of its rows; and of all large objects. */
export function contentsOf(server: Postgres, database: string): Promise<Record<string, string>> {
  return inDatabase(server, database, async (client) => {
    const found: Record<string, string> = {};
    for (const { name, relkind } of (await client.query(relations)).rows) {
      const sum = `count(*) || ' ' || coalesce(md5(string_agg(t::text, E'\\n' order by t::text collate "C")), '')`;
      found[name] = (
        await client.query(`select ${sum} as sum from (select ${relkind === 'S' ? 'last_value, is_called' : '*'} from ${name}) t`)
      ).rows[0].sum;
    }
    const objects = await client.query(
      `select string_agg(oid || ' ' || md5(lo_get(oid)), ',' order by oid) as sum from pg_largeobject_metadata`,
    );
    return { ...found, 'large objects': objects.rows[0].sum };
  });
}

/**
 * pg_dump's text of the schema, owners and privileges included. PostgreSQL 15.20 gives each column an option `pg_attver` with a number of its own, which no
 * copy shares.
 */
export function schemaOf(server: Postgres, version: PostgresVersion, database: string): Promise<string> {
  return inDatabase(server, database, async (client) => {
    await client.query('begin isolation level repeatable read read only');
    const snapshot = (await client.query('select pg_export_snapshot() as name')).rows[0].name;
    const login = { host: server.socketDir, port: server.port, database, user: 'postgres', password: '', sslmode: 'disable' } as const;
    const dump = (section: 'pre-data' | 'post-data'): Promise<string> =>
      dumpSchema(
        { login, role: 'postgres', snapshot, section, serverMajor: version },
        { signal: new AbortController().signal, runner: 'wasm' },
      );
    return ((await dump('pre-data')) + (await dump('post-data'))).replaceAll(/ SET \(pg_attver=\d+/g, ' SET (pg_attver=N');
  });
}
