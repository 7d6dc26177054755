/** One unit of work on the catalog. Reads need no transaction (each sees what is committed); the first change begins one. */
import type pg from 'pg';
import { PgPierError } from '../errors.ts';
import type { CatalogTransaction, CatalogView, Log } from './catalog.ts';
import { ExternalConnections } from './connections.ts';
import { ConnectionUsage } from './connectionUse.ts';
import { Grants } from './grants.ts';
import { Jobs } from './jobs.ts';
import type { Keyring } from './keyring.ts';
import { Privileges } from './privileges.ts';
import { Roles } from './roles.ts';
import type { Service } from './service.ts';
import { type Outcomes, outcomesOf, settle } from './settle.ts';
import { Userfiles } from './userfiles.ts';

export interface TransactionParts {
  readonly view: CatalogView;
  readonly service: Service;
  readonly reads: pg.Pool;
  readonly writes: pg.Pool;
  readonly keyring: Keyring;
  readonly adminRole: string | undefined;
  readonly namedOnly: boolean;
  readonly log: Log;
  /** Runs a query and turns what makes the catalog unusable into `catalogUnavailable`. */
  guarded<T>(work: () => Promise<T>): Promise<T>;
}

/** What the catalog's own parts write and read through. */
export interface Store {
  readonly view: CatalogView;
  readonly keyring: Keyring;
  /** Rows of a statement whose first three parameters are the session, the committed and the aborted ids (see `exists`). */
  read<R extends pg.QueryResultRow>(text: string, values?: readonly unknown[]): Promise<readonly R[]>;
  /** Rows of tables whose rows are never pending: the parameters are the given ones alone. */
  readPlain<R extends pg.QueryResultRow>(text: string, values: readonly unknown[]): Promise<readonly R[]>;
  /**
   * Makes this the only catalog transaction that changes `what` (`external_connection/<name>`, `system`), and learns what became of the
   * others' changes until now. Throws `changePending` when one that is still open holds it.
   */
  lock(what: string, description: string): Promise<void>;
  /** Changes rows; `lock` comes first. */
  write(text: string, values: readonly unknown[]): Promise<void>;
}

export async function runTransaction<T>(parts: TransactionParts, work: (tx: CatalogTransaction) => Promise<T>): Promise<T> {
  const { view, service, reads, writes, keyring, adminRole, namedOnly, guarded, log } = parts;
  let outcomes: Outcomes = await guarded(async () => {
    const found = await outcomesOf(reads, service, log);
    await settle(reads, found, log);
    return found;
  });
  let client: pg.PoolClient | undefined;

  const query = async (text: string, values: readonly unknown[]) => guarded(async () => (client ?? reads).query(text, [...values]));

  const store: Store = {
    view,
    keyring,
    async read<R extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []) {
      const { rows } = await query(text, [view.session, outcomes.committed, outcomes.aborted, ...values]);
      return rows as R[];
    },
    async readPlain<R extends pg.QueryResultRow>(text: string, values: readonly unknown[]) {
      const { rows } = await query(text, values);
      return rows as R[];
    },
    async lock(what, description) {
      if (client === undefined) {
        client = await guarded(async () => writes.connect());
        await query('begin', []);
      }
      // Others hold it for milliseconds, except one whose query string has more to do outside: that one is not waited for.
      const locked = await client
        .query('select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))', [what])
        .catch((error) => error);
      if (locked?.code === '55P03') throw new PgPierError('changePending', { what: description });
      if (locked instanceof Error) await guarded(async () => Promise.reject(locked));
      outcomes = await guarded(async () => outcomesOf(client!, service, log));
    },
    async write(text, values) {
      await query(text, values);
    },
  };

  const roles = new Roles(service, view, adminRole);
  const privileges = new Privileges(store, roles, namedOnly);
  const tx: CatalogTransaction = {
    view,
    roles,
    privileges,
    grants: new Grants(store, roles),
    connections: new ExternalConnections(store, roles),
    usage: new ConnectionUsage(store, roles),
    jobs: new Jobs(store, roles),
    userfiles: new Userfiles(store),
  };
  let failed = true;
  try {
    const result = await work(tx);
    // COMMIT of a transaction in which something failed answers ROLLBACK, and no error.
    if (client !== undefined && (await query('commit', [])).command !== 'COMMIT') {
      throw new PgPierError('internal', { detail: 'a failed catalog transaction was to be committed' });
    }
    failed = false;
    return result;
  } finally {
    const open = client as pg.PoolClient | undefined;
    if (failed) await open?.query('rollback').catch(() => {});
    // After a failure the session is not trusted to be clean; a new one costs little.
    open?.release(failed);
  }
}
