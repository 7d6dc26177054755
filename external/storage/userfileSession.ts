/** Connections to the catalog for userfile: a pool that opens none before it must, and sessions that one reader or writer has to itself. */
import pg from 'pg';
import { PgPierError } from '../../errors.ts';
import type { CatalogLogin } from './storage.ts';

/** What errors call the place. */
const endpoint = "PgPier's catalog";

const CONNECT_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 60_000;
/** Readers and writers that one storage has open at once; each has a connection. */
const MOST_SESSIONS = 64;

/**
 * Nothing of the server's or a role's defaults may end a long read or change what a query means. A process that vanished without a word is
 * noticed within a minute, and then holds nothing any more. Chunks need not be flushed one by one: the commit that makes a file visible flushes all
 * that was written before it (`synchronous_commit` is on there).
 */
const sessionSettings = {
  search_path: '',
  default_transaction_read_only: 'off',
  default_transaction_isolation: 'read\\ committed',
  row_security: 'off',
  bytea_output: 'hex',
  statement_timeout: String(STATEMENT_TIMEOUT_MS),
  lock_timeout: '10000',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '60000',
  synchronous_commit: 'off',
  tcp_keepalives_idle: '30',
  tcp_keepalives_interval: '5',
  tcp_keepalives_count: '5',
};

export class UserfileSessions {
  readonly #pool: pg.Pool;
  readonly #location: string;

  /** @param location for messages */
  constructor(login: CatalogLogin, location: string) {
    this.#location = location;
    this.#pool = new pg.Pool({
      ...clientConfig(login),
      max: MOST_SESSIONS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      query_timeout: STATEMENT_TIMEOUT_MS + 5_000,
      idleTimeoutMillis: 10_000,
      allowExitOnIdle: true,
      verify: keepContentOutOfLog,
    });
    // An idle connection that was lost is replaced when one is needed.
    this.#pool.on('error', () => {});
  }

  /** The caller gives it back by `release` or `drop`. */
  async take(signal?: AbortSignal): Promise<UserfileSession> {
    if (signal?.aborted) throw new PgPierError('storageCanceled', { location: this.#location });
    const connecting = this.#pool.connect();
    try {
      const client = await unlessAborted(connecting, signal);
      return new UserfileSession(client, this.#location);
    } catch (error) {
      if (signal?.aborted) connecting.then((client) => client.release()).catch(() => {});
      throw readableError(error, { location: this.#location, operation: 'connect', signal });
    }
  }

  /** Runs queries on a session of its own. */
  async with<T>(signal: AbortSignal | undefined, work: (session: UserfileSession) => Promise<T>): Promise<T> {
    const session = await this.take(signal);
    try {
      const result = await work(session);
      session.release();
      return result;
    } catch (error) {
      session.drop();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#pool.end();
  }
}

export class UserfileSession {
  readonly #client: pg.PoolClient;
  readonly #location: string;
  #state: 'taken' | 'lost' | 'given back' = 'taken';

  constructor(client: pg.PoolClient, location: string) {
    this.#client = client;
    this.#location = location;
    client.on('error', this.#onError);
  }

  readonly #onError = (): void => {
    if (this.#state === 'taken') this.#state = 'lost';
  };

  get usable(): boolean {
    return this.#state === 'taken';
  }

  /** One query. When the signal aborts, its answer is not waited for, and the session is of no use any more. */
  async query<R extends pg.QueryResultRow>(
    query: pg.QueryConfig & { readonly operation: string },
    signal?: AbortSignal,
  ): Promise<pg.QueryResult<R>> {
    const { operation, ...config } = query;
    if (signal?.aborted) throw new PgPierError('storageCanceled', { location: this.#location });
    try {
      return await unlessAborted(this.#client.query<R>(config), signal);
    } catch (error) {
      if (!(error instanceof pg.DatabaseError) || error.severity === 'FATAL') this.#onError();
      throw readableError(error, { location: this.#location, operation, signal });
    }
  }

  /** For others to use; its locks have been given back. */
  release(): void {
    this.#giveBack(this.#state !== 'taken');
  }

  /** Closes the connection, and with it ends whatever it holds. */
  drop(): void {
    this.#giveBack(true);
  }

  #giveBack(close: boolean): void {
    if (this.#state === 'given back') return;
    this.#state = 'given back';
    // A late error of a closing connection has nobody to tell: the listener stays.
    if (!close) this.#client.off('error', this.#onError);
    this.#client.release(close);
  }
}

/**
 * A server that logs statements logs their parameters too: here, files. Only a superuser may turn that off, so for other logins the server's own
 * `log_parameter_max_length` decides.
 */
function keepContentOutOfLog(client: pg.ClientBase, done: () => void): void {
  const text = `select case when r.rolsuper then pg_catalog.set_config('log_parameter_max_length', '0', false) end
    from pg_catalog.pg_roles r where r.rolname = current_user`;
  // What fails here fails at the first query too, and is told there.
  client.query(text).then(
    () => done(),
    () => done(),
  );
}

function clientConfig(login: CatalogLogin): pg.ClientConfig {
  const { host, port, user, password, database, tls } = login;
  const options = Object.entries(sessionSettings)
    .map(([name, value]) => `-c ${name}=${value}`)
    .join(' ');
  return {
    host,
    port,
    user,
    // An empty password rather than none: without one pg would look into the environment.
    password,
    database,
    ssl: tlsOptions(tls),
    application_name: 'pgpier userfile',
    keepAlive: true,
    keepAliveInitialDelayMillis: 20_000,
    options,
  };
}

function tlsOptions(tls: CatalogLogin['tls']): pg.ClientConfig['ssl'] {
  if (tls.kind === 'off') return false;
  const ca = tls.ca === undefined ? {} : { ca: tls.ca };
  switch (tls.verify) {
    case 'nothing':
      return { rejectUnauthorized: false };
    case 'chain':
      return { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
    case 'name':
      return { ...ca, rejectUnauthorized: true };
  }
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new Error('aborted'));
  signal.addEventListener('abort', onAbort, { once: true });
  work.catch(() => {});
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

interface At {
  readonly location: string;
  readonly operation: string;
  readonly signal: AbortSignal | undefined;
}

/** Codes alone: a text of the server's may quote anything. */
function readableError(error: unknown, { location, operation, signal }: At): unknown {
  if (error instanceof PgPierError) return error;
  if (signal?.aborted) return new PgPierError('storageCanceled', { location });
  if (!(error instanceof pg.DatabaseError)) return connectionError(error);
  const code = error.code ?? 'unknown';
  if (code === '53100') return new PgPierError('storageFull', { location });
  if (code.startsWith('53') || code === '55P03') return new PgPierError('storageBusy', { endpoint, cause: code });
  if (code === '57014') return new PgPierError('storageTimeout', { endpoint });
  if (error.severity === 'FATAL' || code.startsWith('57') || code.startsWith('08')) return unreachable(code);
  return new PgPierError('storageFailed', { location, operation, cause: code });
}

function connectionError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError)
    return error;
  const { code } = error as NodeJS.ErrnoException;
  if (/timeout/i.test(error.message)) return new PgPierError('storageTimeout', { endpoint });
  return unreachable(typeof code === 'string' && code !== '' ? code : 'connection lost');
}

function unreachable(cause: string): PgPierError {
  return new PgPierError('storageUnreachable', { endpoint, cause });
}

/** Whether trying again on a new connection may help. */
export function isLost(error: unknown): boolean {
  return error instanceof PgPierError && error.data.sqlstate.startsWith('08');
}
