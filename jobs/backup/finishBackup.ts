/** The last two files of a backup, in the order that makes it one. */
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { latestPointer, manifestPath, writeSmallObject } from './collection.ts';
import type { Manifest } from './manifest.ts';
import { formatManifest } from './readManifest.ts';

/**
 * Writes the manifest, by which the backup begins to exist, then the pointer by which `LATEST` finds it. All other files must be durable before.
 * Never over another manifest: a worker that was frozen, and thaws after its job has gone to another, must not replace what somebody may rely on.
 * @throws PgPierError XX001 for a manifest that could not be read again, before anything is written; 58P02 where another one is there; the storage's
 */
export async function finishBackup(storage: Storage, folder: string, manifest: Manifest, signal: AbortSignal): Promise<void> {
  const path = manifestPath(folder);
  const bytes = formatManifest(folder, manifest);
  try {
    await writeSmallObject(storage, path, bytes, signal, { ifAbsent: true });
  } catch (error) {
    const sqlstate = error instanceof PgPierError ? error.data.sqlstate : undefined;
    // A store without conditions: there the fence of the job alone keeps a thawed worker away.
    if (sqlstate === '0A000') await writeSmallObject(storage, path, bytes, signal);
    // Our own, where a request was repeated because its answer was lost.
    else if (sqlstate !== '58P02' || !(await holds(storage, path, bytes, signal))) throw error;
  }
  await pointToLatest(storage, folder, signal);
}

async function holds(storage: Storage, path: string, bytes: Buffer, signal: AbortSignal): Promise<boolean> {
  let at = 0;
  for await (const chunk of storage.read(path, { signal })) {
    if (!bytes.subarray(at, at + chunk.length).equals(chunk)) return false;
    at += chunk.length;
  }
  return at === bytes.length;
}

/** Also for an attempt that finds its folder's manifest written and does not know whether the pointer was. */
export async function pointToLatest(storage: Storage, folder: string, signal: AbortSignal): Promise<void> {
  const { path, content } = latestPointer(folder);
  await writeSmallObject(storage, path, content, signal);
}
