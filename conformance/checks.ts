/** Every check, in the order in which they run. */
import type { Check } from './check.ts';
import { asyncpg } from './checks/asyncpg.ts';
import { dump } from './checks/dump.ts';
import { nodePostgres } from './checks/nodePostgres.ts';
import { pgbench } from './checks/pgbench.ts';
import { pgjdbc } from './checks/pgjdbc.ts';
import { pgx, pgxTls } from './checks/pgx.ts';
import { postgresJs } from './checks/postgresJs.ts';
import { psql } from './checks/psql.ts';
import { psycopg, psycopgTls } from './checks/psycopg.ts';
import { regress } from './checks/regress.ts';
import { replication } from './checks/replication.ts';
import { tokioPostgres } from './checks/tokioPostgres.ts';

export const checks: readonly Check[] = [
  psql,
  pgbench,
  dump,
  replication,
  regress,
  pgx,
  pgxTls,
  asyncpg,
  pgjdbc,
  tokioPostgres,
  psycopg,
  psycopgTls,
  nodePostgres,
  postgresJs,
];
