/** A collection made by hand, as docs/backup-format.md says, with none of the code that writes backups. */
import { createHash } from 'node:crypto';
import { constants, zstdCompressSync } from 'node:zlib';
import type { Storage } from '../../external/storage/storage.ts';
import type { BackedUpDatabase, BackedUpObject, DataFile, Manifest, StoredFile } from '../../jobs/backup/manifest.ts';

export async function put(storage: Storage, path: string, content: string | Buffer): Promise<void> {
  const writer = await storage.write(path);
  await writer.write(Buffer.from(content as string));
  await writer.finish();
}

/** Blocks as the page describes them. */
export function zstd(text: string): Buffer {
  const frame = zstdCompressSync(Buffer.from(text), { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const head = Buffer.alloc(16);
  for (const [index, value] of [0x184d2a50, 8, frame.length, Buffer.byteLength(text)].entries()) head.writeUInt32LE(value, index * 4);
  return Buffer.concat([head, frame]);
}

export interface Built {
  readonly manifest: Manifest;
  /** All files but lock, manifest and pointer, by path in the folder. */
  readonly files: ReadonlyMap<string, Buffer>;
}

const rides = '1\tamsterdam\t3.50\n2\tboston\t\\N\n';
const users = '1\tZoë\n';

/** A backup of a database `movr`: two tables, a view, a type, a function. */
export function exampleBackup(): Built {
  const files = new Map<string, Buffer>();
  const file = (path: string, bytes: Buffer): StoredFile => {
    files.set(path, bytes);
    return { path, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  };
  const data = (path: string, text: string): DataFile => ({
    ...file(path, zstd(text)),
    rows: text.split('\n').length - 1,
    rawBytes: Buffer.byteLength(text),
  });
  const tables = [
    { schema: 'public', name: 'rides', columns: ['id', 'city', 'revenue'], rows: 2, files: [data('1/data/1-0.copy.zst', rides)] },
    { schema: 'public', name: 'users', columns: ['id', 'name'], rows: 1, files: [data('1/data/2-0.copy.zst', users)] },
  ];
  const object = (
    schema: string,
    name: string,
    type: BackedUpObject['type'],
    createStatement: string,
    bytes = 0,
    rows = 0,
  ): BackedUpObject => ({
    schema,
    name,
    type,
    owner: 'movr_owner',
    createStatement,
    bytes,
    rows,
  });
  const createRides = 'CREATE TABLE public.rides (\n    id bigint NOT NULL,\n    city text,\n    revenue numeric\n);\n';
  const database: BackedUpDatabase = {
    name: 'movr',
    owner: 'movr_owner',
    encoding: 'UTF8',
    localeProvider: 'libc',
    collate: 'C.UTF-8',
    ctype: 'C.UTF-8',
    connectionLimit: -1,
    properties: [],
    preData: file('1/pre-data.sql.zst', zstd(createRides)),
    postData: file('1/post-data.sql.zst', zstd('CREATE INDEX ON public.rides (city);\n')),
    script: file('1/restore.psql', Buffer.from('\\echo by hand\n')),
    tables,
    sequences: [{ schema: 'public', name: 'rides_id_seq', lastValue: '9223372036854775807', isCalled: true }],
    objects: [
      object('', 'movr', 'database', 'CREATE DATABASE movr;\n'),
      object('', 'public', 'schema', 'CREATE SCHEMA public;\n'),
      { ...object('public', 'rides', 'table', createRides, 47, 2), privileges: ['movr_owner=arwdDxt/movr_owner', '=r/movr_owner'] },
      object('public', 'users', 'table', 'CREATE TABLE public.users (\n    id integer,\n    name text\n);\n', 20, 1),
      object('public', 'Busy "rides"', 'table', 'CREATE VIEW public."Busy ""rides""" AS\n SELECT 1;\n'),
      object('public', 'mood', 'type', "CREATE TYPE public.mood AS ENUM ('ok');\n"),
      object('public', 'fare(integer)', 'function', 'CREATE FUNCTION public.fare(integer) …;\n'),
    ],
  };
  const manifest: Manifest = {
    format: 'pgpier-backup',
    version: 1,
    id: '5b7a8c1e-4a0e-4f0a-9d53-0c8a2f6b1d77',
    writtenBy: '0.1.0',
    server: { version: '18.4', versionNumber: 180_004 },
    startTime: '2026-04-18T08:42:11.250000Z',
    endTime: '2026-04-18T08:43:00.123456Z',
    targets: { kind: 'database', databases: ['movr'] },
    databases: [database],
  };
  return { manifest, files };
}

/** The page's formula, written again. */
export function pointerName(folder: string): string {
  const [, date, h, m, s] = /^(.{10})-(\d\d)(\d\d)(\d\d\.\d\d)$/.exec(folder)!;
  const milliseconds = Date.parse(`${date!.replaceAll('/', '-')}T${h}:${m}:${s}0Z`);
  return `metadata/latest/LATEST-${(2n ** 64n - 1n - BigInt(milliseconds) * 1000n).toString(16)}`;
}

export async function buildBackup(
  storage: Storage,
  folder: string,
  { built = exampleBackup(), manifest = JSON.stringify(built.manifest) }: { readonly built?: Built; readonly manifest?: string } = {},
): Promise<void> {
  await put(storage, `${folder}/BACKUP-LOCK-1009`, '');
  for (const [path, bytes] of built.files) await put(storage, `${folder}/${path}`, bytes);
  await put(storage, `${folder}/BACKUP_MANIFEST`, manifest);
  await put(storage, pointerName(folder), `/${folder}`);
}
