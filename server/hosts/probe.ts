/** Asks a host what it is, with PgPier's own login, on a connection that is kept for the next question. */
import pg from 'pg';
import { tlsAttempts } from '../../jobs/backendLogin.ts';
import type { ConnectionTarget, Host } from '../configuration/connectionUri.ts';
import type { HostState, Probe } from './hostChoice.ts';

const DEFAULT_CONNECT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 2_000;

export interface Probes {
  readonly probe: Probe;
  close(): Promise<void>;
}

export function probesOf(target: ConnectionTarget): Probes {
  const kept = new Map<string, pg.Client>();
  const drop = (key: string): void => {
    const client = kept.get(key);
    kept.delete(key);
    // A server that fell silent would never answer a goodbye.
    (client as unknown as { connection: { stream: { destroy(): void } } } | undefined)?.connection.stream.destroy();
  };
  return {
    probe: async (host) => {
      const key = `${host.host}:${host.port}`;
      const client = kept.get(key);
      if (client !== undefined) {
        try {
          return await ask(client);
        } catch {
          // It may have been restarted since: a new connection tells.
          drop(key);
        }
      }
      const fresh = await connect(target, host);
      kept.set(key, fresh);
      fresh.once('end', () => {
        if (kept.get(key) === fresh) kept.delete(key);
      });
      try {
        return await ask(fresh);
      } catch (error) {
        drop(key);
        throw error;
      }
    },
    close: async () => {
      const clients = [...kept.values()];
      kept.clear();
      await Promise.all(clients.map((client) => client.end().catch(() => {})));
    },
  };
}

async function ask(client: pg.Client): Promise<HostState> {
  const { rows } = await client.query<HostState>(
    `select pg_catalog.pg_is_in_recovery() as "inRecovery", pg_catalog.current_setting('transaction_read_only')::pg_catalog.bool as "readOnly"`,
  );
  return rows[0]!;
}

/** With what libpq would try for this sslmode, in its order. Rejects with PostgreSQL's refusal, else the first failure. */
async function connect(target: ConnectionTarget, host: Host): Promise<pg.Client> {
  const { user, database, sslmode, sslrootcert } = target;
  const password = target.password?.reveal() ?? '';
  let failure: unknown;
  for (const ssl of tlsAttempts({ ...host, user, database, password, sslmode, ...(sslrootcert !== undefined && { sslrootcert }) })) {
    const client = new pg.Client({
      ...host,
      user,
      database,
      password,
      ...(ssl !== undefined && { ssl }),
      application_name: 'pgpier hosts',
      connectionTimeoutMillis: target.connectTimeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS,
      query_timeout: QUERY_TIMEOUT_MS,
      enableChannelBinding: true,
      keepAlive: true,
    } as pg.ClientConfig);
    client.on('error', () => {});
    try {
      await client.connect();
      return client;
    } catch (error) {
      if (failure === undefined || (error instanceof pg.DatabaseError && !(failure instanceof pg.DatabaseError))) failure = error;
      await client.end().catch(() => {});
    }
  }
  throw failure;
}
