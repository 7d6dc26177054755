/**
 * A folder below the external directory, reached without following a symbolic link: a link in the middle of a path, or one that is put
 * there while the path is walked, must not lead outside.
 *
 * On Linux every step is an `open` with O_NOFOLLOW relative to the folder before it (`/proc/self/fd/<n>/name` is Node's only openat), so there is
 * no moment between the check and the use. Elsewhere each step is checked with lstat before, and by device and inode after the open;
 * whoever can swap folders of the external directory within that moment wins.
 */
import { constants, existsSync } from 'node:fs';
import { type FileHandle, lstat, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';
import { PgPierError } from '../../errors.ts';

const hasOpenat = process.platform === 'linux' && existsSync('/proc/self/fd');
const { O_RDONLY, O_DIRECTORY = 0, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;

export class Folder {
  readonly #handle: FileHandle;
  readonly #path: string;

  private constructor(handle: FileHandle, path: string) {
    this.#handle = handle;
    this.#path = path;
  }

  /** The external directory itself, which the operator may well have made a link. */
  static async root(directory: string): Promise<Folder> {
    return new Folder(await open(directory, O_RDONLY | O_DIRECTORY), directory);
  }

  /** A name in this folder as a path for the calls of node:fs. Valid until `close`. */
  entry(name: string): string {
    return hasOpenat ? `/proc/self/fd/${this.#handle.fd}/${name}` : join(this.#path, name);
  }

  /** This folder as a path. */
  get self(): string {
    return hasOpenat ? `/proc/self/fd/${this.#handle.fd}` : this.#path;
  }

  /**
   * Opens a folder in this one.
   * @throws PgPierError 42501 for a link, 58P02 for a file; ENOENT as it is.
   */
  async open(name: string, shown: string): Promise<Folder> {
    const handle = await openUnlinked(this.entry(name), O_RDONLY | O_DIRECTORY, shown);
    return new Folder(handle, join(this.#path, name));
  }

  /** As `open`, after making the folder if it is missing. */
  async make(name: string, shown: string): Promise<Folder> {
    try {
      await mkdir(this.entry(name), { mode: 0o700 });
      await this.sync();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    return await this.open(name, shown);
  }

  /** Opens a regular file for reading; a pipe or device is refused, without waiting for its other end. */
  async openFile(name: string, shown: string): Promise<FileHandle> {
    const handle = await openUnlinked(this.entry(name), O_RDONLY | O_NONBLOCK, shown);
    if ((await handle.stat()).isFile()) return handle;
    await handle.close();
    throw new PgPierError('storageNotFile', { path: shown });
  }

  /** Makes names durable: a rename or a new entry. */
  async sync(): Promise<void> {
    // Some file systems cannot sync a folder; those that need it can.
    await this.#handle.sync().catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EINVAL' && error.code !== 'EPERM' && error.code !== 'EISDIR') throw error;
    });
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

async function openUnlinked(path: string, flags: number, shown: string): Promise<FileHandle> {
  try {
    if (hasOpenat) return await open(path, flags | O_NOFOLLOW);
    const before = await lstat(path, { bigint: true });
    if (before.isSymbolicLink()) throw new PgPierError('nodelocalOutside', { path: shown });
    const handle = await open(path, flags | O_NOFOLLOW);
    const after = await handle.stat({ bigint: true });
    if (after.dev === before.dev && after.ino === before.ino) return handle;
    await handle.close();
    throw new PgPierError('nodelocalOutside', { path: shown });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ELOOP' || code === 'EMLINK') throw new PgPierError('nodelocalOutside', { path: shown });
    if (code !== 'ENOTDIR') throw error;
    // With O_DIRECTORY, a link is "not a directory" too.
    const link = await lstat(path).then(
      (found) => found.isSymbolicLink(),
      () => false,
    );
    throw new PgPierError(link ? 'nodelocalOutside' : 'storageNotFolder', { path: shown });
  }
}
