/**
 * The session that holds a backup of one database together: an ACCESS SHARE lock on every table from before the snapshot to the end, so that none
 * is dropped, truncated or rewritten meanwhile, and the snapshot that all others read in.
 */
import { PgPierError } from '../../errors.ts';
import type { BackendSession } from '../backendLogin.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';
import { type BackupAccess, openAsAsker } from './backupSession.ts';
import { listTables, type SourceTable, type WantedTable } from './contents.ts';

export interface Leader {
  readonly session: BackendSession;
  readonly access: BackupAccess;
  /** As pg_export_snapshot() says. */
  readonly snapshot: string;
  readonly tables: readonly SourceTable[];
  /** ISO 8601, microseconds, UTC, the server's clock. */
  readonly time: string;
}

/** Tables made or dropped between the look and the lock: look again. A server on which that goes on is told. */
const ATTEMPTS = 10;
/** LOCK TABLE takes many at once; a text of ten thousand names is still one. */
const LOCKED_AT_ONCE = 1000;
const LOCK_MS = 60_000;

/**
 * @param resolve which tables; absent: all
 * @throws PgPierError 42501 for a table that the asker may not read, 42P01 for one that is not there, 55P03 for one that stays locked
 */
export async function startLeader(
  access: BackupAccess,
  resolve: ((session: BackendSession) => Promise<WantedTable[]>) | undefined,
  signal: AbortSignal,
): Promise<Leader> {
  const session = await openAsAsker(access, signal);
  try {
    for (let attempt = 1; ; attempt++) {
      signal.throwIfAborted();
      // Already asking a table for its size waits for who is changing it.
      await session.query(`set lock_timeout = '${LOCK_MS}ms'`);
      const wanted = await resolve?.(session);
      const before = await listTables(session, wanted).catch(toldLocked);
      requireReadable(before, access.role);
      await session.query('begin isolation level repeatable read read only');
      if (!(await lockAll(session, before))) {
        await session.query('rollback');
        if (attempt === ATTEMPTS) throw new PgPierError('backupTablesChange');
        continue;
      }
      // The first query of the transaction takes its snapshot: from here on what is seen is locked.
      const { rows } = await session.query(
        `select pg_export_snapshot() as snapshot, to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
      );
      const tables = await listTables(session, wanted).catch(toldLocked);
      await session.query('set lock_timeout = 0');
      if (sameTables(before, tables)) return { session, access, tables, ...rows[0] };
      await session.query('rollback');
      if (attempt === ATTEMPTS) throw new PgPierError('backupTablesChange');
    }
  } catch (error) {
    session.abandon();
    signal.throwIfAborted();
    throw error;
  }
}

function requireReadable(tables: readonly SourceTable[], role: string): void {
  const hidden = tables.find(({ readable }) => !readable);
  if (hidden !== undefined)
    throw new PgPierError(
      'backupSelectDenied',
      { role, name: hidden.name },
      { hint: `GRANT SELECT ON ${quoted(hidden)} TO ${quoteIdentifier(role)}` },
    );
}

/** False when a table has gone since it was listed. */
async function lockAll(session: BackendSession, tables: readonly SourceTable[]): Promise<boolean> {
  try {
    for (let at = 0; at < tables.length; at += LOCKED_AT_ONCE) {
      const some = tables.slice(at, at + LOCKED_AT_ONCE).map((table) => `only ${quoted(table)}`);
      await session.query(`lock table ${some.join(', ')} in access share mode`);
    }
  } catch (error) {
    if (!(error instanceof PgPierError)) throw error;
    const { sqlstate } = error.data;
    if (sqlstate === '42P01' || sqlstate === '3F000') return false;
    if (sqlstate === '53200')
      throw PgPierError.from({
        ...error.data,
        hint: `A backup locks every table: raise max_locks_per_transaction (there are ${tables.length} tables).`,
      });
    return toldLocked(error);
  }
  return true;
}

function toldLocked(error: unknown): never {
  if (error instanceof PgPierError && error.data.sqlstate === '55P03')
    throw new PgPierError('backupTableLocked', { seconds: LOCK_MS / 1000 });
  throw error;
}

function sameTables(before: readonly SourceTable[], after: readonly SourceTable[]): boolean {
  const shape = (tables: readonly SourceTable[]): string =>
    JSON.stringify(tables.map(({ oid, schema, name, columns }) => [oid, schema, name, columns]));
  return shape(before) === shape(after);
}

/** Whether another session waits for a lock on a table here, and so, since the leader holds them all, for the backup. */
export async function isWaitedFor(session: BackendSession): Promise<boolean> {
  const { rows } = await session.query(
    `select exists (select from pg_locks l where not l.granted and l.locktype = 'relation'
      and l.database = (select d.oid from pg_database d where d.datname = current_database())) as waits`,
  );
  return rows[0].waits;
}

export function quoted({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;
}
