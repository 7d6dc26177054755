/**
 * Pending changes: what became of the client transactions that made them (spec: own statements, the marker). Every catalog transaction
 * asks first, reads with the answers, and leaves the rows settled behind it; normally there are none.
 */
import pg from 'pg';
import type { Log } from './catalog.ts';
import type { Service } from './service.ts';

/** Anything that runs a query on the catalog's database. */
export interface Queryable {
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>;
}

/** Transaction ids that stand in unsettled rows and have ended; those still in progress are in neither list. */
export interface Outcomes {
  readonly committed: readonly string[];
  readonly aborted: readonly string[];
}

/** Jobs are not dropped: they end. */
const tables = [
  { table: 'pgpier.external_connection', key: 'connection_id', dropped: true },
  { table: 'pgpier.connection_uri', key: 'uri_id', dropped: true },
  { table: 'pgpier.privilege', key: 'privilege_id', dropped: true },
  { table: 'pgpier.job', key: 'job_id', dropped: false },
] as const;

const unsettled = tables
  .flatMap(({ table, dropped }) => [
    `select created_xid as xid from ${table} where created_xid is not null`,
    ...(dropped ? [`select dropped_xid from ${table} where dropped_xid is not null`] : []),
  ])
  .join(' union ');

/** Looks up the unsettled rows and asks the client's cluster about them. */
export async function outcomesOf(catalog: Queryable, service: Service, log: Log): Promise<Outcomes> {
  const { rows } = await catalog.query(`select u.xid::pg_catalog.text as xid from (${unsettled}) u`);
  if (rows.length === 0) return { committed: [], aborted: [] };
  return askOutcomes(
    rows.map((row) => row.xid),
    service,
    log,
  );
}

/**
 * A transaction may end between the answers for two of its ids. Once one id has an answer, asking again gives the answer for all, because
 * PostgreSQL takes a transaction with its subtransactions out of the running ones at once; so the rest are asked until nothing changes.
 */
async function askOutcomes(xids: readonly string[], service: Service, log: Log): Promise<Outcomes> {
  const committed: string[] = [];
  const aborted: string[] = [];
  let open = xids;
  for (;;) {
    const status = await statusOf(open, service, log);
    const ended = open.filter((xid) => status.get(xid) !== 'in progress');
    for (const xid of ended) (status.get(xid) === 'committed' ? committed : aborted).push(xid);
    open = open.filter((xid) => status.get(xid) === 'in progress');
    if (ended.length === 0 || open.length === 0) return { committed, aborted };
  }
}

type Status = 'in progress' | 'committed' | 'aborted';

async function statusOf(xids: readonly string[], service: Service, log: Log): Promise<Map<string, Status>> {
  const text = `select x as xid, pg_catalog.pg_xact_status(x::pg_catalog.xid8) as status from pg_catalog.unnest($1::pg_catalog.text[]) x`;
  try {
    const rows = await service.query<{ xid: string; status: Status | null }>(text, [xids]);
    return new Map(rows.map(({ xid, status }) => [xid, status ?? lost(xid, 'the commit log no longer tells', log)]));
  } catch (error) {
    if (!(error instanceof pg.DatabaseError && error.code === '22023')) throw error;
    // An id from the future, of a cluster that was put back to an earlier state: that transaction never was. One such id spoils the
    // question for all, so each is asked alone.
    if (xids.length === 1) return new Map([[xids[0]!, lost(xids[0]!, 'the cluster has not reached it', log)]]);
    const single = await Promise.all(xids.map(async (xid) => statusOf([xid], service, log)));
    return new Map(single.flatMap((status) => [...status]));
  }
}

function lost(xid: string, reason: string, log: Log): Status {
  log.warn({ xid, reason }, 'the outcome of a transaction cannot be known: its pending changes are undone');
  return 'aborted';
}

/**
 * Makes committed changes plain rows and removes aborted ones. Rows that another catalog transaction holds are left for later; a failure
 * is logged alone, since every reader goes by the outcomes and not by what is settled.
 */
export async function settle(catalog: Queryable, { committed, aborted }: Outcomes, log: Log): Promise<void> {
  if (committed.length === 0 && aborted.length === 0) return;
  try {
    for (const { table, key, dropped } of tables) {
      const free = (condition: string) => `${key} = any(array(select ${key} from ${table} where ${condition} for update skip locked))`;
      // Ends first: a name that was dropped and made again in one transaction has to be free before the new one takes it.
      await catalog.query(`delete from ${table} where ${free('created_xid = any($1::pg_catalog.xid8[])')}`, [aborted]);
      if (dropped) {
        const ended = 'dropped_xid = any($1::pg_catalog.xid8[])';
        await catalog.query(`delete from ${table} where ${free(ended)}`, [committed]);
        await catalog.query(`update ${table} set dropped_xid = null, dropped_session = null where ${free(ended)}`, [aborted]);
      }
      const arrived = 'created_xid = any($1::pg_catalog.xid8[])';
      await catalog.query(`update ${table} set created_xid = null, created_session = null where ${free(arrived)}`, [committed]);
    }
  } catch (error) {
    log.warn({ error: String(error) }, 'pending changes could not be settled; they are read by their outcome');
  }
}

/**
 * The condition under which a row of `alias` exists for a session. It takes the statement's first three parameters: the session, the
 * committed and the aborted ids.
 */
export function exists(alias: string): string {
  const a = alias;
  return `(${arrived(a)}
    and (${a}.dropped_xid is null or ${a}.dropped_xid = any($3::pg_catalog.xid8[])
      or (${a}.dropped_session <> $1::pg_catalog.uuid and not ${a}.dropped_xid = any($2::pg_catalog.xid8[]))))`;
}

/** The first half of `exists`, with the same three parameters. */
export function arrived(alias: string): string {
  const a = alias;
  return `(${a}.created_xid is null or ${a}.created_xid = any($2::pg_catalog.xid8[])
      or (${a}.created_session = $1::pg_catalog.uuid and not ${a}.created_xid = any($3::pg_catalog.xid8[])))`;
}

/** The condition under which a row is subject to a change that has not ended: another session's, or one of a prepared transaction. */
export function pendingElsewhere(alias: string, ownPendingCounts: boolean): string {
  const a = alias;
  const open = (end: 'created' | 'dropped') =>
    `(${a}.${end}_xid is not null and not ${a}.${end}_xid = any($2::pg_catalog.xid8[]) and not ${a}.${end}_xid = any($3::pg_catalog.xid8[])
      and (${ownPendingCounts ? 'true or ' : ''}${a}.${end}_session <> $1::pg_catalog.uuid))`;
  return `(${open('created')} or ${open('dropped')})`;
}
