/**
 * A worker's own connection to PostgreSQL: by pg, with libpq's sslmode, and with ways to leave at once. `COPY` output is read from the
 * socket itself (`takeSocket`), past pg's parser.
 */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { type ErrorData, PgPierError } from '../errors.ts';
import type { BackendLogin } from './task.ts';

type Tls = pg.ClientConfig['ssl'];

/** What of pg's Connection is used beyond its types. */
interface PgConnection {
  readonly stream: Duplex & { setKeepAlive?(on: boolean, delay: number): void };
  connect(port: number | string, host?: string): void;
  requestSsl(): void;
  cancel(processID: number, secretKey: number): void;
  once(event: string, listener: () => void): void;
  on(event: string, listener: () => void): void;
}
const Connection = (pg as unknown as { Connection: new (config: { ssl: Tls }) => PgConnection }).Connection;

export interface BackendSession {
  query(text: string, values?: readonly unknown[]): Promise<pg.QueryResult>;
  /** Gives the raw stream to `onBytes` until `release` is called. Only while no query runs. A chunk is valid during the call alone. */
  takeSocket(onBytes: (chunk: Buffer) => void): { readonly stream: Duplex; release(): void };
  /** Asks the server to cancel what runs and closes the connection without waiting for either. */
  abandon(): void;
  /** Says goodbye; resolves when the connection is closed. */
  close(): Promise<void>;
  /** Rejects when the connection is lost; never resolves. */
  readonly lost: Promise<never>;
}

const CONNECT_TIMEOUT_MS = 15_000;
/** From the first query on: a database's own settings (ALTER DATABASE … SET statement_timeout = '1ms') could end the one that sets more. */
const NO_TIMEOUTS = '-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0';
/** A server that vanished without a word is noticed after this and ten probes a second apart. */
const KEEP_ALIVE_MS = 20_000;

/**
 * Logs in. `task` names in errors what the connection is for.
 * @throws PgPierError 57P03, or PostgreSQL's own refusal (28000, 28P01, 53300, 3D000 …)
 */
export async function openBackendSession(login: BackendLogin, task: string, signal: AbortSignal): Promise<BackendSession> {
  const attempts = tlsAttempts(login);
  for (const [index, ssl] of attempts.entries()) {
    signal.throwIfAborted();
    const reader = ssl === false ? reusedBuffer() : undefined;
    const client = new pg.Client({
      host: login.host,
      port: login.port,
      database: login.database,
      user: login.user,
      password: login.password,
      ssl,
      application_name: `pgpier ${task}`,
      options: NO_TIMEOUTS,
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      enableChannelBinding: true,
      ...(reader === undefined ? {} : { stream: () => reader.socket }),
    } as pg.ClientConfig);
    const connection = (client as unknown as { connection: PgConnection }).connection;
    const leave = () => connection.stream.destroy();
    signal.addEventListener('abort', leave, { once: true });
    // Between the failure of a login and its report pg may emit the same error again.
    client.on('error', () => {});
    try {
      await client.connect();
      return session(client, connection, login, ssl, task, reader);
    } catch (error) {
      leave();
      signal.throwIfAborted();
      if (index === attempts.length - 1) throw loginFailure(error);
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }
  throw new PgPierError('jobBackendUnreachable', { reason: 'no way to connect' });
}

interface ReusedBuffer {
  readonly socket: Socket;
  /** Where bytes go instead of to pg. */
  onBytes: ((chunk: Buffer) => void) | undefined;
}

/**
 * A socket that reads into one buffer instead of a new one per read. TLS cannot (its socket is made
 * from this one).
 */
function reusedBuffer(): ReusedBuffer {
  const buffer = Buffer.allocUnsafe(128 * 1024);
  const reader: ReusedBuffer = {
    socket: new Socket({
      onread: {
        buffer,
        callback(length: number) {
          const chunk = buffer.subarray(0, length);
          if (reader.onBytes !== undefined) reader.onBytes(chunk);
          // pg keeps what it could not read yet.
          else reader.socket.emit('data', Buffer.from(chunk));
          return true;
        },
      },
    }),
    onBytes: undefined,
  };
  return reader;
}

function session(
  client: pg.Client,
  connection: PgConnection,
  login: BackendLogin,
  ssl: Tls,
  task: string,
  reader: ReusedBuffer | undefined,
): BackendSession {
  let leaving = false;
  const lost = new Promise<never>((_, reject) => {
    const fail = () => reject(new PgPierError('jobBackendLost', { task }));
    client.on('error', fail);
    client.on('end', fail);
  });
  lost.catch(() => {});
  return {
    lost,
    query: async (text, values) => {
      try {
        return await Promise.race([client.query(text, values as unknown[]), lost]);
      } catch (error) {
        throw fromPg(error, task);
      }
    },
    takeSocket(onBytes) {
      const { stream } = connection;
      if (reader !== undefined) {
        reader.onBytes = onBytes;
        return {
          stream,
          release() {
            reader.onBytes = undefined;
          },
        };
      }
      const listeners = stream.listeners('data') as ((chunk: Buffer) => void)[];
      stream.removeAllListeners('data');
      stream.on('data', onBytes);
      return {
        stream,
        release() {
          stream.off('data', onBytes);
          for (const listener of listeners) stream.on('data', listener);
        },
      };
    },
    abandon() {
      if (leaving) return;
      leaving = true;
      sendCancel(client, login, ssl);
      connection.stream.destroy();
    },
    async close() {
      if (leaving) return;
      leaving = true;
      await client.end();
    },
  };
}

/** CancelRequest on a connection of its own, encrypted as the first one was. Best effort: the closed socket ends the backend too. */
function sendCancel(client: pg.Client, login: BackendLogin, ssl: Tls): void {
  const { processID, secretKey } = client as unknown as { processID: number | null; secretKey: number | null };
  if (processID === null || secretKey === null) return;
  const connection = new Connection({ ssl });
  const send = () => {
    connection.cancel(processID, secretKey);
    connection.stream.end();
  };
  connection.on('error', () => connection.stream.destroy());
  connection.once('connect', () => (ssl ? connection.requestSsl() : send()));
  connection.once('sslconnect', send);
  const timer = setTimeout(() => connection.stream.destroy(), CONNECT_TIMEOUT_MS);
  timer.unref();
  connection.on('end', () => clearTimeout(timer));
  if (login.host.startsWith('/')) connection.connect(`${login.host}/.s.PGSQL.${login.port}`);
  else connection.connect(login.port, login.host);
}

/** The TLS settings to try, in libpq's order for this sslmode. */
export function tlsAttempts(login: BackendLogin): Tls[] {
  if (login.host.startsWith('/')) return [false];
  const ca = login.sslrootcert === undefined || login.sslrootcert === 'system' ? {} : { ca: readCertificate(login.sslrootcert) };
  const unverified = { rejectUnauthorized: false };
  const chain = { ...ca, rejectUnauthorized: true, checkServerIdentity: () => undefined };
  switch (login.sslmode) {
    case 'disable':
      return [false];
    case 'allow':
      return [false, unverified];
    case 'prefer':
      return [unverified, false];
    case 'require':
      // As libpq: with a root certificate given, require verifies the chain.
      return [login.sslrootcert === undefined ? unverified : chain];
    case 'verify-ca':
      return [chain];
    case 'verify-full':
      return [{ ...ca, rejectUnauthorized: true }];
  }
}

function readCertificate(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    throw new PgPierError('jobBackendUnreachable', { reason: 'the root certificate file cannot be read' });
  }
}

function loginFailure(error: unknown): PgPierError {
  const data = pgErrorData(error);
  if (data !== undefined) {
    const hint =
      data.sqlstate === '28000' || data.sqlstate === '28P01'
        ? { hint: 'pg_hba.conf must let the short-lived roles pgpier_job_… log in from this host with scram-sha-256.' }
        : {};
    return PgPierError.from({ ...data, ...hint });
  }
  const { code, message } = error as NodeJS.ErrnoException;
  return new PgPierError('jobBackendUnreachable', { reason: code ?? message });
}

/** An error thrown by pg as ours. A broken connection is 58000. */
function fromPg(error: unknown, task: string): PgPierError {
  if (error instanceof PgPierError) return error;
  const data = pgErrorData(error);
  return data === undefined ? new PgPierError('jobBackendLost', { task }) : PgPierError.from(data);
}

/** PostgreSQL's ErrorResponse as pg throws it, without its position (it counts in a text of ours); undefined for anything else. */
function pgErrorData(error: unknown): ErrorData | undefined {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) return undefined;
  return {
    sqlstate: error.code,
    message: error.message,
    ...(error.detail === undefined ? {} : { detail: error.detail }),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}
