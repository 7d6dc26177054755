/**
 * pg_dump as WebAssembly (PGlite's build), for servers of which no pg_dump is at hand. It has no sockets: this side logs in and owns the
 * connection; a thread runs pg_dump, which blocks there for the server's bytes (`byteRing.ts`), and sends its own by message.
 */
import { Worker } from 'node:worker_threads';
import { PgPierError } from '../../errors.ts';
import { openBackendSession } from '../backendLogin.ts';
import { makeByteRing, RingWriter } from './byteRing.ts';
import type { DumpRequest } from './dump.ts';
import { pgDumpError } from './pgDumpError.ts';
import type { FromPgDumpThread, PgDumpThreadData } from './wasmPgDumpThread.ts';

/** Of the build that package.json pins. */
export const wasmPgDumpMajor = 18;
const RING_BYTES = 1024 * 1024;

/** What PostgreSQL reports to a client at its start, and pg_dump asks libpq for. */
const reported = [
  'server_version',
  'server_encoding',
  'client_encoding',
  'standard_conforming_strings',
  'is_superuser',
  'session_authorization',
  'DateStyle',
  'IntervalStyle',
  'TimeZone',
  'integer_datetimes',
];

export async function runWasmPgDump(
  { login }: DumpRequest,
  args: readonly string[],
  signal: AbortSignal,
): Promise<{ readonly sql: string; readonly stderr: string }> {
  const session = await openBackendSession(login, 'pg_dump', signal);
  const shared = makeByteRing(RING_BYTES);
  const ring = new RingWriter(shared);
  const data: PgDumpThreadData = { shared, args: [...args, '--dbname=database'], parameters: [] };
  let thread: Worker | undefined;
  try {
    const { rows } = await session.query(
      'select s.name, pg_catalog.current_setting(s.name) as value from pg_catalog.unnest($1::pg_catalog.text[]) as s (name)',
      [reported],
    );
    await session.query(
      `select pg_catalog.set_config('statement_timeout', '0', false), pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false)`,
    );
    const parameters = rows.map(({ name, value }: { name: string; value: string }) => [name, value] as const);
    thread = new Worker(new URL('./wasmPgDumpThread.ts', import.meta.url), {
      workerData: { ...data, parameters },
      stdout: true,
      stderr: true,
    });
    const socket = session.takeSocket((chunk) => {
      if (ring.write(chunk)) return;
      socket.stream.pause();
      void ring.drained().then(() => socket.stream.resume());
    });
    const ended = outcome(thread, (bytes) => socket.stream.write(bytes));
    const result = await Promise.race([ended, session.lost, aborted(signal)]);
    if (result.kind === 'failed') throw pgDumpError(result.stderr);
    return result;
  } finally {
    ring.close();
    session.abandon();
    await thread?.terminate();
  }
}

type Outcome =
  | { readonly kind: 'done'; readonly sql: string; readonly stderr: string }
  | { readonly kind: 'failed'; readonly stderr: string };

function outcome(thread: Worker, send: (bytes: Uint8Array) => void): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    thread.on('message', (message: FromPgDumpThread) => (message.kind === 'send' ? send(message.bytes) : resolve(message)));
    thread.once('error', reject);
    thread.once('exit', () => reject(new PgPierError('pgDumpFailed', { reason: 'its thread ended' })));
  });
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const fail = () => reject(signal.reason as Error);
    if (signal.aborted) fail();
    else signal.addEventListener('abort', fail, { once: true });
  });
}
