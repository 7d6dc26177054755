/** A backup made by psql and pg_dump by way of the documented format, without the code that makes backups. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { compressBlocks } from '../../formats/zstdFrames.ts';
import type { BackedUpDatabase, DataFile, Manifest, StoredFile } from '../../jobs/backup/manifest.ts';
import { dumpSchema } from '../../jobs/dump/dump.ts';
import { clientTool } from '../dump/dumpLab.ts';
import type { Postgres, PostgresVersion } from '../servers/postgres.ts';

export const backupFolder = '2026/04/18-084211.25';

export interface Handmade {
  readonly manifest: Manifest;
  /** Writes a file of the backup, and answers what the manifest says of it. */
  store(path: string, raw: Buffer): StoredFile & { readonly rawBytes: number };
  /** Writes the manifest, whatever it says, and the pointer to it. */
  publish(manifest: Manifest): void;
}

const userTables = `select n.nspname as schema, c.relname as name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as quoted,
    array(select attname::text from pg_attribute a where a.attrelid = c.oid and attnum > 0 and not attisdropped and attgenerated = '' order by attnum) as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' and n.nspname !~ '^pg_|^information_schema'
    and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e') order by 1, 2`;
const userSequences = `select n.nspname as schema, c.relname as name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as quoted
  from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind = 'S' order by 1, 2`;
const largeObjectPieces = `(select m.oid, p.at, lo_get(m.oid, p.at, 262144) from pg_largeobject_metadata m,
  lateral (select generate_series(0::bigint, length(lo_get(m.oid)) - 1, 262144) as at) p order by 1, 2)`;

/** Of the database `rich`, below `root`. */
export async function makeBackup(server: Postgres, version: PostgresVersion, root: string): Promise<Handmade> {
  const client = new pg.Client({ connectionString: server.connectionString('rich') });
  await client.connect();
  const store = (path: string, raw: Buffer): StoredFile & { readonly rawBytes: number } => {
    const stored = Buffer.concat([...compressBlocks(raw)]);
    const file = join(root, backupFolder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, stored);
    return { path, bytes: stored.length, sha256: createHash('sha256').update(stored).digest('hex'), rawBytes: raw.length };
  };
  const publish = (manifest: Manifest): void => {
    writeFileSync(join(root, backupFolder, 'BACKUP_MANIFEST'), JSON.stringify(manifest));
    const latest = join(root, 'metadata', 'latest');
    mkdirSync(latest, { recursive: true });
    writeFileSync(join(latest, 'LATEST-fffffffff0000000'), `/${backupFolder}`);
  };
  try {
    await client.query('begin isolation level repeatable read read only');
    const snapshot = (await client.query('select pg_export_snapshot() as name')).rows[0].name;
    const login = {
      host: server.socketDir,
      port: server.port,
      database: 'rich',
      user: 'postgres',
      password: '',
      sslmode: 'disable',
    } as const;
    const section = async (name: 'pre-data' | 'post-data'): Promise<StoredFile> => {
      const request = { login, role: 'postgres', snapshot, section: name, serverMajor: version };
      const sql = await dumpSchema(request, { signal: new AbortController().signal, runner: 'wasm' });
      return withoutRaw(store(`1/${name}.sql.zst`, Buffer.from(sql)));
    };
    const preData = await section('pre-data');
    const postData = await section('post-data');
    const copy = (text: string): Buffer => {
      const to = ['-h', server.socketDir, '-p', String(server.port), '-U', 'postgres', '-d', 'rich'];
      return execFileSync(clientTool('psql'), ['-X', '-q', ...to, '-c', `copy ${text} to stdout`], { maxBuffer: 1 << 28 });
    };
    const dataFile = (path: string, raw: Buffer): DataFile => ({
      ...store(path, raw),
      rows: raw.toString('latin1').split('\n').length - 1,
    });
    const tables = (await client.query(userTables)).rows.map(({ schema, name, quoted, columns }, index) => {
      const list = columns.length === 0 ? '' : ` (${columns.map((column: string) => `"${column.replaceAll('"', '""')}"`).join(', ')})`;
      const file = dataFile(`1/data/${index + 1}-1.copy.zst`, copy(`${quoted}${list}`));
      return { schema, name, columns, rows: file.rows, files: [file] };
    });
    const sequences = [];
    for (const { schema, name, quoted } of (await client.query(userSequences)).rows) {
      const { rows } = await client.query(`select last_value, is_called from ${quoted}`);
      sequences.push({ schema, name, lastValue: rows[0].last_value, isCalled: rows[0].is_called });
    }
    const { rows: locale } = await client.query(`select datcollate as collate, datctype as ctype from pg_database where datname = 'rich'`);
    const database: BackedUpDatabase = {
      name: 'rich',
      owner: 'postgres',
      encoding: 'UTF8',
      localeProvider: 'libc',
      ...locale[0],
      connectionLimit: -1,
      properties: [`COMMENT ON DATABASE "rich" IS 'it''s rich';`, `ALTER DATABASE "rich" SET work_mem TO '5MB';`],
      preData,
      postData,
      tables,
      sequences,
      largeObjects: { count: 1, files: [dataFile('1/large-objects-1.copy.zst', copy(largeObjectPieces))] },
      objects: [],
      script: withoutRaw(store('1/restore.psql', Buffer.from('\\echo by hand\n'))),
    };
    const manifest: Manifest = {
      format: 'pgpier-backup',
      version: 1,
      id: '6f9619ff-8b86-4d01-b42d-00cf4fc964ff',
      writtenBy: '0.1.0',
      server: { version: String(version), versionNumber: version * 10000 },
      startTime: '2026-04-18T08:42:11.250000Z',
      endTime: '2026-04-18T08:42:12.250000Z',
      targets: { kind: 'database', databases: ['rich'] },
      databases: [database],
    };
    publish(manifest);
    return { manifest, store, publish };
  } finally {
    await client.end();
  }
}

const withoutRaw = ({ path, bytes, sha256 }: StoredFile): StoredFile => ({ path, bytes, sha256 });
