/** What is asked of the client's own session: who asks, and under which subtransaction a change shall count (own statements §3). */
import type { Asker } from '../../commands/command.ts';

/** Settings that shape what a job writes, so that its session can be given the same. */
const carriedSettings = [
  'search_path',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'bytea_output',
  'extra_float_digits',
  'lc_monetary',
  'lc_numeric',
  'xmlbinary',
  'row_security',
  'standard_conforming_strings',
] as const;

/** Ours; unknown to PostgreSQL until a client sets it. */
const showSecretsSetting = 'pgpier.show_secrets';

const setting = (name: string): string => `pg_catalog.current_setting('${name}')`;

/** Every name and type with its schema: a hostile search_path changes nothing (pitfall 14). */
export const askerQuery = `select current_user, session_user, pg_catalog.current_database(), ${setting('transaction_read_only')}, ${setting('client_min_messages')}, pg_catalog.date_part('epoch', ${setting('statement_timeout')}::pg_catalog.interval), ${carriedSettings.map(setting).join(', ')}, pg_catalog.current_setting('${showSecretsSetting}', true)`;

export interface SessionState {
  readonly asker: Asker;
  readonly readOnly: boolean;
  readonly clientMinMessages: string;
  /** Milliseconds; 0: none. */
  readonly statementTimeout: number;
}

export function readSessionState(row: readonly (string | null)[]): SessionState {
  const [role, sessionUser, database, readOnly, clientMinMessages, timeout, ...values] = row.map((value) => value ?? '');
  const showSecrets = values[carriedSettings.length];
  const settings = Object.fromEntries(carriedSettings.map((name, index) => [name, values[index] ?? '']));
  return {
    asker: {
      role: role!,
      sessionUser: sessionUser!,
      database: database!,
      searchPath: settings.search_path!,
      settings: showSecrets ? { ...settings, [showSecretsSetting]: showSecrets } : settings,
    },
    readOnly: readOnly === 'on',
    clientMinMessages: clientMinMessages!,
    statementTimeout: Math.round(Number(timeout) * 1000),
  };
}

/**
 * Gives the current subtransaction an id and tells it: the top-level id as xid8, and the youngest id held, which is the current subtransaction's, as xid.
 * Right under SAVEPOINT, ROLLBACK TO, CHAIN, PREPARE TRANSACTION and a crash, where a setting or a lock would not be (own statements §3, the table).
 */
export const markQuery = `select pg_catalog.pg_current_xact_id()::pg_catalog.text, l.x from pg_catalog.pg_logical_emit_message(true, 'pgpier', '') m, lateral (select k.transactionid::pg_catalog.text as x from pg_catalog.pg_locks k where m is not null and k.locktype operator(pg_catalog.=) 'transactionid' and k.granted and k.pid operator(pg_catalog.=) pg_catalog.pg_backend_pid() order by pg_catalog.age(k.transactionid) limit 1) l`;

/** The xid8 of the current subtransaction, as decimal text. */
export function readMark(row: readonly (string | null)[]): string {
  const top = BigInt(row[0]!);
  const sub = BigInt(row[1]!);
  return String(top + BigInt.asUintN(32, sub - BigInt.asUintN(32, top)));
}
