/**
 * How a collection of backups lies on a storage: names, and what is where. Nothing in it is ever overwritten. Format: docs/backup-format.md.
 *
 * ```
 * 2026/04/18-084211.25/          a backup: the time it began, UTC, to 1/100 s
 *     BACKUP-LOCK-<job id>       first: whose folder it is
 *     1/…  2/…                   a folder for each database
 *     BACKUP_MANIFEST            last: a backup without one does not exist
 * metadata/latest/LATEST-<hex>   then: which backup is the newest; the first in the order of names counts
 * ```
 * Folders are named here without a slash before or behind: `2026/04/18-084211.25`. Users see one before.
 */
import { PgPierError } from '../../errors.ts';
import type { Storage, WriteOptions } from '../../external/storage/storage.ts';

export const manifestName = 'BACKUP_MANIFEST';
const lockPrefix = 'BACKUP-LOCK-';
const latestPrefix = 'metadata/latest/LATEST-';

/** Years 2000 to 2999: one listing whose paths begin with 2 finds all, and little else. */
const folderPattern = /^(2\d{3})\/(\d\d)\/(\d\d)-(\d\d)(\d\d)(\d\d)\.(\d\d)$/;
const folderLength = '2026/04/18-084211.25'.length;

/** Go's layout 2006/01/02-150405.00. Cut to the hundredth, not rounded: as the folder of something that begins later, this one is not before it. */
export function folderName(time: Date): string {
  const [, year, month, day, clock, hundredths] = /^(\d{4})-(\d\d)-(\d\d)T([\d:]{8})\.(\d\d)/.exec(time.toISOString())!;
  return `${year}/${month}/${day}-${clock!.replaceAll(':', '')}.${hundredths}`;
}

/** The time in a folder's name; undefined for a text that is no such name (or tells of a 31st of February). */
export function folderTime(folder: string): Date | undefined {
  const parts = folderPattern.exec(folder);
  if (parts === null) return undefined;
  const [, year, month, day, hour, minute, second, hundredths] = parts;
  const time = new Date(`${year}-${month}-${day}T${hour}:${minute}:${second}.${hundredths}0Z`);
  return !Number.isNaN(time.getTime()) && folderName(time) === folder ? time : undefined;
}

/** A folder as a user may write it, with slashes around; undefined for anything else. */
export function parseFolder(text: string): string | undefined {
  const folder = text.trim().replace(/^\/+|\/+$/g, '');
  return folderTime(folder) === undefined ? undefined : folder;
}

export const shownFolder = (folder: string): string => `/${folder}`;

export const lockPath = (folder: string, jobId: string): string => `${folder}/${lockPrefix}${jobId}`;
export const manifestPath = (folder: string): string => `${folder}/${manifestName}`;

/**
 * The pointer of a finished backup: its name from the folder's time, the later the earlier in the order of names; so writing it twice is
 * writing the same.
 */
export function latestPointer(folder: string): { readonly path: string; readonly content: string } {
  const descending = (1n << 64n) - 1n - BigInt(folderTime(folder)!.getTime()) * 1000n;
  return { path: `${latestPrefix}${descending.toString(16).padStart(16, '0')}`, content: shownFolder(folder) };
}

const longestPointer = 1024;
const clashes = 200;

/**
 * A folder that is this job's alone, from `time` on: its lock is written. Two jobs that find each other's locks both move on, by 1/100 s or more.
 * @param jobId decimal
 * @param announce called with a folder before anything is written there: who dies then, or soon after, can be cleaned up behind (`removeFolder`)
 */
export async function claimFolder(
  storage: Storage,
  jobId: string,
  time: Date,
  signal: AbortSignal,
  announce: (folder: string) => Promise<void> = async () => {},
): Promise<string> {
  let at = time;
  for (let attempt = 0; attempt < clashes; attempt++) {
    const folder = folderName(at);
    const own = lockPath(folder, jobId);
    if (await isEmptyBut(storage, folder, own, signal)) {
      await announce(folder);
      await writeSmallObject(storage, own, '', signal);
      if (await isEmptyBut(storage, folder, own, signal)) return folder;
      await storage.delete(own, { signal });
    }
    at = new Date(at.getTime() + 10 * (1 + Math.floor(Math.random() * (attempt + 1))));
  }
  throw new PgPierError('backupFolderTaken', { folder: shownFolder(folderName(time)) });
}

/**
 * Clears what an attempt of this job left in a folder that it had announced. Its lock is written first and deleted last: without it, or beside another job's,
 * what else is there is somebody else's.
 */
export async function removeFolder(storage: Storage, folder: string, jobId: string, signal: AbortSignal): Promise<void> {
  const own = lockPath(folder, jobId);
  const paths: string[] = [];
  for await (const { path } of storage.list(`${folder}/`, { signal })) paths.push(path);
  const othersLock = paths.some((path) => path.startsWith(lockPath(folder, '')) && path !== own);
  if (!paths.includes(own) || othersLock) {
    await storage.removePartial(own, { signal });
    if (paths.includes(own)) await storage.delete(own, { signal });
    return;
  }
  await storage.removePartial(`${folder}/`, { signal });
  for (const path of paths) if (path !== own) await storage.delete(path, { signal });
  await storage.delete(own, { signal });
}

async function isEmptyBut(storage: Storage, folder: string, own: string, signal: AbortSignal): Promise<boolean> {
  for await (const { path } of storage.list(`${folder}/`, { signal })) if (path !== own) return false;
  return true;
}

export async function writeSmallObject(
  storage: Storage,
  path: string,
  content: string | Buffer,
  signal: AbortSignal,
  { ifAbsent = false }: Pick<WriteOptions, 'ifAbsent'> = {},
): Promise<void> {
  const writer = await storage.write(path, { signal, ifAbsent });
  try {
    await writer.write(Buffer.from(content as string));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Which backup a statement means. */
export type BackupChoice = { readonly kind: 'latest' } | { readonly kind: 'subdirectory'; readonly path: string };

/**
 * The folder of a finished backup.
 * @throws PgPierError 58P01 if there is none. A latest backup whose manifest is gone is not replaced by an older one: who restores the latest means it.
 */
export async function findBackup(storage: Storage, choice: BackupChoice, signal: AbortSignal): Promise<string> {
  const folder = choice.kind === 'latest' ? await latestFolder(storage, signal) : parseFolder(choice.path);
  if (folder === undefined && choice.kind === 'latest') throw new PgPierError('backupLatestMissing');
  if (folder === undefined) throw new PgPierError('backupMissing', { folder: shownText((choice as { path: string }).path) });
  if (await exists(storage, manifestPath(folder), signal)) return folder;
  const detail = (await isEmptyBut(storage, folder, '', signal)) ? {} : { detail: 'It holds files of a backup that is not finished.' };
  if (choice.kind === 'subdirectory') throw new PgPierError('backupMissing', { folder: shownFolder(folder) }, detail);
  throw new PgPierError(
    'backupLatestMissing',
    {},
    {
      detail: `It names ${shownFolder(folder)}, which has no ${manifestName}.`,
      hint: 'Name one of those that SHOW BACKUPS IN lists.',
    },
  );
}

/** A URI in the wrong place may hold a secret. */
const shownText = (text: string): string => (/^[\w./-]{0,64}$/.test(text) ? text : '...');

async function exists(storage: Storage, wanted: string, signal: AbortSignal): Promise<boolean> {
  for await (const { path } of storage.list(wanted, { signal })) if (path === wanted) return true;
  return false;
}

/** What the first pointer says; undefined without one, or if it says nothing that could be a folder. */
async function latestFolder(storage: Storage, signal: AbortSignal): Promise<string | undefined> {
  for await (const { path, size } of storage.list(latestPrefix, { signal })) {
    if (!/^[0-9a-f]{16}$/.test(path.slice(latestPrefix.length))) continue;
    if (size > longestPointer) return undefined;
    const chunks: Buffer[] = [];
    for await (const chunk of storage.read(path, { end: longestPointer, signal })) chunks.push(chunk);
    return parseFolder(Buffer.concat(chunks).toString('utf8'));
  }
  return undefined;
}

/** A folder without a manifest: a backup that is being written, or one that ended early. */
export interface UnfinishedBackup {
  readonly folder: string;
  /** Whose lock is in it, decimal; undefined without one. */
  readonly jobId?: string;
}

export type FoundBackup = { readonly finished: true; readonly folder: string } | ({ readonly finished: false } & UnfinishedBackup);

/** A folder's data files are not listed to the end: after so many the listing begins anew behind them. */
const fewEnough = 1000;

/** All backups of a collection, oldest first. What else lies in the bucket is passed over. */
export async function* listBackups(storage: Storage, signal: AbortSignal): AsyncIterable<FoundBackup> {
  let current: { folder: string; finished: boolean; jobId?: string; objects: number } | undefined;
  const found = (): FoundBackup[] => {
    if (current === undefined) return [];
    const { folder, finished, jobId } = current;
    return [finished ? { finished, folder } : { finished, folder, ...(jobId === undefined ? {} : { jobId }) }];
  };
  let after: string | undefined = '';
  while (after !== undefined) {
    const behind: string = after;
    after = undefined;
    for await (const { path } of storage.list('2', { signal, ...(behind === '' ? {} : { after: behind }) })) {
      const folder = path.slice(0, folderLength);
      if (path[folderLength] !== '/' || path <= behind || folderTime(folder) === undefined) continue;
      if (folder !== current?.folder) {
        yield* found();
        current = { folder, finished: false, objects: 0 };
      }
      const name = path.slice(folderLength + 1);
      if (name === manifestName) current.finished = true;
      else if (/^\d{1,20}$/.test(name.slice(lockPrefix.length)) && name.startsWith(lockPrefix))
        current.jobId ??= name.slice(lockPrefix.length);
      // Data lies in folders whose names are numbers, before the lock and the manifest.
      if (++current.objects === fewEnough && name < 'A') {
        after = `${folder}/A`;
        break;
      }
    }
  }
  yield* found();
}
