/** PgPier's own login at the backend or the catalog's server: tried once at the start, with what libpq would try for this sslmode. */
import pg from 'pg';
import { catalogDatabase } from '../catalog/catalog.ts';
import type { CatalogLogin } from '../external/storage/storage.ts';
import { tlsAttempts } from '../jobs/backendLogin.ts';
import type { BackendLogin } from '../jobs/task.ts';
import { formatAddress } from './configuration/address.ts';
import type { ConnectionTarget } from './configuration/connectionUri.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const OLDEST_MAJOR = 14;

export interface ServiceLogin {
  readonly config: pg.PoolConfig;
  /** The same as plain data, for another process; `attempt` is the place of its TLS settings among `tlsAttempts(login)`. */
  readonly login: BackendLogin;
  readonly attempt: number;
}

/**
 * The settings with which the server let us in.
 * @param what `the backend`, `the catalog`: for messages
 * @throws Error in words for the person who starts it, when the server does not let us in or is older than PostgreSQL 14
 */
export async function findServiceLogin(target: ConnectionTarget, what: string): Promise<ServiceLogin> {
  const { host, port, user, database } = target;
  const password = target.password?.reveal() ?? '';
  const login: BackendLogin = {
    host,
    port,
    user,
    database,
    password,
    sslmode: target.sslmode,
    ...(target.sslrootcert && { sslrootcert: target.sslrootcert }),
  };
  let failure: unknown;
  for (const [attempt, ssl] of tlsAttempts(login).entries()) {
    // An empty password rather than none: without one pg would look into the environment itself.
    const config: pg.PoolConfig = { host, port, user, database, password, ...(ssl !== undefined && { ssl }) };
    const client = new pg.Client({ ...config, connectionTimeoutMillis: CONNECT_TIMEOUT_MS, application_name: 'pgpier' });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<{ version: string; number: number }>(
        "select pg_catalog.current_setting('server_version') as version, pg_catalog.current_setting('server_version_num')::int as number",
      );
      const { version, number } = rows[0]!;
      if (number < OLDEST_MAJOR * 10_000)
        throw new TooOld(`${what} is PostgreSQL ${version}; PgPier stands before PostgreSQL ${OLDEST_MAJOR} and newer`);
      return { config, login, attempt };
    } catch (error) {
      if (error instanceof TooOld) throw error;
      // What PostgreSQL says tells more than that it has no TLS.
      if (failure === undefined || (error instanceof pg.DatabaseError && !(failure instanceof pg.DatabaseError))) failure = error;
    } finally {
      await client.end().catch(() => {});
    }
  }
  const at = host.startsWith('/') ? `the socket ${host}/.s.PGSQL.${port}` : formatAddress({ host, port });
  throw new Error(`cannot log in to ${what} at ${at} as "${user}", database "${database}": ${reasonOf(failure)}`);
}

/** `config` as the URL that the catalog takes; TLS as `findServiceLogin` found it to work. */
export function loginUrl(target: ConnectionTarget, { config }: ServiceLogin): string {
  const encode = encodeURIComponent;
  const verified = target.sslmode === 'verify-ca' || target.sslmode === 'verify-full';
  const sslmode = config.ssl === false || config.ssl === undefined ? 'disable' : verified ? target.sslmode : 'require';
  const root =
    sslmode === 'disable' || target.sslrootcert === undefined || target.sslrootcert === 'system'
      ? ''
      : `&sslrootcert=${encode(target.sslrootcert)}`;
  const password = target.password === undefined ? '' : `:${encode(target.password.reveal())}`;
  const query = `host=${encode(target.host)}&port=${target.port}&uselibpqcompat=true&sslmode=${sslmode}${root}`;
  return `postgres://${encode(target.user)}${password}@/${encode(target.database)}?${query}`;
}

/** The catalog's login as plain data, for processes that keep files there. `elsewhere` is its own server, if it has one. */
export function catalogLogin(service: ServiceLogin, elsewhere?: ServiceLogin): CatalogLogin {
  const { config, login } = elsewhere ?? service;
  const { host, port, user, password } = login;
  return { host, port, user, password, database: elsewhere?.login.database ?? catalogDatabase, tls: plainTls(config.ssl) };
}

/** What `tlsAttempts` gives, without its function. */
function plainTls(ssl: pg.PoolConfig['ssl']): CatalogLogin['tls'] {
  if (ssl === undefined || ssl === false) return { kind: 'off' };
  if (ssl === true) return { kind: 'on', verify: 'name' };
  const { ca, rejectUnauthorized, checkServerIdentity } = ssl;
  const verify = rejectUnauthorized === false ? 'nothing' : checkServerIdentity === undefined ? 'name' : 'chain';
  return { kind: 'on', verify, ...(typeof ca === 'string' && { ca }) };
}

class TooOld extends Error {}

function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'ENOENT') return 'there is no such socket';
  if (code === 'ENOTFOUND') return 'the host name cannot be resolved';
  return message === '' && code !== undefined ? code : message;
}
