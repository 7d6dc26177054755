/** Proves that a location can be written, listed and read, as CREATE EXTERNAL CONNECTION promises. */
import { PgPierError, toErrorData } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import type { Storage, StorageSettings } from './storage.ts';
import { openStorage } from './storages.ts';

/** CockroachDB's name and text, so that both leave the same file. It stays: no right to delete is asked for. */
export const markerName = 'crdb_external_storage_location';
export const markerText = 'a CockroachDB cluster has been configured to read and write to this location';

/** For everything together. A client waits, and so does its transaction. */
const checkMilliseconds = 15_000;

/**
 * @param open for a caller that counts what is moved
 * @throws PgPierError: CockroachDB's words for the step, then the cause, with the cause's SQLSTATE.
 */
export async function checkStorage(
  target: StorageTarget,
  settings: StorageSettings,
  signal: AbortSignal,
  open: (target: StorageTarget) => Promise<Storage> = (given) => openStorage(given, settings),
): Promise<void> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(checkMilliseconds)]);
  const storage = await open(target);
  try {
    await step('failed to write a sentinel ExternalStorage file', () => writeMarker(storage, limited));
    const found = await step('failed to list sentinel ExternalStorage file', () => findMarker(storage, limited));
    if (!found) throw new PgPierError('sentinelNotFound', { name: markerName });
    const content = await step('failed to read sentinel ExternalStorage file', () => readMarker(storage, limited));
    if (!content.equals(Buffer.from(markerText))) {
      const shown = JSON.stringify(content.subarray(0, markerText.length + 1).toString('latin1'));
      throw new PgPierError('sentinelMismatch', { expected: JSON.stringify(markerText), found: shown });
    }
  } finally {
    await storage.close();
  }
}

async function writeMarker(storage: Storage, signal: AbortSignal): Promise<void> {
  const writer = await storage.write(markerName, { signal });
  try {
    await writer.write(Buffer.from(markerText));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function findMarker(storage: Storage, signal: AbortSignal): Promise<boolean> {
  for await (const { path } of storage.list(markerName, { signal })) {
    if (path === markerName) return true;
  }
  return false;
}

/** At most a little more than the marker: what else lies there is not read whole. */
async function readMarker(storage: Storage, signal: AbortSignal): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of storage.read(markerName, { signal })) {
    chunks.push(chunk);
    if (chunks.reduce((sum, { length }) => sum + length, 0) > markerText.length) break;
  }
  return Buffer.concat(chunks);
}

async function step<T>(words: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const cause = toErrorData(error);
    throw PgPierError.from({ ...cause, message: `${words}: ${cause.message}` });
  }
}
