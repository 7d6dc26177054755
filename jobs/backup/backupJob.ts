/** BACKUP as a job: a folder of its own, a leader for each database, schema, data, and the manifest last. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { BackendSession } from '../backendLogin.ts';
import { type DumpRequest, dumpSchema, type Section } from '../dump/dump.ts';
import { type Dump, readDump, writeDump } from '../dump/readDump.ts';
import { dumpTableSchema } from '../dump/tableSchema.ts';
import type { JobKind, JobResult, JobRun } from '../job.ts';
import { together } from '../together.ts';
import { backedUpObjects } from './backedUpObjects.ts';
import type { BackupPayload } from './backupPayload.ts';
import { claimFolder, lockPath, manifestPath, removeFolder } from './collection.ts';
import { listAccess, listSequences, resolvePatterns } from './contents.ts';
import { type CopyTarget, copyTables } from './copyTables.ts';
import { readProperties } from './databaseProperties.ts';
import { finishBackup, pointToLatest } from './finishBackup.ts';
import { copyLargeObjects, largeObjectEntries } from './largeObjects.ts';
import { isWaitedFor, type Leader, startLeader } from './leader.ts';
import type { BackedUpDatabase, Manifest } from './manifest.ts';
import { readManifest } from './readManifest.ts';
import { restoreScript } from './restoreScript.ts';
import { storeText } from './storedFile.ts';

/** Sessions that copy side by side. */
const COPY_SESSIONS = Math.max(2, Math.min(4, availableParallelism()));
/** Beside them: the leader, two of pg_dump, large objects, and one for a login that is retried. */
const OTHER_SESSIONS = 5;

/** Whose folder an attempt writes to. */
interface BackupCheckpoint {
  readonly folder: string;
}

export const backupJob: JobKind<BackupPayload> = {
  type: 'BACKUP',

  async run(run): Promise<JobResult> {
    const storage = await run.openStorage(run.payload.uri);
    try {
      const earlier = run.checkpoint as BackupCheckpoint | undefined;
      if (earlier !== undefined) {
        const manifest = await finished(storage, earlier.folder, run.id, run.signal);
        if (manifest !== undefined) {
          await pointToLatest(storage, earlier.folder, run.signal);
          return { rows: rowsOf(manifest) };
        }
        await removeFolder(storage, earlier.folder, run.id, run.signal);
      }
      const announce = (folder: string) => run.saveCheckpoint({ folder } satisfies BackupCheckpoint);
      const folder = await claimFolder(storage, run.id, new Date(), run.signal, announce);
      const manifest = await backUp(run, storage, folder);
      // Asked once more whose job this is: a manifest in a folder that another attempt has cleared would promise files that are gone.
      await announce(folder);
      await finishBackup(storage, folder, manifest, run.signal);
      return { rows: rowsOf(manifest) };
    } finally {
      await storage.close().catch(() => {});
    }
  },

  /** A manifest that is there is a backup that somebody may rely on already: it stays. */
  async revert(run) {
    const { folder } = (run.checkpoint ?? {}) as Partial<BackupCheckpoint>;
    if (folder === undefined) return;
    const storage = await run.openStorage(run.payload.uri);
    try {
      if ((await finished(storage, folder, run.id, run.signal)) === undefined) await removeFolder(storage, folder, run.id, run.signal);
    } finally {
      await storage.close().catch(() => {});
    }
  },
};

const rowsOf = ({ databases }: Manifest): number => databases.flatMap(({ tables }) => tables).reduce((sum, { rows }) => sum + rows, 0);

/** A manifest beside another job's lock alone is another job's: a folder is announced before it is known to be free. */
async function finished(storage: Storage, folder: string, jobId: string, signal: AbortSignal): Promise<Manifest | undefined> {
  const paths = new Set<string>();
  for await (const { path } of storage.list(`${folder}/BACKUP`, { signal })) paths.add(path);
  const own = paths.has(manifestPath(folder)) && paths.has(lockPath(folder, jobId));
  return own ? readManifest(storage, folder, signal) : undefined;
}

/** Times that a backup makes way for somebody who wants to change a table while pg_dump has not locked it yet. */
const MADE_WAY = 3;

async function backUp(run: JobRun<BackupPayload>, storage: Storage, folder: string): Promise<Manifest> {
  for (let attempt = 1; ; attempt++) {
    const outcome = await backUpOnce(run, storage, folder);
    if (outcome !== 'makeWay') return outcome;
    if (attempt === MADE_WAY) throw new PgPierError('backupTablesChange');
    for (const path of await listAll(storage, `${folder}/`, run.signal))
      if (!path.startsWith(`${folder}/BACKUP-LOCK-`)) await storage.delete(path, { signal: run.signal });
  }
}

async function listAll(storage: Storage, prefix: string, signal: AbortSignal): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of storage.list(prefix, { signal })) paths.push(path);
  return paths;
}

async function backUpOnce(run: JobRun<BackupPayload>, storage: Storage, folder: string): Promise<Manifest | 'makeWay'> {
  const { payload, asker } = run;
  const { targets } = payload;
  const names = targets.kind === 'database' ? targets.databases : [targets.database];
  const logins: { close(): Promise<void> }[] = [];
  const leaders: Leader[] = [];
  try {
    // PostgreSQL has no snapshot across databases: they are taken one right after the other, before any data is read.
    for (const name of names) {
      const { login, close } = await run.logins.open(asker.role, name, COPY_SESSIONS + OTHER_SESSIONS);
      logins.push({ close });
      const resolve =
        targets.kind === 'table'
          ? (session: BackendSession) => resolvePatterns(session, targets.patterns, targets.texts, asker)
          : undefined;
      leaders.push(await startLeader({ login, role: asker.role, task: `BACKUP ${run.id}` }, resolve, run.signal));
    }
    if (targets.kind === 'table' && leaders[0]!.tables.length === 0)
      throw new PgPierError('backupTableMissing', { name: targets.texts.join(', ') });
    const total = leaders.flatMap(({ tables }) => tables).reduce((sum, { bytes }) => sum + bytes, 0);
    const done = { rows: 0, bytes: 0 };
    const onCopied = (rows: number, rawBytes: number): void => {
      done.rows += rows;
      done.bytes += rawBytes;
      run.progress({ rows: done.rows, fraction: Math.min(0.95, 0.95 * (done.bytes / Math.max(1, total))) });
    };
    const databases: BackedUpDatabase[] = [];
    for (const [index, leader] of leaders.entries()) {
      const target = { storage, folder, prefix: String(index + 1), signal: run.signal, onCopied };
      databases.push(await backUpDatabase(run, leader, target));
    }
    const { rows } = await leaders[0]!.session.query(
      `select current_setting('server_version') as version, current_setting('server_version_num')::int4 as "versionNumber",
        to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as time`,
    );
    const { time: endTime, ...server } = rows[0];
    for (const { session } of leaders) await session.query('commit');
    return {
      format: 'pgpier-backup',
      version: 1,
      id: randomUUID(),
      writtenBy: ownVersion(),
      server,
      startTime: leaders[0]!.time,
      endTime,
      targets: targets.kind === 'database' ? { kind: 'database', databases: names } : { kind: 'table', patterns: targets.texts },
      databases,
    };
  } catch (error) {
    run.signal.throwIfAborted();
    if (dumpWaited(error) || (dumpFailed(error) && (await anyWaitedFor(leaders)))) return 'makeWay';
    throw error;
  } finally {
    for (const { session } of leaders) session.abandon();
    for (const { close } of logins) await close();
  }
}

const dumpFailed = (error: unknown): error is PgPierError => error instanceof PgPierError && error.message.startsWith('pg_dump failed');

/** pg_dump gave up waiting for a table that the leader has locked already: between the two stands somebody who wants to change it, and may be gone by now. */
const dumpWaited = (error: unknown): boolean => dumpFailed(error) && /LOCK TABLE/.test(error.message) && /timeout/.test(error.message);

async function anyWaitedFor(leaders: readonly Leader[]): Promise<boolean> {
  for (const { session } of leaders) if (await isWaitedFor(session).catch(() => false)) return true;
  return false;
}

async function backUpDatabase(run: JobRun<BackupPayload>, leader: Leader, target: CopyTarget): Promise<BackedUpDatabase> {
  const { session } = leader;
  const { storage, folder, prefix, signal } = target;
  const isTable = run.payload.targets.kind === 'table';
  run.progress({ runningStatus: `copying ${leader.access.login.database}` });
  const leaderFree = Promise.withResolvers<void>();
  let dumping = 2;
  const dumped = (section: Section, either: AbortSignal): Promise<Dump> =>
    dump(leader, section, isTable, either).finally(() => --dumping === 0 && leaderFree.resolve());
  const [pre, post, tables] = await together(signal, [
    (either) => dumped('pre-data', either),
    (either) => dumped('post-data', either),
    (either) => copyTables(leader, COPY_SESSIONS, leaderFree.promise, { ...target, signal: either }),
  ]);
  const preSql = writeDump(pre);
  const postSql = isTable ? writeDump(post) : writeDump({ ...post, entries: [...(await largeObjectEntries(leader)), ...post.entries] });
  const preData = await storeText(storage, folder, `${prefix}/pre-data.sql.zst`, preSql, signal);
  const postData = await storeText(storage, folder, `${prefix}/post-data.sql.zst`, postSql, signal);
  const largeObjects = isTable ? undefined : await copyLargeObjects(leader, target);
  const sequences = await listSequences(session, isTable ? leader.tables : undefined);
  const { privileges, ...properties } = await readProperties(session);
  const objects = backedUpObjects(
    { ...properties, ...(privileges === undefined ? {} : { privileges }) },
    pre.entries,
    tables,
    await listAccess(session),
  );
  const database = {
    ...properties,
    preData,
    postData,
    tables,
    sequences,
    ...(largeObjects === undefined ? {} : { largeObjects }),
    objects,
  };
  const script = await storeText(storage, folder, `${prefix}/restore.psql`, restoreScript(database), signal);
  return { ...database, script };
}

/** Read into entries, so that what is stored is SQL that any psql and this server take: without \\restrict, and without settings of newer servers. */
async function dump(leader: Leader, section: Section, isTable: boolean, signal: AbortSignal): Promise<Dump> {
  const { login, role } = leader.access;
  const { rows } = await leader.session.query(`select current_setting('server_version_num')::int4 / 10000 as major`);
  const serverMajor: number = rows[0].major;
  const request = { login, role, snapshot: leader.snapshot, section, serverMajor };
  const sql = isTable ? await dumpTables(leader, request, signal) : await dumpSchema(request, { signal });
  const { preamble, entries } = readDump(sql);
  return { preamble: preamble.filter((statement) => serverMajor >= 17 || !/^SET transaction_timeout\b/.test(statement)), entries };
}

async function dumpTables(leader: Leader, request: DumpRequest, signal: AbortSignal): Promise<string> {
  // pg_dump takes sequences for tables too; those that a default names belong to no table.
  const tables = [...leader.tables, ...(await listSequences(leader.session, leader.tables))].map(({ schema, name }) => ({ schema, name }));
  return dumpTableSchema({ ...request, tables }, (text, values) => leader.session.query(text, values), { signal });
}

let version: string | undefined;
function ownVersion(): string {
  version ??= (JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }).version;
  return version;
}
