/** How a catalog comes up: database, migrations, cluster, key; and how it goes on when the server was away. */
import pg from 'pg';
import { PgPierError } from '../errors.ts';
import type { Catalog, CatalogOptions, CatalogTransaction, CatalogView } from './catalog.ts';
import { bindToCluster } from './cluster.ts';
import { defaultRetentionDays, recordUses } from './connectionUse.ts';
import { JobLeases } from './jobLeases.ts';
import { type Keyring, openKeyring } from './keyring.ts';
import { catalogDatabase, createDatabase, migrate } from './migrate.ts';
import { isUnreachable, loginOf, openPool, serviceOf, unavailable } from './service.ts';
import { outcomesOf, settle } from './settle.ts';
import { sweep } from './sweep.ts';
import { runTransaction } from './transaction.ts';

/** What a database says that is not our catalog, or not ours to write: dropped, emptied, rights taken away, a standby. */
function isUnusable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && ['25006', '3F000', '42501', '42P01', '55P03'].includes(error.code ?? '');
}

/**
 * Opens the catalog and makes it ready. A server that cannot be reached is no failure here: it is tried again by the next transaction,
 * and forwarding goes on meanwhile. Throws where waiting cannot help: another master key, none for encrypted rows, an unreadable key file,
 * a catalog newer than the program, of another cluster, or under another owner.
 */
export async function openCatalog(options: CatalogOptions): Promise<Catalog> {
  const { log } = options;
  const ours = options.catalogUrl === undefined;
  const database: pg.PoolConfig = ours
    ? { ...loginOf(options.service), database: catalogDatabase }
    : { connectionString: options.catalogUrl };
  const servicePool = openPool(options.service, 4, log);
  const service = serviceOf(servicePool, log);
  // Reads have connections of their own: a long string of CREATEs, each with its check of the outside, must not keep SHOW or EXPORT waiting.
  const reads = openPool(database, 2, log);
  const writes = openPool(database, 2, log);
  // A sign of life must not wait behind anything.
  const signs = openPool(database, 2, log);

  let ready: Promise<Keyring> | undefined;
  const prepared = (): Promise<Keyring> => {
    ready ??= prepare().catch((error) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };

  async function prepare(): Promise<Keyring> {
    if (ours) await createDatabase(servicePool, log);
    const client = await writes.connect();
    let failure: unknown;
    try {
      // Others may be preparing the same catalog: wait for them longer than any statement waits for a lock.
      await client.query(`begin; set local lock_timeout = '9s'`);
      await migrate(client, ours, log);
      await bindToCluster(client, service);
      const keyring = await openKeyring(client, options.secretKey);
      await client.query('commit');
      return keyring;
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      if (failure !== undefined) await client.query('rollback').catch(() => {});
      client.release(failure !== undefined);
    }
  }

  async function guarded<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isUnreachable(error) && !isUnusable(error)) throw error;
      // The catalog may have been dropped or be another one now: look again before the next use.
      ready = undefined;
      throw unavailable(error, log);
    }
  }

  async function transaction<T>(view: CatalogView, work: (tx: CatalogTransaction) => Promise<T>): Promise<T> {
    const keyring = await guarded(prepared);
    return runTransaction(
      {
        view,
        service,
        reads,
        writes,
        keyring,
        adminRole: options.adminRole,
        namedOnly: options.namedConnectionsOnly ?? false,
        guarded,
        log,
      },
      work,
    );
  }

  const leases = new JobLeases(
    async (text, values) =>
      guarded(async () => {
        await prepared();
        return signs.query(text, values);
      }),
    prepared,
    async () =>
      guarded(async () => {
        await prepared();
        await settle(signs, await outcomesOf(signs, service, log), log);
      }),
  );

  const { nodeId = 1, usageRetentionDays: retentionDays = defaultRetentionDays } = options;
  const uses = recordUses(
    async (text, values) =>
      guarded(async () => {
        await prepared();
        return reads.query(text, values);
      }),
    { nodeId, retentionDays, log },
  );

  const sweeper = setInterval(() => {
    if (ready === undefined) return;
    ready
      .then(async () => sweep(reads, service, log, retentionDays))
      .catch((error) => log.warn({ error: String(error) }, 'sweeping the catalog failed'));
  }, options.sweepInterval ?? 30_000);
  sweeper.unref();

  const nodeKey = async (): Promise<string> => (await guarded(prepared)).derive('pgpier nodes').toString('base64');

  async function close(): Promise<void> {
    clearInterval(sweeper);
    await Promise.all([servicePool.end(), reads.end(), writes.end(), signs.end()]);
  }

  try {
    await guarded(prepared);
    await guarded(async () => settle(reads, await outcomesOf(reads, service, log), log));
  } catch (error) {
    // Unavailable is a matter of waiting; everything else is not.
    if (!(error instanceof PgPierError) || error.data.sqlstate !== '57P03') {
      await close();
      throw error;
    }
  }
  return { transaction, nodeKey, leases, uses, database: loginOf(database), service, close };
}
