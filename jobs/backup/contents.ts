/** What a database holds, asked of its catalogs in the snapshot. The session's search_path is empty: pg_catalog alone is searched. */
import { PgPierError } from '../../errors.ts';
import type { TablePattern } from '../../statement/statement.ts';
import type { BackendSession } from '../backendLogin.ts';
import type { BackedUpSequence } from './manifest.ts';

export interface SourceTable {
  readonly oid: string;
  readonly schema: string;
  readonly name: string;
  /** `r` ordinary, `p` partitioned (no rows of its own). */
  readonly kind: 'r' | 'p';
  /** Without generated columns. */
  readonly columns: readonly string[];
  readonly bytes: number;
  readonly blocks: number;
  /** Parts of it can be read by themselves. */
  readonly divisible: boolean;
  /** Whether the asker may read it. */
  readonly readable: boolean;
  /** A configuration table of an extension: which of its rows are the user's, a WHERE clause or nothing. */
  readonly condition?: string;
}

/** Tables that a statement names. A schema of its own for each name, so that `t` is what the asker's session would take for it. */
export interface WantedTable {
  readonly schema: string;
  /** Absent: all tables of the schema. */
  readonly name?: string;
}

/**
 * `t` is looked for along the asker's search_path; `*` is everything in public. `d.s.t` and `d.s.*` have lost their database.
 * @param texts the patterns as the statement wrote them
 * @throws PgPierError 42P01 for a name that is no table
 */
export async function resolvePatterns(
  session: BackendSession,
  patterns: readonly TablePattern[],
  texts: readonly string[],
  asker: { readonly role: string; readonly searchPath: string },
): Promise<WantedTable[]> {
  const path = schemasOf(asker.searchPath, asker.role);
  const wanted = patterns.map(({ names, all }): { schemas: readonly string[]; name?: string } => {
    if (all) return { schemas: [names[0] ?? 'public'] };
    return { schemas: names.length === 1 ? path : [names[0]!], name: names.at(-1)! };
  });
  const { rows } = await session.query(
    `select n.nspname::text as schema, c.relname::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and c.relpersistence <> 't' and c.relname::text = any ($1::text[])`,
    [wanted.flatMap(({ name }) => name ?? [])],
  );
  const there = new Set(rows.map(({ schema, name }) => JSON.stringify([schema, name])));
  return wanted.map(({ schemas, name }, index) => {
    if (name === undefined) return { schema: schemas[0]! };
    const schema = schemas.find((each) => there.has(JSON.stringify([each, name])));
    if (schema === undefined) throw new PgPierError('backupTableMissing', { name: texts[index]! });
    return { schema, name };
  });
}

/** A search_path as SHOW prints it. */
function schemasOf(searchPath: string, role: string): string[] {
  return [...searchPath.matchAll(/"((?:[^"]|"")*)"|([^",\s]+)/g)].map(([, quoted, bare]) => {
    const name = quoted?.replaceAll('""', '"') ?? bare!.toLowerCase();
    return name === '$user' ? role : name;
  });
}

/** What a statement names, and below it partitions and children by inheritance, whose rows a query of the table shows too. */
const wantedQuery = `with recursive wanted (oid) as (
  select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace join jsonb_to_recordset($1::jsonb) as w (schema text, name text)
    on w.schema = n.nspname and (w.name is null or w.name = c.relname) where c.relkind in ('r', 'p')
  union select i.inhrelid from pg_inherits i join wanted on i.inhparent = wanted.oid)`;

/** Members of extensions are the extension's, but for the rows of configuration tables that are marked as the user's. */
const tablesQuery = (all: boolean): string => `${all ? '' : wantedQuery}
select c.oid::text, n.nspname::text as schema, c.relname::text as name, c.relkind::text as kind, pg_table_size(c.oid)::float8 as bytes,
    (pg_relation_size(c.oid) / current_setting('block_size')::int8)::float8 as blocks,
    c.relkind = 'r' and current_setting('server_version_num')::int4 >= 140000 and (select a.amname = 'heap' from pg_am a where a.oid = c.relam) as divisible,
    -- NULL: dropped since the query began, which the lock will find out.
    coalesce(has_table_privilege(c.oid, 'SELECT') or has_any_column_privilege(c.oid, 'SELECT') and not exists (select from pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and not has_column_privilege(c.oid, a.attnum, 'SELECT')), true) as readable,
    array(select a.attname::text from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' order by a.attnum) as columns,
    x.condition
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
    left join (select unnest(e.extconfig) as oid, unnest(e.extcondition) as condition from pg_extension e) x on x.oid = c.oid
  where c.relkind in ('r', 'p') and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and (x.oid is not null or not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e'))
    ${all ? 'and $1::jsonb is null' : 'and x.oid is null and c.oid in (select oid from wanted)'}
  order by 2, 3`;

/** @param wanted absent: all tables */
export async function listTables(session: BackendSession, wanted?: readonly WantedTable[]): Promise<SourceTable[]> {
  const { rows } = await session.query(tablesQuery(wanted === undefined), [wanted === undefined ? null : JSON.stringify(wanted)]);
  return rows.map(({ condition, ...table }) => ({ ...table, ...(condition === null ? {} : { condition }) }));
}

/** @param tables absent: all of the database; else those that belong to the tables or that their defaults name */
export async function listSequences(session: BackendSession, tables?: readonly SourceTable[]): Promise<BackedUpSequence[]> {
  const { rows } = await session.query(
    `select n.nspname::text as schema, c.relname::text as name, quote_ident(n.nspname) || '.' || quote_ident(c.relname) as quoted
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind = 'S' and c.relpersistence <> 't' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
        and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
        and ($1::oid[] is null or exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refobjid = any ($1::oid[]))
          or exists (select from pg_attrdef a join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = a.oid
            where a.adrelid = any ($1::oid[]) and d.refclassid = 'pg_class'::regclass and d.refobjid = c.oid))
      order by 1, 2`,
    [tables === undefined ? null : tables.map(({ oid }) => oid)],
  );
  const sequences: BackedUpSequence[] = [];
  for (const { schema, name, quoted } of rows) {
    const value = await session.query(`select last_value::text as last, is_called as called from ${quoted}`);
    sequences.push({ schema, name, lastValue: value.rows[0].last, isCalled: value.rows[0].called });
  }
  return sequences;
}

/** ACL and owner of what SHOW BACKUP lists, by `type schema name`; names of functions carry their arguments, as pg_dump prints them. */
export async function listAccess(
  session: BackendSession,
): Promise<Map<string, { readonly owner: string; readonly privileges?: readonly string[] }>> {
  // As pg_dump is told to: the types in a function's name are quoted, `f("text")`.
  await session.query("select set_config('quote_all_identifiers', 'on', false)");
  const { rows } = await session.query(`
    select 'schema' as type, '' as schema, n.nspname::text as name, pg_get_userbyid(n.nspowner)::text as owner, n.nspacl::text[] as acl from pg_namespace n
    union all select 'table', n.nspname::text, c.relname::text, pg_get_userbyid(c.relowner)::text, c.relacl::text[]
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all select 'type', n.nspname::text, t.typname::text, pg_get_userbyid(t.typowner)::text, t.typacl::text[]
      from pg_type t join pg_namespace n on n.oid = t.typnamespace where t.typtype in ('e', 'd', 'c', 'r', 'b')
    union all select 'function', n.nspname::text, p.proname || '(' || oidvectortypes(p.proargtypes) || ')', pg_get_userbyid(p.proowner)::text, p.proacl::text[]
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname <> 'pg_catalog' and n.nspname <> 'information_schema'`);
  await session.query("select set_config('quote_all_identifiers', 'off', false)");
  return new Map(
    rows.map(({ type, schema, name, owner, acl }) => [
      JSON.stringify([type, schema, name]),
      { owner, ...(acl === null ? {} : { privileges: acl }) },
    ]),
  );
}
