/** Names and listings of a backup collection (docs/backup-format.md), on files. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import type { Storage, StoredObject } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import {
  claimFolder,
  findBackup,
  folderName,
  folderTime,
  latestPointer,
  listBackups,
  lockPath,
  parseFolder,
  removeFolder,
  writeSmallObject,
} from '../../jobs/backup/collection.ts';
import { finishBackup, pointToLatest } from '../../jobs/backup/finishBackup.ts';
import { readManifest } from '../../jobs/backup/readManifest.ts';
import { rejectsWith } from '../external/storageContract.ts';
import { buildBackup, exampleBackup, pointerName, put } from './backupBuilder.ts';

const signal = new AbortController().signal;
let directory: string;
let made = 0;

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pgpier-collection-'));
});
after(async () => rm(directory, { recursive: true }));

const open = (name = `c${++made}`): Promise<Storage> =>
  openStorage({ uri: `nodelocal://1/${name}`, trusted: true }, { externalDir: directory, nodeId: 1, allowedNetworks: [] });

async function listed(storage: Storage): Promise<unknown[]> {
  const found: unknown[] = [];
  for await (const each of listBackups(storage, signal)) found.push(each);
  return found;
}

test('a folder’s name is its time, to the hundredth, and back', () => {
  assert.equal(folderName(new Date('2026-04-18T08:42:11.257Z')), '2026/04/18-084211.25');
  assert.equal(folderTime('2026/04/18-084211.25')?.toISOString(), '2026-04-18T08:42:11.250Z');
  for (const text of ['2026/04/18-084211.25', '/2026/04/18-084211.25', '//2026/04/18-084211.25/ ']) {
    assert.equal(parseFolder(text), '2026/04/18-084211.25', text);
  }
  const no = [
    '',
    '/',
    'LATEST',
    '2026',
    '2026/04/18-084211',
    '2026/02/31-000000.00',
    '2026/13/01-000000.00',
    '2026/04/18-246000.00',
    '../2026/04/18-084211.25',
  ];
  for (const text of [...no, '1999/04/18-084211.25', '2026/04/18-084211.25/1', 's3://2026/04/18-084211.25'])
    assert.equal(parseFolder(text), undefined, text);
});

test('the pointer’s name is what the page’s formula says, and a later one comes first', () => {
  const folders = ['2000/01/01-000000.00', '2026/04/18-084211.25', '2026/04/18-084211.26', '2027/01/01-000000.00', '2999/12/31-235959.99'];
  const pointers = folders.map(latestPointer);
  for (const [index, folder] of folders.entries()) {
    assert.deepEqual(pointers[index], { path: pointerName(folder), content: `/${folder}` });
    assert.equal(pointers[index]!.path.length, 'metadata/latest/LATEST-'.length + 16);
  }
  assert.deepEqual(pointers.map(({ path }) => path).sort(), pointers.map(({ path }) => path).reverse());
});

test('finished backups are listed oldest first, unfinished ones with their job, and foreign files are passed over', async () => {
  const storage = await open();
  assert.deepEqual(await listed(storage), []);
  for (const folder of ['2026/04/18-084211.25', '2025/12/31-235959.99', '2026/04/18-084211.26']) await buildBackup(storage, folder);
  await put(storage, '2026/05/01-000000.00/BACKUP-LOCK-77', '');
  await put(storage, '2026/05/01-000000.00/1/data/1-0.copy.zst', 'x');
  await put(storage, '2026/05/02-000000.00/1/pre-data.sql.zst', 'x');
  await put(storage, '2026/05/03-000000.00/BACKUP-LOCK-', '');
  for (const path of [
    '2026/readme',
    '2026/02/31-000000.00/BACKUP_MANIFEST',
    '2026/05/04-000000.0/BACKUP_MANIFEST',
    '2/x',
    'a/BACKUP_MANIFEST',
    'notes.txt',
  ]) {
    await put(storage, path, 'x');
  }
  assert.deepEqual(await listed(storage), [
    { finished: true, folder: '2025/12/31-235959.99' },
    { finished: true, folder: '2026/04/18-084211.25' },
    { finished: true, folder: '2026/04/18-084211.26' },
    { finished: false, folder: '2026/05/01-000000.00', jobId: '77' },
    { finished: false, folder: '2026/05/02-000000.00' },
    { finished: false, folder: '2026/05/03-000000.00' },
  ]);
});

/** A storage that holds names alone, and counts those that it tells. */
function named(paths: readonly string[]): { storage: Storage; told: () => number } {
  let count = 0;
  const sorted = [...paths].sort();
  const storage = {
    async *list(prefix: string, { after = '' } = {}): AsyncIterable<StoredObject> {
      for (const path of sorted) {
        if (!path.startsWith(prefix) || path <= after) continue;
        count++;
        yield { path, size: 0 };
      }
    },
  };
  return { storage: storage as unknown as Storage, told: () => count };
}

test('a backup of very many files costs no listing of them all', async () => {
  const many = ['2026/04/18-084211.25', '2026/04/19-084211.25'].flatMap((folder) => [
    ...Array.from({ length: 20_000 }, (_, index) => `${folder}/1/data/${index}-0.copy.zst`),
    `${folder}/BACKUP-LOCK-5`,
  ]);
  const { storage, told } = named([...many, '2026/04/18-084211.25/BACKUP_MANIFEST', '2026/04/20-000000.00/BACKUP_MANIFEST']);
  assert.deepEqual(await listed(storage), [
    { finished: true, folder: '2026/04/18-084211.25' },
    { finished: false, folder: '2026/04/19-084211.25', jobId: '5' },
    { finished: true, folder: '2026/04/20-000000.00' },
  ]);
  assert.ok(told() < 3000, `${told()} names`);
});

test('LATEST is the first pointer’s backup, even if others were written after it', async () => {
  const storage = await open();
  await rejectsWith(() => findBackup(storage, { kind: 'latest' }, signal), '58P01', /^path does not contain a completed latest backup$/);
  await buildBackup(storage, '2026/04/19-000000.00');
  await buildBackup(storage, '2026/04/18-084211.25');
  // LATEST picked a stray object in CockroachDB once (#106070).
  await put(storage, 'metadata/latest/LATEST-0', '/2001/01/01-000000.00');
  await put(storage, 'metadata/latest/LATEST', '/2001/01/01-000000.00');
  assert.equal(await findBackup(storage, { kind: 'latest' }, signal), '2026/04/19-000000.00');
});

test('LATEST whose manifest is gone is told, and no older backup taken in its place', async () => {
  const storage = await open();
  await buildBackup(storage, '2026/04/18-084211.25');
  await buildBackup(storage, '2026/04/19-000000.00');
  await storage.delete('2026/04/19-000000.00/BACKUP_MANIFEST');
  await assert.rejects(() => findBackup(storage, { kind: 'latest' }, signal), {
    data: {
      sqlstate: '58P01',
      message: 'path does not contain a completed latest backup',
      detail: 'It names /2026/04/19-000000.00, which has no BACKUP_MANIFEST.',
      hint: 'Name one of those that SHOW BACKUPS IN lists.',
    },
  });
});

test('a pointer that says nonsense is no latest backup', async () => {
  for (const content of [
    '',
    'x',
    '../../etc',
    '/2026/04/18-084211.25/../..',
    `/2026/04/18-084211.25${' '.repeat(2000)}`,
    Buffer.from([0xff, 0xfe]),
  ]) {
    const storage = await open();
    await buildBackup(storage, '2026/04/18-084211.25');
    await put(storage, pointerName('2026/04/19-000000.00'), content);
    await rejectsWith(() => findBackup(storage, { kind: 'latest' }, signal), '58P01', /^path does not contain/);
  }
});

test('a backup is found by its folder, with slashes around or not; anything else is 58P01 and shows no secret', async () => {
  const storage = await open();
  await buildBackup(storage, '2026/04/18-084211.25');
  await put(storage, '2026/04/19-000000.00/1/data/1-0.copy.zst', 'x');
  const find = (path: string) => findBackup(storage, { kind: 'subdirectory', path }, signal);
  for (const path of ['2026/04/18-084211.25', '/2026/04/18-084211.25', '/2026/04/18-084211.25/'])
    assert.equal(await find(path), '2026/04/18-084211.25');
  await rejectsWith(() => find('2026/04/18-084211.26'), '58P01', /^the collection holds no finished backup "\/2026\/04\/18-084211.26"$/);
  await rejectsWith(() => find('../x'), '58P01', /no finished backup "\.\.\/x"$/);
  await rejectsWith(() => find('s3://b?AWS_SECRET_ACCESS_KEY=x'), '58P01', /no finished backup "\.\.\."$/);
  await assert.rejects(
    () => find('2026/04/19-000000.00'),
    (error: { data: { detail: string } }) => /not finished/.test(error.data.detail),
  );
});

test('jobs that begin in the same moment get folders of their own, and leave no other lock', async () => {
  const name = `c${++made}`;
  const time = new Date('2026-04-18T08:42:11.250Z');
  const jobs = Array.from({ length: 12 }, (_, index) => String(100 + index));
  const folders = await Promise.all(jobs.map(async (job) => claimFolder(await open(name), job, time, signal)));
  assert.equal(new Set(folders).size, 12);
  const storage = await open(name);
  const locks: string[] = [];
  for await (const { path } of storage.list('')) locks.push(path);
  assert.deepEqual(locks.sort(), folders.map((folder, index) => `${folder}/BACKUP-LOCK-${jobs[index]}`).sort());
});

test('a folder that holds anything is not taken, and one’s own lock is no hindrance', async () => {
  const storage = await open();
  const time = new Date('2026-04-18T08:42:11.250Z');
  await put(storage, '2026/04/18-084211.25/BACKUP_MANIFEST', '{}');
  assert.equal(await claimFolder(storage, '5', time, signal), '2026/04/18-084211.26');
  assert.equal(await claimFolder(storage, '5', new Date('2026-04-18T08:42:11.260Z'), signal), '2026/04/18-084211.26');
});

test('a folder is announced before anything is in it, and cleared by its own job alone', async () => {
  const storage = await open();
  const paths = async () => {
    const found: string[] = [];
    for await (const { path } of storage.list('')) found.push(path);
    return found;
  };
  const time = new Date('2026-04-18T08:42:11.250Z');
  const announced: string[] = [];
  const folder = await claimFolder(storage, '5', time, signal, async (each) => {
    announced.push(each);
    assert.deepEqual(await paths(), []);
  });
  assert.deepEqual(announced, [folder]);
  await put(storage, `${folder}/1/pre-data.sql.zst`, 'x');
  await removeFolder(storage, folder, '6', signal);
  assert.equal((await paths()).length, 2, 'another job that had announced it too touches nothing');
  await put(storage, lockPath(folder, '6'), '');
  await removeFolder(storage, folder, '6', signal);
  assert.deepEqual(await paths(), [`${folder}/1/pre-data.sql.zst`, lockPath(folder, '5')], 'but for a lock of its own');
  await removeFolder(storage, folder, '5', signal);
  assert.deepEqual(await paths(), []);
});

test('a backup is finished by its manifest and its pointer, and not at all by a manifest that could not be read', async () => {
  const storage = await open();
  const { manifest } = exampleBackup();
  const folder = await claimFolder(storage, '5', new Date('2026-04-18T08:42:11.250Z'), signal);
  const lie = { ...manifest, databases: [] };
  await rejectsWith(() => finishBackup(storage, folder, lie, signal), 'XX001', /databases must not be empty$/);
  assert.deepEqual(await listed(storage), [{ finished: false, folder, jobId: '5' }]);
  await finishBackup(storage, folder, manifest, signal);
  await pointToLatest(storage, folder, signal);
  assert.equal(await findBackup(storage, { kind: 'latest' }, signal), folder);
  assert.deepEqual(await readManifest(storage, folder, signal), manifest);
});

test('a manifest is never written over another one; the same one twice is once', async () => {
  const storage = await open();
  const { manifest } = exampleBackup();
  const folder = await claimFolder(storage, '5', new Date('2026-04-18T08:42:11.250Z'), signal);
  await finishBackup(storage, folder, manifest, signal);
  // As after a request that was repeated because its answer was lost.
  await finishBackup(storage, folder, manifest, signal);
  const later = { ...manifest, jobId: '6' };
  await rejectsWith(
    () => finishBackup(storage, folder, later, signal),
    '58P02',
    /there already: "2026\/04\/18-084211\.25\/BACKUP_MANIFEST"$/,
  );
  assert.deepEqual(await readManifest(storage, folder, signal), manifest);
});

test('a store that has no conditions gets its manifest all the same', async () => {
  const plain = await open();
  const refused: string[] = [];
  const storage: Storage = {
    location: plain.location,
    async write(path, options) {
      if (options?.ifAbsent !== true) return plain.write(path, options);
      refused.push(path);
      throw new PgPierError('storageConditionUnknown', { location: plain.location });
    },
    read: (path, options) => plain.read(path, options),
    list: (prefix, options) => plain.list(prefix, options),
    delete: (path, options) => plain.delete(path, options),
    removePartial: (prefix, options) => plain.removePartial(prefix, options),
    close: () => plain.close(),
  };
  const { manifest } = exampleBackup();
  const folder = await claimFolder(storage, '5', new Date('2026-04-18T08:42:11.250Z'), signal);
  await finishBackup(storage, folder, manifest, signal);
  assert.deepEqual(refused, [`${folder}/BACKUP_MANIFEST`]);
  assert.deepEqual(await readManifest(storage, folder, signal), manifest);
});

test('a small object that cannot be written leaves nothing', async () => {
  const storage = await open();
  await assert.rejects(() => writeSmallObject(storage, 'x', 'y', AbortSignal.abort()));
  for await (const { path } of storage.list('')) assert.fail(path);
});
