/** One version of a file of userfile, read chunk by chunk without a transaction: an advisory lock keeps it from being purged. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { ReadOptions } from './storage.ts';
import { lockKeys } from './userfilePurge.ts';
import { isLost, type UserfileSession, type UserfileSessions } from './userfileSession.ts';

/** A lock that is not to be had is one of somebody who deletes that version at this moment: the next look finds the new one, or none. */
const OPEN_TRIES = 100;
const OPEN_PAUSE_MS = 20;
/** A reader goes on after a lost connection. */
const READ_RETRIES_MS = [200, 1_000, 3_000, 6_000];

export interface Reading {
  readonly sessions: UserfileSessions;
  /** As stored. */
  readonly name: Buffer;
  /** As the caller said it. */
  readonly path: string;
  readonly location: string;
  /** Undefined where nothing was ever written. */
  findPrefix(session: UserfileSession): Promise<string | undefined>;
}

/** A version that a session holds: its chunks stay for as long. */
interface Held {
  readonly id: string;
  readonly size: number;
  readonly chunkBytes: number;
}

export class UserfileReader {
  readonly #reading: Reading;

  constructor(reading: Reading) {
    this.#reading = reading;
  }

  async *read({ start = 0, end, signal }: ReadOptions): AsyncIterable<Buffer> {
    const { sessions, location } = this.#reading;
    let session = await sessions.take(signal);
    let pending: Promise<Buffer> | undefined;
    try {
      const held = await this.#hold(session, signal);
      const { size, chunkBytes } = held;
      const stop = Math.min(end ?? size, size);
      const fetch = async (number: number): Promise<Buffer> => {
        for (let tried = 0; ; tried++) {
          try {
            return await this.#chunk(session, held, number, signal);
          } catch (error) {
            const pause = READ_RETRIES_MS[tried];
            if (!isLost(error) || pause === undefined) throw error;
            session.drop();
            await sleep(pause, undefined, { ref: false });
            session = await this.#again(held, signal).catch((failure) => {
              if (isLost(failure) && tried + 1 < READ_RETRIES_MS.length) return session;
              throw failure;
            });
          }
        }
      };
      const begin = (number: number): Promise<Buffer> => {
        const fetching = fetch(number);
        // It is looked at when its turn comes, or never.
        fetching.catch(() => {});
        return fetching;
      };
      for (let at = start; at < stop; ) {
        const number = Math.floor(at / chunkBytes);
        const bytes = await (pending ?? begin(number));
        const from = at - number * chunkBytes;
        const to = Math.min(bytes.length, stop - number * chunkBytes);
        at = (number + 1) * chunkBytes;
        // One ahead: the next is on its way while the consumer has this one.
        pending = at < stop ? begin(number + 1) : undefined;
        if (signal?.aborted) throw new PgPierError('storageCanceled', { location: location });
        yield bytes.subarray(from, to);
      }
      await session.query({
        operation: 'read',
        text: `select pg_catalog.pg_advisory_unlock_shared(${lockKeys('$1::pg_catalog.int8')})`,
        values: [held.id],
      });
      session.release();
    } finally {
      // Left early, or failed: the lock goes with the connection.
      if (pending !== undefined && signal?.aborted !== true) await pending.catch(() => {});
      session.drop();
    }
  }

  /** Finds the file and locks its present version, which then stays until the session lets go. */
  async #hold(session: UserfileSession, signal: AbortSignal | undefined): Promise<Held> {
    const { name, path } = this.#reading;
    const prefix = await this.#reading.findPrefix(session);
    for (let tried = 0; tried < OPEN_TRIES; tried++) {
      if (prefix === undefined) break;
      if (tried > 0) await sleep(OPEN_PAUSE_MS);
      const { rows } = await session.query<{ id: string; size: string; chunk_bytes: number; locked: boolean }>(
        {
          operation: 'read',
          text: `select f.file_id::pg_catalog.text as id, f.size::pg_catalog.text as size, f.chunk_bytes,
              pg_catalog.pg_try_advisory_lock_shared(${lockKeys('f.file_id')}) as locked
            from pgpier.userfile f where f.prefix_id = $1 and f.path = $2 and f.state = 'finished'`,
          values: [prefix, name],
        },
        signal,
      );
      const [found] = rows;
      if (found === undefined) break;
      if (!found.locked) continue;
      if (await this.#stillThere(session, found.id, signal)) {
        return { id: found.id, size: Number(found.size), chunkBytes: found.chunk_bytes };
      }
    }
    throw new PgPierError('storageObjectMissing', { provider: 'userfile', path });
  }

  /** Whether the version was not yet on its way out when the lock was had. Else gives the lock back. */
  async #stillThere(session: UserfileSession, id: string, signal: AbortSignal | undefined): Promise<boolean> {
    const text = `select from pgpier.userfile f where f.file_id = $1 and f.state = 'finished'`;
    const { rows } = await session.query({ operation: 'read', text, values: [id] }, signal);
    if (rows.length > 0) return true;
    const unlock = `select pg_catalog.pg_advisory_unlock_shared(${lockKeys('$1::pg_catalog.int8')})`;
    await session.query({ operation: 'read', text: unlock, values: [id] }, signal);
    return false;
  }

  /** The same version on a new connection. Throws `storageChanged` when it was replaced or deleted meanwhile. */
  async #again({ id }: Held, signal: AbortSignal | undefined): Promise<UserfileSession> {
    const session = await this.#reading.sessions.take(signal);
    try {
      const text = `select pg_catalog.pg_try_advisory_lock_shared(${lockKeys('$1::pg_catalog.int8')}) as locked`;
      const { rows } = await session.query<{ locked: boolean }>({ operation: 'read', text, values: [id] }, signal);
      if (rows[0]!.locked && (await this.#stillThere(session, id, signal))) return session;
      throw new PgPierError('storageChanged', { path: this.#reading.path });
    } catch (error) {
      session.drop();
      throw error;
    }
  }

  async #chunk(session: UserfileSession, held: Held, number: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const { rows } = await session.query<{ bytes: Buffer }>(
      {
        operation: 'read',
        name: 'pgpier_userfile_read',
        text: 'select c.bytes from pgpier.userfile_chunk c where c.file_id = $1 and c.number = $2',
        values: [held.id, number],
      },
      signal,
    );
    const bytes = rows[0]?.bytes;
    const wanted = Math.min(held.chunkBytes, held.size - number * held.chunkBytes);
    if (bytes?.length !== wanted) {
      throw new PgPierError('storageIo', {
        location: this.#reading.location,
        operation: 'read',
        cause: `chunk ${number} is missing or damaged`,
      });
    }
    return bytes;
  }
}
