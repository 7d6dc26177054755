/** One file of userfile in the making: rows of chunks under a row that says `writing`, until one transaction says `finished`. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { StorageWriter } from './storage.ts';
import { lockKeys, purgeFile, type Run } from './userfilePurge.ts';
import type { UserfileSession, UserfileSessions } from './userfileSession.ts';

/** A chunk is one row: large enough to be few, small enough that a few of them in memory are nothing. */
export const chunkBytes = 512 * 1024;
/** What a chunk that is under way is given to arrive before `abort` closes its connection. */
const ABORT_PATIENCE_MS = 2_000;
/** Of the time of whoever replaces a file, removing the old content takes so much at most; the sweep does the rest. */
const FINISH_PURGE_MS = 2_000;

export interface Writing {
  readonly sessions: UserfileSessions;
  readonly prefix: string;
  /** As stored. */
  readonly name: Buffer;
  /** As the caller said it. */
  readonly path: string;
  readonly ifAbsent: boolean;
  readonly location: string;
  readonly signal: AbortSignal | undefined;
}

export async function openUserfileWriter(writing: Writing, session: UserfileSession): Promise<UserfileWriter> {
  // The lock comes with the row: nobody ever sees one without the other while this session lives.
  const { rows } = await session.query<{ id: string }>(
    {
      operation: 'write',
      text: `with made as (insert into pgpier.userfile (prefix_id, path, chunk_bytes) values ($1, $2, ${chunkBytes}) returning file_id)
        select m.file_id::pg_catalog.text as id, pg_catalog.pg_advisory_lock_shared(${lockKeys('m.file_id')}) from made m`,
      values: [writing.prefix, writing.name],
    },
    writing.signal,
  );
  return new UserfileWriter(writing, session, rows[0]!.id);
}

export class UserfileWriter implements StorageWriter {
  readonly #writing: Writing;
  readonly #session: UserfileSession;
  readonly #id: string;
  #state: 'open' | 'failed' | 'finished' | 'aborted' = 'open';
  /** Less than a chunk. */
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #chunks = 0;
  #size = 0;
  /** The chunk that is under way. */
  #sending: Promise<void> = Promise.resolve();

  constructor(writing: Writing, session: UserfileSession, id: string) {
    this.#writing = writing;
    this.#session = session;
    this.#id = id;
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#orFail(async () => {
      for (let at = 0; at < chunk.length; ) {
        const part = chunk.subarray(at, at + chunkBytes - this.#waitingBytes);
        this.#waiting.push(part);
        this.#waitingBytes += part.length;
        at += part.length;
        if (this.#waitingBytes === chunkBytes) await this.#send();
      }
    });
  }

  async finish(): Promise<void> {
    let replaced: readonly string[] = [];
    await this.#orFail(async () => {
      if (this.#waitingBytes > 0) await this.#send();
      await this.#sending;
      replaced = await this.#publish();
    });
    this.#state = 'finished';
    // The file is there. That the old one's content goes is no condition of it: what fails here, the sweep does.
    try {
      await this.#run(`select pg_catalog.pg_advisory_unlock_shared(${lockKeys('$1::pg_catalog.int8')})`, [this.#id]);
      const until = performance.now() + FINISH_PURGE_MS;
      for (const id of replaced) await purgeFile(this.#run, id, () => performance.now() < until);
      this.#session.release();
    } catch {
      this.#session.drop();
    }
  }

  async abort(): Promise<void> {
    if (this.#state === 'finished' || this.#state === 'aborted') return;
    this.#state = 'aborted';
    this.#waiting = [];
    await Promise.race([this.#sending.catch(() => {}), sleep(ABORT_PATIENCE_MS, undefined, { ref: false })]);
    // Closed first: what it still sends finds no row to belong to, and its lock is gone.
    this.#session.drop();
    try {
      await this.#writing.sessions.with(undefined, async (session) => {
        const run: Run = (text, values) => session.query({ operation: 'abort', text, values });
        const { rows } = await run(
          `update pgpier.userfile set state = 'abandoned' where file_id = $1 and state = 'writing' returning file_id`,
          [this.#id],
        );
        if (rows.length > 0) await purgeFile(run, this.#id);
      });
    } catch {
      // The catalog cannot be reached: its sweep finds a file whose writer is gone.
    }
  }

  /** Hands a chunk over as soon as the one before it has arrived, so that two are in memory at most. */
  async #send(): Promise<void> {
    const parts = this.#waiting;
    const bytes = parts.length === 1 ? parts[0]! : Buffer.concat(parts);
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#sending;
    this.#sending = this.#insert(this.#chunks++, bytes);
    this.#sending.catch(() => {});
    this.#size += bytes.length;
  }

  async #insert(number: number, bytes: Buffer): Promise<void> {
    const { rowCount } = await this.#session.query(
      {
        operation: 'write',
        name: 'pgpier_userfile_chunk',
        text: `insert into pgpier.userfile_chunk (file_id, number, bytes)
          select f.file_id, $2, $3 from pgpier.userfile f where f.file_id = $1 and f.state = 'writing' for share`,
        values: [this.#id, number, bytes],
      },
      this.#writing.signal,
    );
    if (rowCount !== 1) throw new PgPierError('userfileAbandoned', { path: this.#writing.path });
  }

  /** One transaction: the old file goes, the new one is there. Answers the ids of what it replaced. */
  async #publish(): Promise<readonly string[]> {
    const { prefix, name, path, ifAbsent, signal } = this.#writing;
    const query = (text: string, values: unknown[] = []) =>
      this.#session.query<{ id: string }>({ operation: 'finish', text, values }, signal);
    await query('begin');
    await query('set local synchronous_commit = on');
    // Of two that finish the same name at once, the second sees what the first made.
    await query(
      `select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('userfile/' || $1::pg_catalog.text || '/' || pg_catalog.encode($2, 'hex'), 0))`,
      [prefix, name],
    );
    const replaced = await query(
      `update pgpier.userfile set state = 'removed' where prefix_id = $1 and path = $2 and state = 'finished'
       returning file_id::pg_catalog.text as id`,
      [prefix, name],
    );
    // The session is dropped with the transaction, and what it said of the old file.
    if (ifAbsent && replaced.rows.length > 0) throw new PgPierError('storageObjectExists', { path });
    const { rowCount } = await query(
      `update pgpier.userfile set state = 'finished', size = $2, finished = pg_catalog.clock_timestamp()
       where file_id = $1 and state = 'writing'`,
      [this.#id, this.#size],
    );
    if (rowCount !== 1) throw new PgPierError('userfileAbandoned', { path });
    const { command } = await query('commit');
    if (command !== 'COMMIT')
      throw new PgPierError('storageFailed', { location: this.#writing.location, operation: 'finish', cause: command });
    return replaced.rows.map(({ id }) => id);
  }

  readonly #run: Run = (text, values) => this.#session.query({ operation: 'finish', text, values });

  async #orFail(work: () => Promise<void>): Promise<void> {
    const { signal, location } = this.#writing;
    if (this.#state !== 'open' || signal?.aborted) throw new PgPierError('storageCanceled', { location });
    try {
      await work();
    } catch (error) {
      this.#state = 'failed';
      throw error;
    }
  }
}
