/**
 * The thread in which pg_dump runs. To PGlite's function this looks like a PGlite with three methods. pg_dump logs in to nobody: its
 * StartupMessage is answered here, with what the real server reported; its Terminate stays here too.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { pgDump } from '@electric-sql/pglite-tools/pg_dump';
import { RingReader, type SharedRing } from './byteRing.ts';

export interface PgDumpThreadData {
  readonly shared: SharedRing;
  readonly args: readonly string[];
  /** ParameterStatus: name and value. */
  readonly parameters: readonly (readonly [string, string])[];
}

export type FromPgDumpThread =
  | { readonly kind: 'send'; readonly bytes: Uint8Array }
  | { readonly kind: 'done'; readonly sql: string; readonly stderr: string }
  | { readonly kind: 'failed'; readonly stderr: string };

const { shared, args, parameters } = workerData as PgDumpThreadData;
const ring = new RingReader(shared);
const tell = (message: FromPgDumpThread): void => parentPort!.postMessage(message);

const typeOf = { query: 81, sync: 83, terminate: 88, readyForQuery: 90 } as const;
let loggedIn = false;
/** What pg_dump has written and that is no whole message yet. */
let outgoing = Buffer.alloc(0);

/** One `send` of libpq: whole messages go to the server; when one of them asks for it, the answer is read up to ReadyForQuery. */
function converse(bytes: Uint8Array): Buffer | undefined {
  outgoing = Buffer.concat([outgoing, bytes]);
  if (!loggedIn) {
    if (outgoing.length < 4 || outgoing.length < outgoing.readInt32BE(0)) return undefined;
    const code = outgoing.readInt32BE(4);
    outgoing = outgoing.subarray(outgoing.readInt32BE(0));
    // SSLRequest and GSSENCRequest: the real connection is encrypted or not, this one is inside the process.
    if (code >>> 16 === 1234) return Buffer.from('N');
    loggedIn = true;
    return greeting();
  }
  let whole = 0;
  let answers = 0;
  let ends = false;
  while (outgoing.length - whole >= 5) {
    const type = outgoing[whole]!;
    const end = whole + 1 + outgoing.readInt32BE(whole + 1);
    if (end > outgoing.length) break;
    if (type === typeOf.terminate) {
      ends = true;
      break;
    }
    if (type === typeOf.query || type === typeOf.sync) answers++;
    whole = end;
  }
  if (whole > 0) tell({ kind: 'send', bytes: Uint8Array.from(outgoing.subarray(0, whole)) });
  outgoing = ends ? Buffer.alloc(0) : outgoing.subarray(whole);
  return answers > 0 ? readAnswers(answers) : undefined;
}

/** Server bytes up to the last ReadyForQuery that is due. */
function readAnswers(count: number): Buffer {
  const parts: Uint8Array[] = [];
  /** Of the head that is being read, and of the body that is being passed. */
  let head = Buffer.alloc(0);
  let body = 0;
  let due = count;
  while (due > 0) {
    const bytes = ring.read();
    parts.push(bytes);
    let at = 0;
    while (at < bytes.length) {
      if (body > 0) {
        const skipped = Math.min(body, bytes.length - at);
        body -= skipped;
        at += skipped;
      } else {
        const missing = 5 - head.length;
        head = Buffer.concat([head, bytes.subarray(at, at + missing)]);
        at += Math.min(missing, bytes.length - at);
        if (head.length < 5) break;
        body = head.readInt32BE(1) - 4;
        if (head[0] === typeOf.readyForQuery) due--;
        head = Buffer.alloc(0);
      }
      // The last byte of ReadyForQuery, the transaction status, may come with the next read.
    }
    if (due === 0 && body > 0) parts.push(readExactly(body));
  }
  return Buffer.concat(parts);
}

function readExactly(count: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let left = count; left > 0; ) {
    const bytes = ring.read();
    parts.push(bytes);
    left -= bytes.length;
  }
  return Buffer.concat(parts);
}

/** AuthenticationOk, the parameters, BackendKeyData (nobody cancels by it), ReadyForQuery. */
function greeting(): Buffer {
  const message = (type: string, body: Buffer): Buffer => {
    const head = Buffer.alloc(5, type);
    head.writeInt32BE(body.length + 4, 1);
    return Buffer.concat([head, body]);
  };
  return Buffer.concat([
    message('R', Buffer.alloc(4)),
    ...parameters.map(([name, value]) => message('S', Buffer.from(`${name}\0${value}\0`))),
    message('K', Buffer.alloc(8)),
    message('Z', Buffer.from('I')),
  ]);
}

const database = {
  execProtocolRawStream(bytes: Uint8Array, { onRawData }: { onRawData: (bytes: Uint8Array) => void }): void {
    const answer = converse(bytes);
    if (answer !== undefined) onRawData(answer);
  },
  // pgDump puts a PGlite's own settings back afterwards; nobody uses this connection again.
  query: async () => ({ rows: [{ search_path: 'unchanged' }] }),
  exec: async () => {},
};

try {
  const file = await pgDump({ pg: database as never, args: [...args] });
  tell({ kind: 'done', sql: await file.text(), stderr: '' });
} catch (error) {
  tell({
    kind: 'failed',
    stderr: String((error as Error).message).replace(/^pg_dump failed with exit code \d+\.\s*(Error message: )?/, ''),
  });
}
