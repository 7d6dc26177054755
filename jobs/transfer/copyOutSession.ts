/** Runs one `COPY … TO STDOUT` on a session's raw socket: the query goes out, rows go to the sink, errors and notices become ours. */
import type { Notice } from '../../commands/command.ts';
import { type ErrorData, PgPierError } from '../../errors.ts';
import type { BackendSession } from '../backendLogin.ts';
import { CopyOutReader, type RowSink } from './copyOut.ts';

export interface CopyOutRun {
  /** Rows received and rows that PostgreSQL says it sent. Rejects with PostgreSQL's error, or 58000. */
  readonly done: Promise<{ readonly rows: number; readonly reported: number }>;
  pause(): void;
  resume(): void;
}

const CHAR = {
  commandComplete: 0x43,
  error: 0x45,
  notice: 0x4e,
  ready: 0x5a,
  parameter: 0x53,
  notification: 0x41,
  copyOut: 0x48,
  copyDone: 0x63,
};
/** A query may raise notices for every row: what a client can read is passed on. */
const MAX_NOTICES = 100;

export function startCopyOut(session: BackendSession, text: string, sink: RowSink, onNotice: (notice: Notice) => void): CopyOutRun {
  const { promise, resolve, reject } = Promise.withResolvers<{ rows: number; reported: number }>();
  let reported = -1;
  let failure: PgPierError | undefined;
  let notices = 0;
  let over = false;

  const finish = (error?: PgPierError) => {
    if (over) return;
    over = true;
    socket.release();
    if (error !== undefined) reject(error);
    else resolve({ rows: reader.rows, reported });
  };
  const unexpected = (detail: string) => finish(new PgPierError('jobBackendProtocol', { task: 'EXPORT', detail }));

  const reader = new CopyOutReader(sink, (type, body) => {
    switch (type) {
      case CHAR.copyOut:
      case CHAR.copyDone:
      case CHAR.parameter:
      case CHAR.notification:
        return;
      case CHAR.commandComplete:
        reported = Number(/^COPY (\d+)\0$/.exec(body.toString('latin1'))?.[1] ?? -1);
        return;
      case CHAR.notice: {
        const { severity, ...fields } = messageFields(body);
        if ((severity === 'NOTICE' || severity === 'WARNING') && notices++ < MAX_NOTICES) onNotice({ severity, ...fields });
        return;
      }
      case CHAR.error: {
        const { severity, ...fields } = messageFields(body);
        failure = PgPierError.from(fields);
        // FATAL: no ReadyForQuery will follow.
        if (severity !== 'ERROR') finish(failure);
        return;
      }
      case CHAR.ready:
        if (failure === undefined && reported < 0) unexpected('the end of COPY without a row count');
        else finish(failure);
        return;
      default:
        unexpected(`message type ${JSON.stringify(String.fromCharCode(type))}`);
    }
  });

  const socket = session.takeSocket((chunk) => {
    if (over) return;
    try {
      reader.read(chunk);
    } catch (error) {
      unexpected(error instanceof RangeError ? error.message : 'bytes that are no message');
    }
  });
  const body = Buffer.from(`${text}\0`);
  const message = Buffer.allocUnsafe(5 + body.length);
  message[0] = 0x51;
  message.writeInt32BE(4 + body.length, 1);
  body.copy(message, 5);
  socket.stream.write(message);
  return { done: promise, pause: () => socket.stream.pause(), resume: () => socket.stream.resume() };
}

/** The fields of ErrorResponse and NoticeResponse (PostgreSQL: protocol-error-fields). `severity` is the untranslated one. */
export function messageFields(body: Buffer): Omit<ErrorData, 'severity'> & { readonly severity: string } {
  const fields: Record<string, string> = {};
  for (const field of body.toString('utf8').split('\0')) if (field !== '') fields[field[0]!] ??= field.slice(1);
  const { S = '', V = S, C = 'XX000', M = '', D, H, P } = fields;
  return {
    severity: V,
    sqlstate: C,
    message: M,
    ...(D === undefined ? {} : { detail: D }),
    ...(H === undefined ? {} : { hint: H }),
    ...(P === undefined ? {} : { position: Number(P) }),
  };
}
