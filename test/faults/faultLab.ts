/** PostgreSQL and PgPier to break, and eyes on what is left afterwards. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { type Postgres, startPostgres } from '../servers/postgres.ts';
import { WireSession } from '../wire/wireSession.ts';

export interface FaultLab {
  readonly postgres: Postgres;
  readonly pgpier: Pgpier;
  /** A raw session through the proxy, in the database `clients`. */
  wire(parameters?: Record<string, string>): Promise<WireSession>;
  /** A driver's session through the proxy, in the database `clients`. */
  client(): Promise<pg.Client>;
  /** SQL as superuser, past the proxy, in the database `clients`. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Backends of clients' sessions and of jobs, without our own. */
  backends(): Promise<{ pid: number; state: string; query: string; usename: string }[]>;
  /** @throws Error naming what is left when the backends are not gone within 10 s. */
  noBackendLeft(): Promise<void>;
  stop(): Promise<void>;
}

export async function startFaultLab(
  options: { settings?: Record<string, string>; env?: Record<string, string>; nodeFlags?: string[] } = {},
): Promise<FaultLab> {
  const postgres = await startPostgres({ version: 15, ...(options.settings && { settings: options.settings }) });
  const admin = new pg.Client(postgres.connectionString());
  await admin.connect();
  await admin.query('create database clients');
  await admin.end();
  const eyes = new pg.Client(postgres.connectionString('clients'));
  eyes.on('error', () => {});
  await eyes.connect();
  const pgpier = await startPgpier({
    backend: postgres,
    ...(options.env && { env: options.env }),
    ...(options.nodeFlags && { nodeFlags: options.nodeFlags }),
  });
  const backends = async () =>
    (
      await eyes.query(`select pid, state, usename, left(query, 100) as query from pg_stat_activity
        where datname = 'clients' and pid <> pg_backend_pid() and backend_type = 'client backend'`)
    ).rows;
  return {
    postgres,
    pgpier,
    wire: (parameters = {}) =>
      WireSession.open({ host: pgpier.host, port: pgpier.port }, { user: 'postgres', database: 'clients', ...parameters }),
    async client() {
      const client = new pg.Client(pgpier.connectionString('clients'));
      client.on('error', () => {});
      await client.connect();
      return client;
    },
    sql: async (text) => (await eyes.query(text)).rows,
    backends,
    async noBackendLeft() {
      let left = await backends();
      for (let waited = 0; left.length > 0 && waited < 10_000; waited += 50) {
        await sleep(50);
        left = await backends();
      }
      if (left.length > 0) throw new Error(`left on the server: ${JSON.stringify(left)}`);
    },
    async stop() {
      await pgpier.stop();
      await eyes.end().catch(() => {});
      await postgres.stop();
    },
  };
}

/** Asks until the answer is true. @throws Error naming `what` after `timeout` ms. */
export async function eventually(what: string, ask: () => Promise<boolean> | boolean, timeout = 10_000): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await ask())) {
    if (Date.now() > end) throw new Error(`did not happen within ${timeout} ms: ${what}`);
    await sleep(25);
  }
}
