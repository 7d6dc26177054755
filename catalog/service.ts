/** The proxy's own connections to PostgreSQL: pools with a fixed environment, and their failures in words a client may read. */
import pg from 'pg';
import { PgPierError } from '../errors.ts';
import type { Log } from './catalog.ts';
import './unreadable.ts';

/**
 * Queries under the service login: roles, pg_xact_status, job logins. search_path is empty: tables, functions and types are written with
 * their schema, and a plain operator can only be pg_catalog's.
 */
export interface Service {
  /**
   * Rows of one query. PostgreSQL's own refusals come as `pg.DatabaseError` with their SQLSTATE; a server that cannot be reached or does
   * not answer is `catalogUnavailable`.
   */
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly R[]>;
}

const connectTimeout = 5_000;
export const statementTimeout = 10_000;

/**
 * A login in parts. What a connection string says would win over everything beside it, the database and our fixed settings included, so it
 * is read once and only host, port, user, password, database and TLS are taken over.
 */
export function loginOf(config: pg.PoolConfig): pg.PoolConfig {
  if (config.connectionString === undefined) return config;
  const { host, port, user, password, database, ssl } = new pg.Client({ connectionString: config.connectionString });
  return { host, port, user, password: password ?? undefined, database, ssl };
}

/**
 * A pool whose sessions owe nothing to the environment or to a client: search_path empty, times bounded, application_name `pgpier`. It
 * connects when first asked and outlives restarts of the server: a broken idle connection is dropped and replaced.
 */
export function openPool(config: pg.PoolConfig, max: number, log: Log): pg.Pool {
  const pool = new pg.Pool({
    ...loginOf(config),
    application_name: 'pgpier',
    fallback_application_name: 'pgpier',
    options: '-c search_path= -c default_transaction_read_only=off -c default_transaction_isolation=read\\ committed -c row_security=off',
    connectionTimeoutMillis: connectTimeout,
    statement_timeout: statementTimeout,
    query_timeout: statementTimeout + 2_000,
    lock_timeout: 1_000,
    idle_in_transaction_session_timeout: 900_000,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    max,
    allowExitOnIdle: true,
  });
  pool.on('error', (error) => log.warn({ reason: reasonOf(error) }, 'a connection of the service login was lost'));
  // The pool hears of idle connections alone. One that is lost while it is lent out tells its next query; unheard, its event would end the process.
  pool.on('connect', (client) => client.on('error', () => {}));
  return pool;
}

/** The pool as a `Service`. */
export function serviceOf(pool: pg.Pool, log: Log): Service {
  return {
    async query<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<readonly R[]> {
      try {
        return (await pool.query<R>(text, [...values])).rows;
      } catch (error) {
        throw isUnreachable(error) ? unavailable(error, log) : error;
      }
    },
  };
}

/** Classes of SQLSTATE that tell of the server's state or of the login, not of the statement. */
const serverStates = new Set(['08', '28', '3D', '53', '57', '58', 'XX']);

/** Whether the server could not be reached, let in, or could not work; false for what it refuses about the statement itself. */
export function isUnreachable(error: unknown): boolean {
  if (error instanceof PgPierError) return false;
  if (error instanceof pg.DatabaseError) return serverStates.has((error.code ?? '').slice(0, 2));
  return error instanceof Error && !(error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError);
}

/**
 * 57P03 rather than 08006: class 08 speaks of the client's own connection, which is in order, and pools throw connections away on it.
 * The reason given to the client is a code alone; the log has the text.
 */
export function unavailable(error: unknown, log: Log): PgPierError {
  log.error({ reason: reasonOf(error), message: error instanceof Error ? error.message : String(error) }, 'the catalog is not available');
  return new PgPierError('catalogUnavailable', { reason: reasonOf(error) });
}

function reasonOf(error: unknown): string {
  const code = error instanceof Error ? (error as Error & { code?: unknown }).code : undefined;
  if (typeof code === 'string' && code !== '') return code;
  return error instanceof Error && /timeout/i.test(error.message) ? 'timeout' : 'connection lost';
}
