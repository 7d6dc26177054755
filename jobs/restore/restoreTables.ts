/** RESTORE TABLE: under their final names, in one transaction of one session: whole or absent. */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { TablePattern } from '../../statement/statement.ts';
import type { BackedUpDatabase, BackedUpTable, Manifest } from '../backup/manifest.ts';
import { readSchemaFile } from './backupFile.ts';
import { loadFile, setSequences } from './loadData.ts';
import { replay } from './replay.ts';
import { type RestoreContext, requireRoles } from './restoreDatabase.ts';
import type { RestoreCheckpoint } from './restorePayload.ts';
import { openRestoreSession, type RestoreSession } from './restoreSession.ts';
import { readSchema, rolesOf, type SchemaEntry, withoutGrants } from './schema.ts';
import { chooseTables, chosenSchema } from './tableChoice.ts';

/** Longer than a backend takes to see that its client is gone. */
const SETTLE_MS = 20_000;

/** @returns rows */
export async function restoreTables(context: RestoreContext, patterns: readonly TablePattern[], home: string): Promise<number> {
  const { run, storage, folder, manifest, login, progress } = context;
  const { payload, signal } = run;
  const earlier = await committedBefore(context);
  if (earlier !== undefined) return earlier;
  const source = databaseOf(manifest, patterns, home);
  const into = payload.intoDb ?? source.name;
  await requireDatabase(context.home, into);
  const read = async (file: BackedUpDatabase['preData']): Promise<SchemaEntry[]> =>
    readSchema(await readSchemaFile(storage, folder, file, signal));
  const sections = { preData: await read(source.preData), postData: await read(source.postData) };
  const wanted = chooseTables(sections.preData, patterns, source.name);
  const chosen = chosenSchema(sections, wanted, payload.skipMissingForeignKeys);
  if (payload.grants) await requireRoles(context.home, new Set([...rolesOf(chosen.preData), ...rolesOf(chosen.postData)]));
  const { preData, postData } = payload.grants
    ? chosen
    : { preData: withoutGrants(chosen.preData), postData: withoutGrants(chosen.postData) };
  const isWanted = ({ schema, name }: { readonly schema: string; readonly name: string }): boolean =>
    chosen.relations.has(JSON.stringify([schema, name]));
  const tables: readonly BackedUpTable[] = payload.schemaOnly ? [] : source.tables.filter(isWanted);
  progress.total = tables.flatMap(({ files }) => files).reduce((sum, { rawBytes }) => sum + rawBytes, 0);

  const session = await openRestoreSession(login, into, run.asker.role, run.id, signal);
  try {
    await session.query('begin');
    await session.query('set local synchronous_commit = on');
    await requireAbsent(session, wanted);
    run.progress({ runningStatus: 'making the schema' });
    await replay(session, await withoutExisting(session, preData));
    run.progress({ runningStatus: 'loading' });
    const from = {
      storage,
      folder,
      signal,
      onLoaded({ rows, rawBytes }: { rows: number; rawBytes: number }) {
        progress.rows += rows;
        progress.bytes += rawBytes;
        run.progress({ rows: progress.rows, fraction: 0.8 * (progress.bytes / Math.max(1, progress.total)) });
      },
    };
    for (const table of tables) for (const file of table.files) await loadFile(session, table, file, from, false);
    if (!payload.schemaOnly) await setSequences(session, source.sequences.filter(isWanted));
    run.progress({ runningStatus: 'building indexes and constraints', fraction: 0.8 });
    await replay(session, postData);
    await session.handOver();
    const { rows } = await session.query('select pg_catalog.pg_current_xact_id()::pg_catalog.text as transaction');
    await run.saveCheckpoint({ committing: { rows: progress.rows, transaction: rows[0].transaction } } satisfies RestoreCheckpoint);
    signal.throwIfAborted();
    await session.query('commit');
    run.progress({ runningStatus: 'analyzing', fraction: 0.95 });
    // What is committed stays, also when the statistics have to wait for autovacuum.
    for (const { schema, name } of tables) await session.query(`analyze ${quoted(schema, name)}`).catch(() => {});
    await session.close();
  } catch (error) {
    session.abandon();
    throw error;
  }
  return progress.rows;
}

/** The rows of an earlier attempt whose commit reached the server, though its worker did not live to tell. */
async function committedBefore({ run, home }: RestoreContext): Promise<number | undefined> {
  const { committing } = (run.checkpoint ?? {}) as RestoreCheckpoint;
  if (committing === undefined) return undefined;
  for (const until = Date.now() + SETTLE_MS; ; ) {
    const { rows } = await home.query('select pg_catalog.pg_xact_status($1::pg_catalog.xid8) as status', [committing.transaction]);
    // Its backend has not noticed yet that its client is gone; what it holds would be in the way.
    if (rows[0].status !== 'in progress' || Date.now() > until) return rows[0].status === 'committed' ? committing.rows : undefined;
    await sleep(250, undefined, { signal: run.signal }).catch(() => run.signal.throwIfAborted());
  }
}

const quoted = (schema: string, name: string): string => [schema, name].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');

/** A pattern names the database, or it is the session's; a backup of one database needs no name. */
function databaseOf(manifest: Manifest, patterns: readonly TablePattern[], home: string): BackedUpDatabase {
  const named = new Set<string>();
  for (const { names, all } of patterns) if (names.length === (all ? 2 : 3)) named.add(names[0]!);
  if (named.size > 1) throw new PgPierError('restoreOneDatabase');
  const [name] = named;
  const [only, second] = manifest.databases;
  const source =
    manifest.databases.find((database) => database.name === (name ?? home)) ??
    (name === undefined && second === undefined ? only : undefined);
  if (source === undefined) throw new PgPierError('restoreDatabaseMissing', { name: name ?? home });
  return source;
}

async function requireDatabase(session: RestoreSession, name: string): Promise<void> {
  const { rows } = await session.query('select from pg_catalog.pg_database d where d.datname::pg_catalog.text operator(pg_catalog.=) $1', [
    name,
  ]);
  if (rows.length === 0) throw new PgPierError('restoreTargetMissing', { name });
}

async function requireAbsent(
  session: RestoreSession,
  tables: readonly { readonly schema: string; readonly name: string }[],
): Promise<void> {
  const { rows } = await session.query(
    `select w.name from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as w (schema, name)
      join pg_catalog.pg_class c on c.relname::pg_catalog.text operator(pg_catalog.=) w.name
      join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace and n.nspname::pg_catalog.text operator(pg_catalog.=) w.schema`,
    [tables.map(({ schema }) => schema), tables.map(({ name }) => name)],
  );
  if (rows.length > 0) throw new PgPierError('restoreRelationExists', { name: rows[0].name });
}

const kindsOfTypes = new Set(['TYPE', 'DOMAIN']);

/** A schema, type or extension that is there is used as it is. */
async function withoutExisting(session: RestoreSession, entries: readonly SchemaEntry[]): Promise<SchemaEntry[]> {
  const { rows } = await session.query(
    `select 'SCHEMA' as kind, '' as schema, nspname::pg_catalog.text as name from pg_catalog.pg_namespace
      union all select 'EXTENSION', '', extname::pg_catalog.text from pg_catalog.pg_extension
      union all select 'TYPE', n.nspname::pg_catalog.text, t.typname::pg_catalog.text from pg_catalog.pg_type t
        join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) t.typnamespace
      union all select 'FUNCTION', n.nspname::pg_catalog.text, p.proname::pg_catalog.text operator(pg_catalog.||) '(' operator(pg_catalog.||)
        pg_catalog.oidvectortypes(p.proargtypes) operator(pg_catalog.||) ')' from pg_catalog.pg_proc p
        join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) p.pronamespace
      union all select 'COLLATION', n.nspname::pg_catalog.text, c.collname::pg_catalog.text from pg_catalog.pg_collation c
        join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.collnamespace`,
  );
  const there = new Set(
    rows.map(({ kind, schema, name }: { kind: string; schema: string; name: string }) => JSON.stringify([kind, schema, name])),
  );
  const exists = (type: string, schema: string | undefined, name: string): boolean => {
    const kind =
      kindsOfTypes.has(type) || type === 'SHELL TYPE' ? 'TYPE' : type === 'AGGREGATE' || type === 'PROCEDURE' ? 'FUNCTION' : type;
    return there.has(JSON.stringify([kind, kind === 'SCHEMA' || kind === 'EXTENSION' ? '' : (schema ?? ''), name]));
  };
  return entries.filter(({ type, schema, name }) => {
    if (type !== 'COMMENT' && type !== 'ACL') return !exists(type, schema, name);
    const [kind = '', ...rest] = name.split(' ');
    return !exists(kind, schema, rest.join(' '));
  });
}
