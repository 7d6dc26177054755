/** `userfile://`: files kept in tables of the catalog (catalog/sql/000003.sql), as rows of chunks. */
import { PgPierError } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { checkObjectPath } from './path.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';
import { purgeFile } from './userfilePurge.ts';
import { UserfileReader } from './userfileReader.ts';
import { type UserfileSession, UserfileSessions } from './userfileSession.ts';
import { longestPath, type UserfileUri } from './userfileUri.ts';
import { openUserfileWriter } from './userfileWriter.ts';

type Owner = NonNullable<StorageTarget['userfile']>;

const pageRows = 1_000;

export async function openUserfile(uri: UserfileUri, owner: Owner | undefined, settings: StorageSettings): Promise<Storage> {
  if (settings.catalog === undefined || owner === undefined) throw new PgPierError('userfileDisabled');
  const location = `userfile://${owner.name}/${uri.base}`;
  return new UserfileStorage(uri.base, owner, new UserfileSessions(settings.catalog, location), location);
}

class UserfileStorage implements Storage {
  readonly location: string;
  readonly #base: string;
  readonly #owner: Owner;
  readonly #sessions: UserfileSessions;
  /** Decimal int8, once it is known; it is made by the first writer. */
  #prefix: string | undefined;

  constructor(base: string, owner: Owner, sessions: UserfileSessions, location: string) {
    this.#base = base === '' ? '' : `${base}/`;
    this.#owner = owner;
    this.#sessions = sessions;
    this.location = location;
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const name = this.#name(path);
    const session = await this.#sessions.take(signal);
    try {
      const prefix = await this.#findPrefix(session, signal, true);
      const writing = { sessions: this.#sessions, prefix: prefix!, name, path, ifAbsent, location: this.location, signal };
      return await openUserfileWriter(writing, session);
    } catch (error) {
      session.drop();
      throw error;
    }
  }

  async *read(path: string, options: ReadOptions = {}): AsyncIterable<Buffer> {
    const name = this.#name(path);
    const reader = new UserfileReader({
      sessions: this.#sessions,
      name,
      path,
      location: this.location,
      findPrefix: (session) => this.#findPrefix(session, options.signal, false),
    });
    yield* reader.read(options);
  }

  async *list(
    prefix: string,
    { after, signal }: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<StoredObject> {
    const from = Buffer.from(this.#base + prefix);
    const to = successor(from);
    let last: Buffer | undefined = after === undefined ? undefined : Buffer.from(this.#base + after);
    for (;;) {
      const behind = last;
      const rows = await this.#sessions.with(signal, async (session) => {
        const id = await this.#findPrefix(session, signal, false);
        if (id === undefined) return [];
        const page = await session.query<{ path: Buffer; size: string }>(
          {
            operation: 'list',
            text: `select f.path, f.size::pg_catalog.text as size from pgpier.userfile f
              where f.prefix_id = $1 and f.state = 'finished' and f.path >= $2
                and ($3::pg_catalog.bytea is null or f.path < $3) and ($4::pg_catalog.bytea is null or f.path > $4)
              order by f.path limit ${pageRows}`,
            values: [id, behind !== undefined && Buffer.compare(behind, from) > 0 ? behind : from, to ?? null, behind ?? null],
          },
          signal,
        );
        return page.rows;
      });
      for (const { path, size } of rows) {
        yield { path: path.subarray(Buffer.byteLength(this.#base)).toString(), size: Number(size) };
        last = path;
      }
      if (rows.length < pageRows) return;
    }
  }

  async delete(path: string, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    const name = this.#name(path);
    await this.#sessions.with(signal, async (session) => {
      const prefix = await this.#findPrefix(session, signal, false);
      if (prefix === undefined) return;
      const removed = await session.query<{ id: string }>(
        {
          operation: 'delete',
          text: `update pgpier.userfile set state = 'removed' where prefix_id = $1 and path = $2 and state = 'finished'
            returning file_id::pg_catalog.text as id`,
          values: [prefix, name],
        },
        signal,
      );
      await this.#purge(session, removed.rows, signal);
    });
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    const from = Buffer.from(this.#base + prefix);
    return await this.#sessions.with(signal, async (session) => {
      const id = await this.#findPrefix(session, signal, false);
      if (id === undefined) return 0;
      const abandoned = await session.query<{ id: string }>(
        {
          operation: 'delete',
          text: `update pgpier.userfile f set state = 'abandoned'
            where f.prefix_id = $1 and f.state = 'writing' and f.path >= $2 and ($3::pg_catalog.bytea is null or f.path < $3)
              and ($4::pg_catalog.timestamptz is null or f.begun < $4)
            returning f.file_id::pg_catalog.text as id`,
          values: [id, from, successor(from) ?? null, before ?? null],
        },
        signal,
      );
      await this.#purge(session, abandoned.rows, signal);
      return abandoned.rows.length;
    });
  }

  async close(): Promise<void> {
    await this.#sessions.close();
  }

  #name(path: string): Buffer {
    const name = Buffer.from(this.#base + checkObjectPath(path));
    if (name.length > longestPath) throw new PgPierError('storageNameTooLong', { path });
    return name;
  }

  /** Undefined where nothing was ever written. With `make`, it is. Throws `userfileDenied` where a name became another's meanwhile. */
  async #findPrefix(session: UserfileSession, signal: AbortSignal | undefined, make: boolean): Promise<string | undefined> {
    if (this.#prefix !== undefined) return this.#prefix;
    const { owner, name } = this.#owner;
    const find = async (): Promise<string | undefined> => {
      const { rows } = await session.query<{ id: string; owner: number }>(
        {
          operation: 'open',
          text: `select p.prefix_id::pg_catalog.text as id, p.owner from pgpier.userfile_prefix p
            where p.name = $2 and (p.name <> '' or p.owner = $1)`,
          values: [owner, name],
        },
        signal,
      );
      const [found] = rows;
      if (found !== undefined && found.owner !== owner) throw new PgPierError('userfileDenied', { prefix: name });
      return found?.id;
    };
    let prefix = await find();
    if (prefix === undefined && make) {
      const text = 'insert into pgpier.userfile_prefix (owner, name) values ($1, $2) on conflict do nothing';
      await session.query({ operation: 'open', text, values: [owner, name] }, signal);
      prefix = await find();
      if (prefix === undefined) throw new PgPierError('storageFailed', { location: this.location, operation: 'open', cause: 'no prefix' });
    }
    this.#prefix = prefix;
    return prefix;
  }

  /** What cannot go now because it is being read, the catalog's sweep removes later. */
  async #purge(session: UserfileSession, files: readonly { readonly id: string }[], signal: AbortSignal | undefined): Promise<void> {
    for (const { id } of files) await purgeFile((text, values) => session.query({ operation: 'delete', text, values }, signal), id);
  }
}

/** The smallest text of bytes behind all that begin with these; undefined if there is none. */
function successor(bytes: Buffer): Buffer | undefined {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const next = Buffer.from(bytes.subarray(0, length));
  next[length - 1]! += 1;
  return next;
}
