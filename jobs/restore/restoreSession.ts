/** A connection that restores: logged in as the job, in the asker's role, set up as pg_dump's own text wants it. */
import { PgPierError } from '../../errors.ts';
import { type BackendSession, openBackendSession } from '../backendLogin.ts';
import type { BackendLogin } from '../task.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';

export interface RestoreSession extends BackendSession {
  readonly database: string;
  /**
   * One statement as the asker, whatever code of the backup (in an index, a domain) did to the session's role before: `set_config('role', 'none')`
   * would make the job's login the owner of what comes next.
   */
  asAsker(text: string): Promise<void>;
  /** What such code made as the job's login in this database becomes the asker's; else the login could not be dropped. */
  handOver(): Promise<void>;
}

const settings: Readonly<Record<string, string>> = {
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  transaction_timeout: '0',
  idle_session_timeout: '0',
  standard_conforming_strings: 'on',
  check_function_bodies: 'off',
  xmloption: 'content',
  client_min_messages: 'error',
  row_security: 'off',
  search_path: '',
  default_tablespace: '',
  // How the values were written (backupSession.ts). A database's own settings count where tables are restored into it.
  lc_monetary: 'C',
  array_nulls: 'on',
  transform_null_equals: 'off',
  // As pg_dump's headers have it: the types in a function's name are quoted, `f("text")`.
  quote_all_identifiers: 'on',
  default_transaction_read_only: 'off',
  // The transaction that gives the restored database its name waits for the disk, and with it for all before.
  synchronous_commit: 'off',
};

const setWhereKnown =
  'select pg_catalog.set_config(w.name, w.value, false) from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) ' +
  'as w (name, value) where exists (select from pg_catalog.pg_settings s where s.name operator(pg_catalog.=) w.name)';

/** The session ends, and with it what it runs, when the signal aborts. */
export async function openRestoreSession(
  login: BackendLogin,
  database: string,
  role: string,
  jobId: string,
  signal: AbortSignal,
): Promise<RestoreSession> {
  const session = await openBackendSession({ ...login, database }, `RESTORE ${jobId}`, signal);
  const abandon = (): void => session.abandon();
  signal.addEventListener('abort', abandon, { once: true });
  try {
    signal.throwIfAborted();
    await session.query(`set role ${quoteIdentifier(role)}`);
    await session.query(setWhereKnown, [Object.keys(settings), Object.values(settings)]);
    await session.query("select pg_catalog.set_config('client_connection_check_interval', '5s', false)").catch(() => {});
    // As backupSession.ts reads: UTF8, but for SQL_ASCII, whose bytes may be none.
    await session.query(
      "select pg_catalog.set_config('client_encoding', case pg_catalog.current_setting('server_encoding') when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end, false)",
    );
  } catch (error) {
    session.abandon();
    signal.throwIfAborted();
    throw error;
  }
  const query: RestoreSession['query'] = async (text, values) => {
    try {
      return await session.query(text, values);
    } catch (error) {
      signal.throwIfAborted();
      throw error;
    }
  };
  const become = `set role ${quoteIdentifier(role)}`;
  const user = quoteIdentifier(login.user);
  return {
    ...session,
    database,
    query,
    async asAsker(text) {
      await query(`${become};\n${text}`);
    },
    async handOver() {
      await query(`set role none; reassign owned by ${user} to ${quoteIdentifier(role)}; drop owned by ${user}; ${become}`);
    },
    async close() {
      signal.removeEventListener('abort', abandon);
      await session.close();
    },
  };
}

/** PostgreSQL's error with what it was about in front. */
export function about(what: string, error: unknown): unknown {
  if (!(error instanceof PgPierError) || error.data.sqlstate === '57014') return error;
  return PgPierError.from({ ...error.data, message: `${what}: ${error.data.message}` });
}
