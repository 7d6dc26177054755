/** One `COPY … FROM STDIN` on a session's raw socket: blocks go out as they come, PostgreSQL's error comes back as ours. */
import { once } from 'node:events';
import { type ErrorData, PgPierError } from '../../errors.ts';
import type { BackendSession } from '../backendLogin.ts';
import { CopyOutReader } from '../transfer/copyOut.ts';
import { messageFields } from '../transfer/copyOutSession.ts';

const type = { copyIn: 0x47, commandComplete: 0x43, error: 0x45, ready: 0x5a } as const;
const client = { query: 0x51, copyData: 0x64, copyDone: 0x63, copyFail: 0x66 } as const;
/** A CopyData message; PostgreSQL reads each into one buffer. */
const MESSAGE_BYTES = 64 * 1024;

/**
 * Sends `source` as the data of `text`. Resolves to the rows that PostgreSQL says it took.
 * @throws PgPierError of PostgreSQL, of the source (COPY is then failed and undone), or 58000
 */
export async function copyIn(session: BackendSession, text: string, source: AsyncIterable<Buffer>): Promise<number> {
  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<number>();
  for (const { promise } of [started, ended]) promise.catch(() => {});
  let rows = -1;
  let failure: PgPierError | undefined;
  const fail = (error: PgPierError): void => {
    failure ??= error;
    started.reject(failure);
    ended.reject(failure);
  };
  const reader = new CopyOutReader({ payload() {}, endRow: () => false, cut() {} }, (message, body) => {
    if (message === type.copyIn) started.resolve();
    else if (message === type.commandComplete) rows = Number(/^COPY (\d+)\0$/.exec(body.toString('latin1'))?.[1] ?? -1);
    else if (message === type.error) {
      const { severity, ...fields } = messageFields(body);
      failure = PgPierError.from(fields satisfies ErrorData);
      started.reject(failure);
      // FATAL: no ReadyForQuery will follow.
      if (severity !== 'ERROR') fail(failure);
    } else if (message === type.ready) {
      if (failure !== undefined) fail(failure);
      else if (rows < 0) fail(new PgPierError('jobBackendProtocol', { task: 'RESTORE', detail: 'the end of COPY without a row count' }));
      else ended.resolve(rows);
    }
  });
  const socket = session.takeSocket((chunk) => {
    try {
      reader.read(chunk);
    } catch {
      fail(new PgPierError('jobBackendProtocol', { task: 'RESTORE', detail: 'bytes that are no message' }));
    }
  });
  const { stream } = socket;
  try {
    stream.write(frame(client.query, Buffer.from(`${text}\0`)));
    await Promise.race([started.promise, session.lost]);
    try {
      for await (const block of source) {
        if (failure !== undefined) break;
        if (!stream.write(copyData(block))) await Promise.race([once(stream, 'drain'), session.lost, ended.promise]);
      }
    } catch (error) {
      if (failure === undefined) {
        stream.write(frame(client.copyFail, Buffer.from('the backup cannot be read\0')));
        await Promise.race([ended.promise, session.lost]).catch(() => {});
        throw error;
      }
    }
    stream.write(frame(client.copyDone, Buffer.alloc(0)));
    return await Promise.race([ended.promise, session.lost]);
  } finally {
    socket.release();
  }
}

function frame(code: number, body: Buffer): Buffer {
  const message = Buffer.allocUnsafe(5 + body.length);
  message[0] = code;
  message.writeInt32BE(4 + body.length, 1);
  body.copy(message, 5);
  return message;
}

/** A block as CopyData messages. Where they are cut does not matter. */
function copyData(block: Buffer): Buffer {
  const count = Math.ceil(block.length / MESSAGE_BYTES);
  const messages = Buffer.allocUnsafe(block.length + 5 * count);
  let to = 0;
  for (let from = 0; from < block.length; from += MESSAGE_BYTES) {
    const length = Math.min(MESSAGE_BYTES, block.length - from);
    messages[to] = client.copyData;
    messages.writeInt32BE(4 + length, to + 1);
    block.copy(messages, to + 5, from, from + length);
    to += 5 + length;
  }
  return messages;
}
