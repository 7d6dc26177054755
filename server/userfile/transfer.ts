/** Local files into userfile:// and back, whole or not at all. */
import { createReadStream, existsSync, rmSync, statSync } from 'node:fs';
import { link, open, rename } from 'node:fs/promises';
import { basename } from 'node:path';
import { PgPierError } from '../../errors.ts';
import type { FilePlace } from './catalogFiles.ts';
import { Progress } from './progress.ts';

/** A failure in words for the person at the terminal. */
export class Refusal extends Error {}

/** @returns the URI that was written */
export async function upload(
  { storage, path, uriOf }: FilePlace,
  { file, force, signal }: { readonly file: string; readonly force: boolean; readonly signal: AbortSignal },
): Promise<string> {
  const size = file === '-' ? undefined : sizeOf(file);
  const name = path === '' || path.endsWith('/') ? path + basename(file) : path;
  if (!force && (await find(storage, name, signal)) !== undefined) throw new Refusal(`${uriOf(name)} exists already; --force replaces it`);
  const source = file === '-' ? process.stdin : createReadStream(file, { highWaterMark: 1024 * 1024 });
  const progress = new Progress('uploaded', size);
  const writer = await storage.write(name, { signal });
  try {
    const onAbort = (): void => void source.destroy(new PgPierError('storageCanceled', { location: uriOf(name) }));
    signal.addEventListener('abort', onAbort, { once: true });
    for await (const chunk of source) {
      await writer.write(chunk as Buffer);
      progress.add((chunk as Buffer).length);
    }
    signal.removeEventListener('abort', onAbort);
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw localError(error, file);
  } finally {
    progress.end();
  }
  return uriOf(name);
}

/** Into a file beside the wanted one, which gets its name when it is whole. */
export async function download(
  { storage, path, uriOf }: FilePlace,
  { file, force, signal }: { readonly file: string | undefined; readonly force: boolean; readonly signal: AbortSignal },
): Promise<void> {
  const size = await find(storage, path, signal);
  if (size === undefined) throw new Refusal(`there is no ${uriOf(path)}`);
  const progress = new Progress('got', size);
  if (file === '-') {
    for await (const chunk of storage.read(path, { signal })) {
      await new Promise<void>((resolve, reject) => process.stdout.write(chunk, (error) => (error ? reject(error) : resolve())));
      progress.add(chunk.length);
    }
    return progress.end();
  }
  const target = file ?? basename(path);
  if (existsSync(target)) {
    if (statSync(target).isDirectory()) throw new Refusal(`"${target}" is a directory; give a file's name`);
    if (!force) throw new Refusal(`"${target}" exists already; --force replaces it`);
  }
  const partial = `${target}.pgpier-partial-${process.pid}`;
  try {
    const handle = await open(partial, 'wx');
    try {
      for await (const chunk of storage.read(path, { signal })) {
        await handle.writeFile(chunk);
        progress.add(chunk.length);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    // link() never replaces what came there meanwhile; some file systems have no links.
    if (force) await rename(partial, target);
    else await link(partial, target).catch((error) => (error.code === 'EEXIST' ? Promise.reject(error) : rename(partial, target)));
  } catch (error) {
    throw localError(error, target);
  } finally {
    rmSync(partial, { force: true });
    progress.end();
  }
}

/** The size of the file of exactly this path. */
export async function find(storage: FilePlace['storage'], path: string, signal: AbortSignal): Promise<number | undefined> {
  for await (const found of storage.list(path, { signal })) return found.path === path ? found.size : undefined;
  return undefined;
}

function sizeOf(file: string): number | undefined {
  try {
    const status = statSync(file);
    if (status.isDirectory()) throw new Refusal(`"${file}" is a directory; upload takes one file`);
    return status.isFile() ? status.size : undefined;
  } catch (error) {
    throw localError(error, file);
  }
}

function localError(error: unknown, file: string): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof PgPierError || error instanceof Refusal || code === undefined) return error;
  const words: Readonly<Record<string, string>> = {
    ENOENT: 'there is no such file or directory',
    EACCES: 'permission denied',
    ENOSPC: 'no space left on the disk',
    EEXIST: 'it exists already; --force replaces it',
    EISDIR: 'it is a directory',
  };
  return new Refusal(`"${file}": ${words[code] ?? code}`);
}
