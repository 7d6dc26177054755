/** A session that reads for a backup: the asker's rights, the settings of pg_dump, and no timeout that could end it. */
import { PgPierError } from '../../errors.ts';
import { type BackendSession, openBackendSession } from '../backendLogin.ts';
import type { BackendLogin } from '../task.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';

/** Where and as whom the sessions of one backup read; crosses to reader threads. */
export interface BackupAccess {
  /** The job's own login, a member of `role` alone. */
  readonly login: BackendLogin;
  /** The asker. */
  readonly role: string;
  /** `BACKUP <job id>`; in application_name and in errors. */
  readonly task: string;
}

/**
 * Of settings that are not known to every server, those that are. The timeouts are the job's own to decide; the rest makes the text of values
 * the same whatever the server's defaults are, as pg_dump does. An empty search_path leaves pg_catalog alone to be searched, so the queries of
 * this folder write its operators and functions plainly.
 */
const settings: readonly (readonly [name: string, value: string])[] = [
  ['search_path', ''],
  ['statement_timeout', '0'],
  ['idle_in_transaction_session_timeout', '0'],
  ['transaction_timeout', '0'],
  ['idle_session_timeout', '0'],
  ['row_security', 'off'],
  ['datestyle', 'ISO'],
  ['intervalstyle', 'postgres'],
  ['bytea_output', 'hex'],
  ['extra_float_digits', '3'],
  ['xmloption', 'content'],
  // Values of type money: RESTORE reads them under C too, before the database has the settings that it had.
  ['lc_monetary', 'C'],
  ['quote_all_identifiers', 'off'],
  ['standard_conforming_strings', 'on'],
  ['synchronize_seqscans', 'off'],
  ['jit', 'off'],
  ['default_transaction_deferrable', 'off'],
  // A worker that vanished without a word (its machine lost power) must not hold locks for the two hours of the usual default.
  ['tcp_keepalives_idle', '60'],
  ['tcp_keepalives_interval', '10'],
  ['tcp_keepalives_count', '6'],
];

/**
 * Logged in, and become the asker. When the signal aborts, the session ends and with it what it runs: a query that waits for a lock too.
 * @throws PgPierError of the login, of SET ROLE
 */
export async function openAsAsker({ login, role, task }: BackupAccess, signal: AbortSignal): Promise<BackendSession> {
  const session = await openBackendSession(login, task, signal);
  const abandon = () => session.abandon();
  signal.addEventListener('abort', abandon, { once: true });
  session.lost.catch(() => signal.removeEventListener('abort', abandon));
  try {
    signal.throwIfAborted();
    await session.query(
      'select pg_catalog.set_config(s.name, s.value, false) from rows from (pg_catalog.unnest($1::pg_catalog.text[]), ' +
        'pg_catalog.unnest($2::pg_catalog.text[])) as s (name, value) where exists (select from pg_catalog.pg_settings p ' +
        'where p.name operator(pg_catalog.=) pg_catalog.lower(s.name))',
      [settings.map(([name]) => name), settings.map(([, value]) => value)],
    );
    // Where the server can, it looks every few seconds whether this process still lives, and ends the query if not.
    await session.query("select set_config('client_connection_check_interval', '5s', false)").catch((error) => {
      if (!(error instanceof PgPierError) || !['22023', '42704'].includes(error.data.sqlstate)) throw error;
    });
    // UTF8 whatever the database's encoding, but for SQL_ASCII, whose bytes nobody can convert and which may be none.
    await session.query(
      `select set_config('client_encoding', case current_setting('server_encoding') when 'SQL_ASCII' then 'SQL_ASCII' else 'UTF8' end, false)`,
    );
    await session.query(`set role ${quoteIdentifier(role)}`);
    return session;
  } catch (error) {
    session.abandon();
    throw error;
  }
}

/** The session reads in the leader's snapshot from now on. */
export async function enterSnapshot(session: BackendSession, snapshot: string): Promise<void> {
  await session.query('begin isolation level repeatable read read only');
  await session.query(`set transaction snapshot '${snapshot.replaceAll("'", "''")}'`);
}
