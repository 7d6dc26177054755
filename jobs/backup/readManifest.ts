/**
 * Reads `BACKUP_MANIFEST`. It comes from a bucket that others may write to: every field is checked before anything is done with it. What the files
 * hold is for the reader of the files to check, against the sizes, sums and row counts that are told here.
 */
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { manifestName, manifestPath, shownFolder } from './collection.ts';
import type { BackedUpDatabase, BackedUpObject, BackedUpSequence, BackedUpTable, DataFile, Manifest, StoredFile } from './manifest.ts';
import { BadShape, bad, boolean, list, matching, name, object, oneOf, optional, type Read, text, wholeNumber } from './shape.ts';

/** Larger ones would take the worker's memory: a manifest of 10,000 tables has some 20 MB. */
export const largestManifest = 256 * 1024 * 1024;
const version = 1;

const count = wholeNumber(0);
/** Of an int8, whose values JavaScript numbers do not hold. */
const int8: Read<string> = (value, at) => {
  const digits = matching(/^-?\d{1,19}$/, 'a whole number in quotes')(value, at);
  if (BigInt.asIntN(64, BigInt(digits)) !== BigInt(digits)) throw bad(at, 'is out of range');
  return digits;
};
/** Plain words between slashes, so that no storage, shell or psql script can take them for something else. */
const path: Read<string> = (value, at) => {
  const read = matching(/^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/, 'a path in the folder of the backup')(value, at);
  if (read.split('/').some((segment) => /^\.+$/.test(segment) || segment.startsWith('-')))
    throw bad(at, 'must be a path in the folder of the backup');
  if (read.length > 200 || read.startsWith('BACKUP')) throw bad(at, 'must not be such a name');
  return read;
};
const time: Read<string> = (value, at) => {
  const read = matching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$/, 'a time such as 2026-04-18T08:42:11.250000Z')(value, at);
  if (Number.isNaN(Date.parse(read))) throw bad(at, 'is no time');
  return read;
};

const storedFields = { path, bytes: count, sha256: matching(/^[0-9a-f]{64}$/, 'a SHA-256 sum in hex') };
const storedFile = object<StoredFile>(storedFields);
const dataFiles = list(object<DataFile>({ ...storedFields, rows: count, rawBytes: count }));

const readTable = object<BackedUpTable>({ schema: name, name, columns: list(name), rows: count, files: dataFiles });
const table: Read<BackedUpTable> = (value, at) => {
  const found = readTable(value, at);
  if (found.files.reduce((sum, { rows }) => sum + rows, 0) !== found.rows) throw bad(`${at}.rows`, 'is not the sum of its files’ rows');
  return found;
};

const database = object<BackedUpDatabase>({
  name,
  owner: name,
  encoding: name,
  localeProvider: oneOf('libc', 'icu', 'builtin'),
  collate: text,
  ctype: text,
  locale: optional(text) as Read<string>,
  icuRules: optional(text) as Read<string>,
  connectionLimit: wholeNumber(-1),
  properties: list(text),
  preData: storedFile,
  postData: storedFile,
  tables: list(table),
  sequences: list(object<BackedUpSequence>({ schema: name, name, lastValue: int8, isCalled: boolean })),
  largeObjects: optional(object({ count, files: dataFiles })) as Read<NonNullable<BackedUpDatabase['largeObjects']>>,
  objects: list(
    object<BackedUpObject>({
      schema: text,
      name,
      type: oneOf('database', 'schema', 'table', 'type', 'function'),
      owner: name,
      privileges: optional(list(text)) as Read<readonly string[]>,
      createStatement: optional(text) as Read<string>,
      bytes: count,
      rows: count,
    }),
  ),
  script: storedFile,
});

const targets: Read<Manifest['targets']> = (value, at) => {
  const { kind } = object<{ kind: 'database' | 'table' }>({ kind: oneOf('database', 'table') })(value, at);
  if (kind === 'database') return { kind, ...object({ databases: list(name, { atLeast: 1 }) })(value, at) };
  return { kind, ...object({ patterns: list(name, { atLeast: 1 }) })(value, at) };
};

const manifest = object<Manifest>({
  format: oneOf('pgpier-backup'),
  version: (value, at) => {
    if (value !== version) throw bad(at, `must be ${version}`);
    return version;
  },
  id: matching(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, 'a UUID'),
  writtenBy: text,
  server: object({ version: text, versionNumber: wholeNumber(90_000) }),
  startTime: time,
  endTime: time,
  targets,
  databases: list(database, { atLeast: 1 }),
});

/** Every file that a manifest names, in its order. */
export function* filesOf({ databases }: Pick<Manifest, 'databases'>): Iterable<StoredFile> {
  for (const { preData, postData, script, tables, largeObjects } of databases) {
    yield preData;
    yield postData;
    yield script;
    for (const { files } of tables) yield* files;
    if (largeObjects !== undefined) yield* largeObjects.files;
  }
}

/** What is said twice may be said differently, or be counted twice. */
function checkUnique(found: Manifest): void {
  unique(found.databases, ({ name }) => name, 'databases');
  for (const [index, { tables, sequences }] of found.databases.entries()) {
    unique(tables, ({ schema, name }) => JSON.stringify([schema, name]), `databases[${index}].tables`);
    unique(sequences, ({ schema, name }) => JSON.stringify([schema, name]), `databases[${index}].sequences`);
  }
  unique([...filesOf(found)], ({ path }) => path, 'its list of files');
}

function unique<T>(items: readonly T[], key: (item: T) => string, where: string): void {
  if (new Set(items.map(key)).size !== items.length) throw bad(where, 'names one twice');
}

/** The text of a manifest as what it says. Unknown fields are passed over. @throws PgPierError XX001, 0A000 (a newer format) */
export function parseManifest(folder: string, json: Buffer): Manifest {
  const value = parseJson(folder, json);
  try {
    const head = object<{ format: string; version: number }>({ format: oneOf('pgpier-backup'), version: wholeNumber(1) })(value, '');
    if (head.version > version)
      throw new PgPierError('manifestNewer', { folder: shownFolder(folder), found: head.version, known: version });
    const found = manifest(value, '');
    checkUnique(found);
    return found;
  } catch (error) {
    throw error instanceof BadShape ? broken(folder, error.message) : error;
  }
}

/**
 * The bytes of a manifest, which `parseManifest` has accepted: a backup that could not be read again must not be finished.
 * @throws PgPierError XX001
 */
export function formatManifest(folder: string, manifest: Manifest): Buffer {
  let bytes: Buffer;
  try {
    bytes = Buffer.from(JSON.stringify(manifest));
  } catch (error) {
    // Longer than a string can be.
    if (error instanceof RangeError) throw tooLarge(folder);
    throw error;
  }
  if (bytes.length > largestManifest) throw tooLarge(folder);
  parseManifest(folder, bytes);
  return bytes;
}

function parseJson(folder: string, json: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json));
  } catch {
    throw broken(folder, 'it is not JSON in UTF-8');
  }
}

/**
 * The manifest of a folder that `findBackup` told.
 * @throws PgPierError XX001 (too large, not JSON, not as the format says), 0A000 (a newer format), 58P01, and the storage's
 */
export async function readManifest(storage: Storage, folder: string, signal: AbortSignal): Promise<Manifest> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of storage.read(manifestPath(folder), { signal })) {
    bytes += chunk.length;
    if (bytes > largestManifest) throw tooLarge(folder);
    chunks.push(chunk);
  }
  return parseManifest(folder, Buffer.concat(chunks));
}

const tooLarge = (folder: string): PgPierError => broken(folder, `${manifestName} is larger than ${largestManifest} bytes`);

function broken(folder: string, reason: string): PgPierError {
  return new PgPierError('manifestInvalid', { folder: shownFolder(folder), reason });
}
