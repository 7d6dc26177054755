/** A file of a backup, held to what the manifest says of it. */
import { createHash } from 'node:crypto';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { decompressBlocks } from '../../formats/zstdFrames.ts';
import type { DataFile, StoredFile } from '../backup/manifest.ts';

/** A schema is read as a whole; one of 10,000 tables has some 20 MB. */
const LARGEST_SCHEMA = 400 * 1024 * 1024;

/** Raw blocks of a file; after the last one the sums have been compared. @throws PgPierError XX001 that names the file; 58P01 if it is missing */
export async function* readBackupFile(
  storage: Storage,
  folder: string,
  file: StoredFile | DataFile,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const path = `${folder}/${file.path}`;
  const damaged = (reason: string): PgPierError => new PgPierError('damagedFile', { path, reason });
  const hash = createHash('sha256');
  let bytes = 0;
  let raw = 0;
  const stored = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of storage.read(path, { signal })) {
      bytes += chunk.length;
      if (bytes > file.bytes) throw damaged('it is longer than the manifest says');
      hash.update(chunk);
      yield chunk;
    }
  };
  for await (const block of decompressBlocks(path, stored())) {
    raw += block.length;
    if ('rawBytes' in file && raw > file.rawBytes) throw damaged('it holds more than the manifest says');
    yield block;
  }
  if (bytes !== file.bytes) throw damaged('it is shorter than the manifest says');
  if (hash.digest('hex') !== file.sha256) throw damaged('its SHA-256 is not the one in the manifest');
  if ('rawBytes' in file && raw !== file.rawBytes) throw damaged('it holds less than the manifest says');
}

/** A schema file as text. */
export async function readSchemaFile(storage: Storage, folder: string, file: StoredFile, signal: AbortSignal): Promise<string> {
  const blocks: Buffer[] = [];
  let size = 0;
  for await (const block of readBackupFile(storage, folder, file, signal)) {
    size += block.length;
    if (size > LARGEST_SCHEMA)
      throw new PgPierError('damagedFile', { path: `${folder}/${file.path}`, reason: 'it is too large for a schema' });
    blocks.push(block);
  }
  return Buffer.concat(blocks).toString('utf8');
}
