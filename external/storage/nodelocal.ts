/** `nodelocal://`: files below the external directory of the machine that does the work. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, link, lstat, mkdir, open, readdir, rename, unlink } from 'node:fs/promises';
import { PgPierError } from '../../errors.ts';
import { Folder } from './nodelocalFolder.ts';
import type { NodelocalUri } from './nodelocalUri.ts';
import { checkObjectPath } from './path.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

/** Name of a file in the making: this, 16 hex digits, `-`, the object's name. Such names are nobody's objects. */
const partialPrefix = '.pgpier-partial-';
/** What file systems without hard links say to `link`: exFAT and FAT, FUSE, shares. */
const noSecondName: ReadonlySet<string> = new Set(['EPERM', 'ENOTSUP', 'ENOSYS']);
const partialLength = partialPrefix.length + 17;
const longestName = 255 - partialLength;
const chunkBytes = 256 * 1024;

export async function openNodelocal(uri: NodelocalUri, settings: StorageSettings): Promise<NodelocalStorage> {
  if (settings.externalDir === undefined) throw new PgPierError('nodelocalDisabled');
  return new NodelocalStorage(settings.externalDir, uri);
}

export class NodelocalStorage implements Storage {
  readonly location: string;
  readonly #root: string;
  readonly #base: readonly string[];

  constructor(root: string, { host, segments }: NodelocalUri) {
    this.#root = root;
    this.#base = segments;
    this.location = `nodelocal://${host}/${segments.join('/')}`;
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const { folders, name } = this.#split(path);
    if (Buffer.byteLength(name) > longestName) throw new PgPierError('storageNameTooLong', { path });
    return await this.#run('write', path, async () => {
      throwIfCanceled(signal, this.location);
      const folder = await this.#walk(folders, true);
      try {
        const partial = `${partialPrefix}${randomBytes(8).toString('hex')}-${name}`;
        const handle = await open(folder.entry(partial), constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
        const run = <T>(work: () => Promise<T>) => this.#run('write', path, work);
        return new NodelocalWriter({ folder, handle, partial, name, path, ifAbsent, location: this.location, signal, run });
      } catch (error) {
        await folder.close();
        throw error;
      }
    });
  }

  async *read(path: string, options: ReadOptions = {}): AsyncIterable<Buffer> {
    yield* (await this.openToRead(path, options)).chunks();
  }

  /**
   * As `read`, in two steps: `version` tells the file that was opened from every other that has or had its name. It is closed when `chunks` have been consumed or
   * left, or by `close` instead.
   */
  async openToRead(
    path: string,
    options: ReadOptions = {},
  ): Promise<{ readonly version: string; chunks(): AsyncIterable<Buffer>; close(): Promise<void> }> {
    const { folders, name } = this.#split(path);
    const [handle, { dev, ino, size, mtimeNs }] = await this.#run('read', path, async () => {
      const folder = await this.#walk(folders, false);
      try {
        const opened = await folder.openFile(name, path);
        return [opened, await opened.stat({ bigint: true })] as const;
      } finally {
        await folder.close();
      }
    });
    return {
      version: `${dev}-${ino}-${size}-${mtimeNs}`,
      chunks: () => this.#chunks(handle, path, options),
      close: () => handle.close(),
    };
  }

  async *#chunks(handle: FileHandle, path: string, { start = 0, end, signal }: ReadOptions): AsyncIterable<Buffer> {
    try {
      let at = start;
      for (;;) {
        throwIfCanceled(signal, this.location);
        const wanted = end === undefined ? chunkBytes : Math.min(chunkBytes, end - at);
        if (wanted <= 0) return;
        const buffer = Buffer.allocUnsafe(wanted);
        const { bytesRead } = await this.#run('read', path, () => handle.read(buffer, 0, wanted, at));
        if (bytesRead === 0) return;
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await handle.close();
    }
  }

  async *list(
    prefix: string,
    { after, signal }: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncIterable<StoredObject> {
    for await (const { folder, path, name } of this.#files(prefix, signal, { after })) {
      if (name.startsWith(partialPrefix)) continue;
      const found = await this.#run('list', path, () => unlessMissing(lstat(folder.entry(name))));
      if (found?.isFile()) yield { path, size: found.size };
    }
  }

  async delete(path: string): Promise<void> {
    const { folders, name } = this.#split(path);
    await this.#run('delete', path, async () => {
      await unlessMissing(
        this.#walk(folders, false).then(async (folder) => {
          try {
            // Of a folder: EISDIR or EPERM, as the object of that name does not exist.
            const found = await lstat(folder.entry(name));
            if (!found.isDirectory()) await unlink(folder.entry(name));
          } finally {
            await folder.close();
          }
        }),
      );
    });
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    let removed = 0;
    for await (const { folder, path, name } of this.#files('', signal, { within: folderOf(prefix) })) {
      if (!name.startsWith(partialPrefix)) continue;
      const object = path.slice(0, path.length - name.length) + name.slice(partialLength);
      if (!object.startsWith(prefix)) continue;
      await this.#run('delete', path, async () => {
        const found = await unlessMissing(lstat(folder.entry(name)));
        if (!found || (before !== undefined && found.mtime >= before)) return;
        await unlessMissing(unlink(folder.entry(name)));
        removed += 1;
      });
    }
    return removed;
  }

  async close(): Promise<void> {}

  /**
   * Regular names below the base, in the order of their bytes; links are neither followed nor told. `within` is a folder's path to start at; folders
   * that end before `after` are not opened.
   */
  async *#files(
    prefix: string,
    signal: AbortSignal | undefined,
    { within = folderOf(prefix), after = '' }: { readonly within?: string; readonly after?: string | undefined } = {},
  ): AsyncIterable<Found> {
    const segments = within === '' ? [] : within.slice(0, -1).split('/');
    if (segments.some((segment) => segment === '' || segment === '.' || segment === '..')) return;
    const folder = await this.#run('list', within, () => unlessMissing(this.#walk([...this.#base, ...segments], false)));
    if (!folder) return;
    yield* this.#below(folder, within, { prefix, after, signal });
  }

  async *#below(folder: Folder, above: string, limits: Limits): AsyncIterable<Found> {
    const { prefix, after, signal } = limits;
    try {
      throwIfCanceled(signal, this.location);
      const entries = await this.#run('list', above, () => readdir(folder.self, { withFileTypes: true }));
      // In the order of whole paths a folder counts with its slash: "a-b" comes before "a/b".
      const sorted = entries
        .map((entry) => ({ entry, bytes: Buffer.from(entry.isDirectory() ? `${entry.name}/` : entry.name) }))
        .sort((a, b) => Buffer.compare(a.bytes, b.bytes));
      for (const { entry } of sorted) {
        const path = above + entry.name;
        if (entry.isFile()) {
          if (path.startsWith(prefix) && compareBytes(path, after) > 0) yield { folder, path, name: entry.name };
        } else if (entry.isDirectory() && (`${path}/`.startsWith(prefix) || prefix.startsWith(`${path}/`))) {
          if (compareBytes(`${path}/`, after) < 0 && !after.startsWith(`${path}/`)) continue;
          const inner = await this.#run('list', path, () => unlessMissing(folder.open(entry.name, path)));
          if (inner) yield* this.#below(inner, `${path}/`, limits);
        }
      }
    } finally {
      await folder.close();
    }
  }

  #split(path: string): { folders: string[]; name: string } {
    const segments = checkObjectPath(path).split('/');
    if (segments.some((segment) => segment.startsWith(partialPrefix))) {
      throw new PgPierError(
        'storagePathInvalid',
        { path: JSON.stringify(path) },
        { hint: `Names must not begin with "${partialPrefix}".` },
      );
    }
    const name = segments.pop()!;
    return { folders: [...this.#base, ...segments], name };
  }

  async #walk(folders: readonly string[], make: boolean): Promise<Folder> {
    if (make) await mkdir(this.#root, { recursive: true, mode: 0o700 });
    let folder = await Folder.root(this.#root);
    for (const [index, name] of folders.entries()) {
      const shown = folders.slice(0, index + 1).join('/');
      const outer = folder;
      try {
        folder = make ? await outer.make(name, shown) : await outer.open(name, shown);
      } finally {
        await outer.close();
      }
    }
    return folder;
  }

  async #run<T>(operation: string, path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw nodelocalError(error, { operation, path, location: this.location });
    }
  }
}

interface Limits {
  readonly prefix: string;
  readonly after: string;
  readonly signal: AbortSignal | undefined;
}

interface Found {
  /** Open while the loop's body runs. */
  readonly folder: Folder;
  readonly path: string;
  readonly name: string;
}

interface Writing {
  readonly folder: Folder;
  readonly handle: FileHandle;
  readonly partial: string;
  readonly name: string;
  readonly path: string;
  readonly ifAbsent: boolean;
  readonly location: string;
  readonly signal: AbortSignal | undefined;
  run<T>(work: () => Promise<T>): Promise<T>;
}

class NodelocalWriter implements StorageWriter {
  readonly #writing: Writing;
  #state: 'open' | 'finished' | 'aborted' = 'open';

  constructor(writing: Writing) {
    this.#writing = writing;
  }

  async write(chunk: Buffer): Promise<void> {
    const { handle, signal, location } = this.#writing;
    throwIfCanceled(signal, location);
    this.#requireOpen();
    for (let at = 0; at < chunk.length; ) {
      at += (await this.#writing.run(() => handle.write(chunk, at))).bytesWritten;
    }
  }

  async finish(): Promise<void> {
    const { folder, handle, signal, location, run } = this.#writing;
    throwIfCanceled(signal, location);
    this.#requireOpen();
    await run(async () => {
      await handle.sync();
      await this.#putInPlace();
      this.#state = 'finished';
      await folder.sync();
    });
    await this.#close();
  }

  async #putInPlace(): Promise<void> {
    const { folder, partial, name, path, ifAbsent, location } = this.#writing;
    const [from, to] = [folder.entry(partial), folder.entry(name)];
    try {
      // Unlike a rename, a second name is never given over another file's.
      await (ifAbsent ? link(from, to) : rename(from, to));
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code);
      if (ifAbsent && code === 'EEXIST' && !(await lstat(to)).isDirectory()) throw new PgPierError('storageObjectExists', { path });
      if (ifAbsent && noSecondName.has(code)) throw new PgPierError('storageConditionUnknown', { location });
      // A folder of that name: a file system cannot hold both, unlike S3.
      if (['EISDIR', 'ENOTEMPTY', 'EEXIST', 'EPERM'].includes(code)) throw new PgPierError('storageNotFile', { path });
      throw error;
    }
    if (ifAbsent) await unlink(from);
  }

  async abort(): Promise<void> {
    if (this.#state === 'aborted') return;
    const { folder, partial } = this.#writing;
    if (this.#state === 'open') await unlink(folder.entry(partial)).catch(() => {});
    this.#state = 'aborted';
    await this.#close();
  }

  #requireOpen(): void {
    if (this.#state !== 'open') throw new PgPierError('storageCanceled', { location: this.#writing.location });
  }

  async #close(): Promise<void> {
    await this.#writing.handle.close().catch(() => {});
    await this.#writing.folder.close().catch(() => {});
  }
}

function compareBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function folderOf(prefix: string): string {
  return prefix.slice(0, prefix.lastIndexOf('/') + 1);
}

function throwIfCanceled(signal: AbortSignal | undefined, location: string): void {
  if (signal?.aborted) throw new PgPierError('storageCanceled', { location });
}

/** What is gone meanwhile, or never was, is no object; so is what a file is in the way of. */
async function unlessMissing<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing || (error instanceof PgPierError && error.data.sqlstate === '58P02')) return undefined;
    throw error;
  }
}

function nodelocalError(error: unknown, at: { readonly operation: string; readonly path: string; readonly location: string }): PgPierError {
  if (error instanceof PgPierError) return error;
  const code = String((error as NodeJS.ErrnoException).code ?? 'unknown');
  if (code === 'ENOENT') return new PgPierError('storageObjectMissing', { provider: 'nodelocal', path: at.path });
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') return new PgPierError('nodelocalDenied', { ...at, cause: code });
  if (code === 'ENOSPC' || code === 'EDQUOT') return new PgPierError('storageFull', at);
  if (code === 'EFBIG') return new PgPierError('storageTooLarge', at);
  if (code === 'ENAMETOOLONG') return new PgPierError('storageNameTooLong', at);
  return new PgPierError('storageIo', { ...at, cause: code });
}
