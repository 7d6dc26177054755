/** The last two files of a backup, in the order that makes it one. */
import type { Storage } from '../../external/storage/storage.ts';
import { latestPointer, manifestPath, writeSmallObject } from './collection.ts';
import type { Manifest } from './manifest.ts';
import { formatManifest } from './readManifest.ts';

/**
 * Writes the manifest, by which the backup begins to exist, then the pointer by which `LATEST` finds it. All other files must be durable before.
 * @throws PgPierError XX001 for a manifest that could not be read again, before anything is written; the storage's
 */
export async function finishBackup(storage: Storage, folder: string, manifest: Manifest, signal: AbortSignal): Promise<void> {
  await writeSmallObject(storage, manifestPath(folder), formatManifest(folder, manifest), signal);
  await pointToLatest(storage, folder, signal);
}

/** Also for an attempt that finds its folder's manifest written and does not know whether the pointer was. */
export async function pointToLatest(storage: Storage, folder: string, signal: AbortSignal): Promise<void> {
  const { path, content } = latestPointer(folder);
  await writeSmallObject(storage, path, content, signal);
}
