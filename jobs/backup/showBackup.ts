/** SHOW BACKUPS and SHOW BACKUP in a worker: read the storage, and answer what the statement's columns need. */
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { ShowBackupsTask, ShowBackupTask, ShownBackup, ShownBackups, ShownObject } from '../task.ts';
import type { TaskRun } from '../transfer/export.ts';
import { findBackup, folderTime, listBackups, type UnfinishedBackup } from './collection.ts';
import { grantStatements } from './grantStatements.ts';
import type { BackedUpDatabase, BackedUpObject, StoredFile } from './manifest.ts';
import { filesOf, readManifest } from './readManifest.ts';

/** @throws PgPierError of the storage; when the signal aborts, its reason */
export async function showBackups(task: ShowBackupsTask, run: TaskRun): Promise<ShownBackups> {
  const { newerThan = Number.NEGATIVE_INFINITY, olderThan = Number.POSITIVE_INFINITY } = task;
  const finished: string[] = [];
  const unfinished: UnfinishedBackup[] = [];
  await using(run, task.target, async (storage) => {
    for await (const found of listBackups(storage, run.signal)) {
      const time = folderTime(found.folder)!.getTime();
      if (time <= newerThan || time >= olderThan) continue;
      if (found.finished) finished.push(found.folder);
      else unfinished.push({ folder: found.folder, ...(found.jobId === undefined ? {} : { jobId: found.jobId }) });
    }
  });
  return { finished, unfinished };
}

/** @throws PgPierError 58P01 (no such backup, files missing), XX001 (manifest or sizes), 0A000 (newer format), the storage's */
export async function showBackup({ target, choice, checkFiles, show }: ShowBackupTask, run: TaskRun): Promise<ShownBackup> {
  return using(run, target, async (storage) => {
    const folder = await findBackup(storage, choice, run.signal);
    const manifest = await readManifest(storage, folder, run.signal);
    if (checkFiles) await compareFiles(storage, folder, [...filesOf(manifest)], run.signal);
    if (show.kind === 'json') return { kind: 'json', manifest: JSON.stringify(manifest) };
    const objects = manifest.databases.flatMap((database) => {
      const fileBytes = checkFiles ? fileBytesOf(database) : () => ({});
      return database.objects.map((object): ShownObject => ({ ...shown(database, object, show), ...fileBytes(object) }));
    });
    return { kind: 'objects', time: manifest.startTime, objects };
  });
}

async function using<T>(run: TaskRun, target: ShowBackupTask['target'], work: (storage: Storage) => Promise<T>): Promise<T> {
  const storage = await run.openStorage(target);
  try {
    return await work(storage);
  } finally {
    await storage.close();
  }
}

function shown(
  { name: database }: BackedUpDatabase,
  { schema, name, type, bytes, rows, owner, privileges, createStatement }: BackedUpObject,
  show: { readonly createStatements: boolean; readonly privileges: boolean },
): ShownObject {
  return {
    database,
    schema,
    name,
    type,
    bytes,
    rows,
    ...(show.createStatements && createStatement !== undefined ? { createStatement } : {}),
    ...(show.privileges ? { owner } : {}),
    ...(show.privileges && privileges !== undefined ? { privileges: grantStatements({ schema, name, type }, privileges) } : {}),
  };
}

/** What is the tables' own is theirs; the rest of the files belongs to the database. */
function fileBytesOf({
  tables,
  preData,
  postData,
  script,
  largeObjects,
}: BackedUpDatabase): (object: BackedUpObject) => { fileBytes?: number } {
  const sum = (files: readonly StoredFile[]) => files.reduce((total, { bytes }) => total + bytes, 0);
  const key = (schema: string, name: string) => JSON.stringify([schema, name]);
  const ofTables = new Map(tables.map(({ schema, name, files }) => [key(schema, name), sum(files)]));
  const ofDatabase = sum([preData, postData, script, ...(largeObjects?.files ?? [])]);
  return ({ schema, name, type }) => {
    const fileBytes = type === 'database' ? ofDatabase : type === 'table' ? ofTables.get(key(schema, name)) : undefined;
    return fileBytes === undefined ? {} : { fileBytes };
  };
}

/** Existence and size, by one listing, as CockroachDB does it; what a file holds is checked when it is restored. */
async function compareFiles(storage: Storage, folder: string, files: readonly StoredFile[], signal: AbortSignal): Promise<void> {
  const expected = new Map(files.map(({ path, bytes }) => [path, bytes]));
  const wrong: string[] = [];
  for await (const { path, size } of storage.list(`${folder}/`, { signal })) {
    const name = path.slice(folder.length + 1);
    const bytes = expected.get(name);
    if (bytes !== undefined && bytes !== size) wrong.push(`${name} (${size} bytes instead of ${bytes})`);
    expected.delete(name);
  }
  const wrongSizes = wrong.length === 0 ? undefined : new PgPierError('backupFilesWrongSize', { files: listed(wrong) });
  if (expected.size === 0 && wrongSizes === undefined) return;
  if (expected.size === 0) throw wrongSizes;
  const missing = listed([...expected.keys()]);
  throw new PgPierError('backupFilesMissing', { files: missing }, wrongSizes === undefined ? {} : { detail: wrongSizes.message });
}

const mostListed = 100;

function listed(names: readonly string[]): string {
  const more = names.length > mostListed ? [`and ${names.length - mostListed} more`] : [];
  return [...names.slice(0, mostListed), ...more].map((name) => `\n\t${name}`).join('');
}
