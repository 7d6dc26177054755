/** What a location does with real bytes: writes a file of random ones, reads it back, compares, deletes it. For CHECK EXTERNAL CONNECTION. */
import { randomBytes, randomUUID } from 'node:crypto';
import { PgPierError } from '../../errors.ts';
import type { Storage } from './storage.ts';

export interface Measurement {
  /** Bytes that were written and read back. */
  readonly transferred: number;
  readonly writeMilliseconds: number;
  readonly readMilliseconds: number;
  readonly canDelete: boolean;
  /** Of files that could not be deleted. */
  readonly left: readonly string[];
}

/** Random, so that no store and no disk can make it smaller; repeated, since making it is slower than a good network. */
const patternBytes = 1024 * 1024;

/**
 * Rounds of `size` bytes until `milliseconds` have passed, at least one.
 * @throws PgPierError of the first step that failed; what it wrote is removed where that is allowed
 */
export async function measureStorage(
  storage: Storage,
  { size, milliseconds }: { readonly size: number; readonly milliseconds: number },
  signal: AbortSignal,
): Promise<Measurement> {
  const pattern = randomBytes(Math.min(patternBytes, size));
  const begun = performance.now();
  const sum = { transferred: 0, writeMilliseconds: 0, readMilliseconds: 0, canDelete: true, left: [] as string[] };
  do {
    const path = `pgpier_check_${randomUUID()}`;
    try {
      sum.writeMilliseconds += await timed(() => write(storage, path, pattern, size, signal));
      sum.readMilliseconds += await timed(() => read(storage, path, pattern, size, signal));
      sum.transferred += size;
    } finally {
      // Also after a failure, and after a cancel: that ends what was asked for, not what is to be tidied.
      if (!(await deleted(storage, path))) {
        sum.canDelete = false;
        sum.left.push(path);
      }
    }
  } while (performance.now() - begun < milliseconds);
  return sum;
}

async function timed(work: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

async function write(storage: Storage, path: string, pattern: Buffer, size: number, signal: AbortSignal): Promise<void> {
  const writer = await storage.write(path, { signal });
  try {
    for (let at = 0; at < size; at += pattern.length) await writer.write(pattern.subarray(0, Math.min(pattern.length, size - at)));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function read(storage: Storage, path: string, pattern: Buffer, size: number, signal: AbortSignal): Promise<void> {
  let at = 0;
  for await (const chunk of storage.read(path, { signal })) {
    for (let from = 0; from < chunk.length; ) {
      const within = at % pattern.length;
      const length = Math.min(chunk.length - from, pattern.length - within);
      if (pattern.compare(chunk, from, from + length, within, within + length) !== 0)
        throw new PgPierError('checkMismatch', { offset: at });
      from += length;
      at += length;
    }
  }
  if (at !== size) throw new PgPierError('checkMismatch', { offset: Math.min(at, size) });
}

async function deleted(storage: Storage, path: string): Promise<boolean> {
  try {
    await storage.delete(path);
    return true;
  } catch {
    return false;
  }
}
