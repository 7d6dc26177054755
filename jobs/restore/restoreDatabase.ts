/** RESTORE DATABASE: into a hidden database, schema, data, indexes, then its name. */
import { availableParallelism } from 'node:os';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { BackedUpDatabase, Manifest } from '../backup/manifest.ts';
import type { JobRun } from '../job.ts';
import type { BackendLogin } from '../task.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';
import { readSchemaFile } from './backupFile.ts';
import { buildTables, type TableToBuild } from './buildTables.ts';
import { createHidden, dropHidden, hiddenName, propertiesFor, publish } from './hiddenDatabase.ts';
import { loadLargeObjects, setSequences } from './loadData.ts';
import { replay, tableOf } from './replay.ts';
import type { RestoreCheckpoint, RestorePayload } from './restorePayload.ts';
import { openRestoreSession, type RestoreSession } from './restoreSession.ts';
import { readSchema, rolesOf, type SchemaEntry, withoutGrants } from './schema.ts';
import { readSchemaStatement } from './schemaStatement.ts';

/** Sessions that load and build side by side; PostgreSQL does most of the work. */
export const LOAD_SESSIONS = Math.max(2, Math.min(4, availableParallelism()));

export interface RestoreContext {
  readonly run: JobRun<RestorePayload>;
  readonly login: BackendLogin;
  /** In the database that the statement was sent to; for what concerns databases. */
  readonly home: RestoreSession;
  readonly storage: Storage;
  readonly folder: string;
  readonly manifest: Manifest;
  /** server_version_num of the target. */
  readonly serverVersion: number;
  readonly progress: Progress;
}

export interface Progress {
  rows: number;
  bytes: number;
  /** Raw bytes of all files. */
  total: number;
}

interface Planned {
  readonly source: BackedUpDatabase;
  readonly name: string;
  readonly hidden: string;
  readonly preData: readonly SchemaEntry[];
  readonly postData: readonly SchemaEntry[];
  readonly properties: readonly string[];
}

/** All databases of the statement, or none of those that have not got their name yet when something fails. @returns rows */
export async function restoreDatabases(context: RestoreContext, names: readonly string[]): Promise<number> {
  const { run, home, login, manifest, progress } = context;
  const { payload } = run;
  await requireCreateDb(home, run.asker.role);
  const sources = names.map((name) => {
    const source = manifest.databases.find((database) => database.name === name);
    if (source === undefined || manifest.targets.kind !== 'database') throw new PgPierError('restoreDatabaseMissing', { name });
    return { source, name: payload.newDbName ?? name };
  });
  const earlier = await filledBefore(context);
  for (const { name } of sources) if (!earlier?.published.has(name)) await requireFree(home, name);
  const planned: Planned[] = [];
  for (const [index, { source, name }] of sources.entries()) planned.push(await plan(context, source, name, hiddenName(run.id, index)));
  progress.total = sources.flatMap(({ source }) => dataFiles(source)).reduce((sum, { rawBytes }) => sum + rawBytes, 0);
  const hidden = planned.map((each) => each.hidden);
  // From here on there is something to take back.
  if (earlier === undefined) await run.saveCheckpoint({ hidden } satisfies RestoreCheckpoint);
  for (const each of earlier === undefined ? planned : []) {
    await dropHidden(home, each.hidden, run.signal);
    await createHidden(home, each.hidden, each.source, context.serverVersion);
    const sessions: RestoreSession[] = [];
    try {
      for (let count = 0; count < LOAD_SESSIONS; count++)
        sessions.push(await openRestoreSession(login, each.hidden, run.asker.role, run.id, run.signal));
      await fill(context, each, sessions);
    } catch (error) {
      for (const session of sessions) session.abandon();
      throw error;
    }
    await Promise.all(sessions.map((session) => session.close()));
  }
  run.progress({ runningStatus: 'giving names' });
  const rows = earlier?.rows ?? progress.rows;
  // An attempt that is killed from here on is carried on: only names are missing, and some of them may be given already.
  if (earlier === undefined)
    await run.saveCheckpoint({ hidden, filled: { rows, oids: await oidsOf(home, hidden) } } satisfies RestoreCheckpoint);
  for (const { hidden, name, source, properties } of planned) {
    if (earlier?.published.has(name)) continue;
    run.signal.throwIfAborted();
    await publish(home, hidden, name, source, properties, run.payload.grants ? source.owner : undefined).catch((error) => {
      throw error instanceof PgPierError && error.data.sqlstate === '42P04' ? new PgPierError('restoreDatabaseExists', { name }) : error;
    });
  }
  return rows;
}

/** What an earlier attempt had filled, if all of it is still there under its hidden or its own name. */
async function filledBefore({
  run,
  home,
}: RestoreContext): Promise<{ readonly rows: number; readonly published: Set<string> } | undefined> {
  const { hidden = [], filled } = (run.checkpoint ?? {}) as RestoreCheckpoint;
  if (filled === undefined) return undefined;
  const { rows } = await home.query(
    'select d.datname::pg_catalog.text as name from pg_catalog.pg_database d where d.oid operator(pg_catalog.=) any ($1::pg_catalog.oid[])',
    [filled.oids],
  );
  if (rows.length !== hidden.length) return undefined;
  const names = rows.map(({ name }: { name: string }) => name);
  return { rows: filled.rows, published: new Set(names.filter((name: string) => !hidden.includes(name))) };
}

/** Of the hidden databases, once all that was written into them is on the disk: their sessions did not wait for it. */
async function oidsOf(home: RestoreSession, hidden: readonly string[]): Promise<string[]> {
  const oids: string[] = [];
  for (const name of hidden) {
    // Anything that writes; the commit waits for all before.
    await home.query(`begin; set local synchronous_commit = on; alter database ${quoteIdentifier(name)} connection limit -1; commit`);
    const { rows } = await home.query(
      'select d.oid::pg_catalog.text as oid from pg_catalog.pg_database d where d.datname::pg_catalog.text operator(pg_catalog.=) $1',
      [name],
    );
    oids.push(rows[0].oid);
  }
  return oids;
}

/** Reads and checks everything that can be wrong before anything is made. */
async function plan(context: RestoreContext, source: BackedUpDatabase, name: string, hidden: string): Promise<Planned> {
  const { run, storage, folder, home } = context;
  const read = async (file: BackedUpDatabase['preData']): Promise<SchemaEntry[]> =>
    readSchema(await readSchemaFile(storage, folder, file, run.signal));
  const sections = [await read(source.preData), await read(source.postData)] as const;
  const { grants } = run.payload;
  if (grants) await requireRoles(home, new Set([source.owner, ...rolesOf(sections[0]), ...rolesOf(sections[1])]));
  const [preData, postData] = grants ? sections : [withoutGrants(sections[0]), withoutGrants(sections[1])];
  const { statements, unknown } = propertiesFor(source, hidden, grants);
  // Read by the grammar too: a property is one statement, whatever is quoted in it.
  for (const statement of statements) requireProperty(statement);
  if (unknown > 0)
    run.notice({
      severity: 'WARNING',
      message: `${unknown} properties of database ${name} in the backup were not understood and are left out`,
    });
  return {
    source,
    name,
    hidden,
    preData,
    postData: run.payload.schemaOnly ? postData.filter(({ type }) => type !== 'MATERIALIZED VIEW DATA') : postData,
    properties: statements,
  };
}

function requireProperty(text: string): void {
  try {
    if (readSchemaStatement(text).kind === 'CommentStmt' || readSchemaStatement(text).kind === 'GrantStmt') return;
  } catch (error) {
    // ALTER DATABASE … SET is no statement of a schema; here it is what is wanted.
    if (error instanceof PgPierError && error.message.includes('ALTER DATABASE SET')) return;
    throw error;
  }
  throw new PgPierError('restoreRefused', { what: 'a property that is none of a database' });
}

async function fill(
  { run, storage, folder, progress }: RestoreContext,
  { source, preData, postData }: Planned,
  sessions: readonly RestoreSession[],
): Promise<void> {
  const [first] = sessions as readonly [RestoreSession];
  run.progress({ runningStatus: 'making the schema' });
  await replay(first, preData);
  const { schemaOnly } = run.payload;
  const from = {
    storage,
    folder,
    signal: run.signal,
    onLoaded: ({ rows, rawBytes }: { rows: number; rawBytes: number }) => {
      progress.rows += rows;
      progress.bytes += rawBytes;
      run.progress({ rows: progress.rows, fraction: 0.9 * (progress.bytes / Math.max(1, progress.total)) });
    },
  };
  run.progress({ runningStatus: 'loading and indexing' });
  const { building, rest } = tablesToBuild(source, preData, postData, schemaOnly);
  await buildTables(sessions, building, from);
  if (!schemaOnly) {
    const rows = progress.rows;
    await loadLargeObjects(first, source.largeObjects, from);
    // Pieces of large objects are no rows of anybody's table.
    progress.rows = rows;
    await setSequences(first, source.sequences);
  }
  run.progress({ runningStatus: 'building constraints', fraction: 0.9 });
  await replay(first, rest);
  run.progress({ runningStatus: 'analyzing', fraction: 0.95 });
  if (!schemaOnly) await analyzeRest(first);
  await first.handOver();
}

/** Keys and indexes of tables with rows go with their tables; the rest of post-data keeps its order. */
function tablesToBuild(
  source: BackedUpDatabase,
  preData: readonly SchemaEntry[],
  postData: readonly SchemaEntry[],
  schemaOnly: boolean,
): { readonly building: TableToBuild[]; readonly rest: SchemaEntry[] } {
  const key = (each: { readonly schema?: string; readonly name: string }): string => JSON.stringify([each.schema ?? '', each.name]);
  const made = new Set(preData.filter(({ type }) => type === 'TABLE').map(key));
  const partitions = new Set(preData.filter(({ type }) => type === 'TABLE ATTACH').map(key));
  const ours = new Set(source.tables.map(key));
  const goesAlong = (entry: SchemaEntry): boolean => (entry.type === 'CONSTRAINT' || entry.type === 'INDEX') && ours.has(tableOf(entry));
  const parts = Map.groupBy(postData.filter(goesAlong), tableOf);
  const building = source.tables.map((table): TableToBuild => {
    const own = parts.get(key(table)) ?? [];
    return {
      table,
      files: schemaOnly ? [] : table.files,
      keys: own.filter(({ type }) => type === 'CONSTRAINT'),
      indexes: own.filter(({ type }) => type === 'INDEX'),
      fresh: made.has(key(table)),
      // A partition gets its statistics with the whole.
      analyze: !schemaOnly && !partitions.has(key(table)),
    };
  });
  return { building, rest: postData.filter((entry) => !goesAlong(entry)) };
}

/** Partitioned tables, of which autovacuum takes no care, and materialized views. */
async function analyzeRest(session: RestoreSession): Promise<void> {
  const { rows } = await session.query(
    `select pg_catalog.quote_ident(n.nspname) operator(pg_catalog.||) '.' operator(pg_catalog.||) pg_catalog.quote_ident(c.relname) as name
      from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
      where (c.relkind operator(pg_catalog.=) 'p' and not c.relispartition) or (c.relkind operator(pg_catalog.=) 'm' and c.relispopulated)`,
  );
  for (const { name } of rows) await session.query(`analyze ${name}`);
}

function dataFiles({ tables, largeObjects }: BackedUpDatabase): BackedUpDatabase['tables'][number]['files'] {
  return [...tables.flatMap(({ files }) => files), ...(largeObjects?.files ?? [])];
}

async function requireCreateDb(home: RestoreSession, role: string): Promise<void> {
  const { rows } = await home.query(
    'select r.rolcreatedb or r.rolsuper as may from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) current_user',
  );
  if (rows[0]?.may !== true) throw new PgPierError('restoreCreateDbDenied', {}, { hint: `ALTER ROLE ${quoteIdentifier(role)} CREATEDB` });
}

async function requireFree(home: RestoreSession, name: string): Promise<void> {
  const { rows } = await home.query('select from pg_catalog.pg_database d where d.datname::pg_catalog.text operator(pg_catalog.=) $1', [
    name,
  ]);
  if (rows.length > 0) throw new PgPierError('restoreDatabaseExists', { name });
}

export async function requireRoles(home: RestoreSession, roles: ReadonlySet<string>): Promise<void> {
  const { rows } = await home.query(
    `select w.name from pg_catalog.unnest($1::pg_catalog.text[]) as w (name)
      where not exists (select from pg_catalog.pg_roles r where r.rolname::pg_catalog.text operator(pg_catalog.=) w.name) order by 1`,
    [[...roles]],
  );
  if (rows.length > 0)
    throw new PgPierError('restoreRolesMissing', { roles: rows.map(({ name }: { name: string }) => quoteIdentifier(name)).join(', ') });
}
