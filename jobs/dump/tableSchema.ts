/**
 * The schema of some tables with what they stand on: types, domains, functions, collations, extensions, schemas. pg_dump's `--table` gives the
 * tables alone; so a second run writes everything but tables, and the entries are kept that pg_depend says the tables need.
 */
import type pg from 'pg';
import { type DumpOptions, type DumpRequest, dumpSchema } from './dump.ts';
import { type DumpEntry, readDump, writeDump } from './readDump.ts';

export type TableDumpRequest = DumpRequest & { readonly tables: NonNullable<DumpRequest['tables']> };

/** Runs a query in the transaction that exported the snapshot. */
export type SnapshotQuery = (text: string, values: readonly unknown[]) => Promise<pg.QueryResult>;

/**
 * What the tables need, by the words of pg_dump's headers. Objects that hang on a table (defaults, constraints, triggers, policies, indexes, owned
 * sequences) are followed to what they need in turn; other tables are not, so that a foreign key does not bring half a database along.
 * Names are formatted with an empty search_path, as in pg_dump.
 */
const neededObjects = `
with recursive tables as (
  select c.oid, c.relnamespace from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace
    join rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as w (schema, name)
      on n.nspname::pg_catalog.text operator(pg_catalog.=) w.schema and c.relname::pg_catalog.text operator(pg_catalog.=) w.name
), start (classid, objid) as (
  select 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid, oid from tables
  union select 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid, relnamespace from tables
  union select d.classid, d.objid from pg_catalog.pg_depend d join tables t on d.refobjid operator(pg_catalog.=) t.oid
    where d.refclassid operator(pg_catalog.=) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid and d.deptype in ('a', 'i')
), needed (classid, objid) as (
  select classid, objid from start
  union
  select d.refclassid, d.refobjid from needed n cross join lateral (
      select p.refclassid, p.refobjid from pg_catalog.pg_depend p
        where p.classid operator(pg_catalog.=) n.classid and p.objid operator(pg_catalog.=) n.objid
      -- A domain's checks depend on it, and it could not be made without what they call.
      union all select 'pg_catalog.pg_constraint'::pg_catalog.regclass::pg_catalog.oid, k.oid from pg_catalog.pg_constraint k
        where n.classid operator(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid and k.contypid operator(pg_catalog.=) n.objid
    ) d
    where d.refclassid operator(pg_catalog.<>) 'pg_catalog.pg_class'::pg_catalog.regclass::pg_catalog.oid
      or exists (select from pg_catalog.pg_class c where c.oid operator(pg_catalog.=) d.refobjid and c.relkind operator(pg_catalog.=) 'c')
)
select case t.typtype when 'd' then 'DOMAIN' else 'TYPE' end as type, s.nspname::pg_catalog.text as schema, t.typname::pg_catalog.text as name
  from needed n join pg_catalog.pg_type t on t.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) t.typnamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_type'::pg_catalog.regclass::pg_catalog.oid
union all
select case p.prokind when 'a' then 'AGGREGATE' when 'p' then 'PROCEDURE' else 'FUNCTION' end, s.nspname::pg_catalog.text,
    p.proname::pg_catalog.text operator(pg_catalog.||) '(' operator(pg_catalog.||) pg_catalog.oidvectortypes(p.proargtypes) operator(pg_catalog.||) ')'
  from needed n join pg_catalog.pg_proc p on p.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) p.pronamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_proc'::pg_catalog.regclass::pg_catalog.oid
union all
select 'COLLATION', s.nspname::pg_catalog.text, c.collname::pg_catalog.text
  from needed n join pg_catalog.pg_collation c on c.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) c.collnamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_collation'::pg_catalog.regclass::pg_catalog.oid
union all
select 'OPERATOR', s.nspname::pg_catalog.text, o.oprname::pg_catalog.text
  from needed n join pg_catalog.pg_operator o on o.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) o.oprnamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_operator'::pg_catalog.regclass::pg_catalog.oid
union all
select 'TEXT SEARCH CONFIGURATION', s.nspname::pg_catalog.text, c.cfgname::pg_catalog.text
  from needed n join pg_catalog.pg_ts_config c on c.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) c.cfgnamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_ts_config'::pg_catalog.regclass::pg_catalog.oid
union all
select 'TEXT SEARCH DICTIONARY', s.nspname::pg_catalog.text, c.dictname::pg_catalog.text
  from needed n join pg_catalog.pg_ts_dict c on c.oid operator(pg_catalog.=) n.objid join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) c.dictnamespace
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_ts_dict'::pg_catalog.regclass::pg_catalog.oid
union all
select 'SCHEMA', null, s.nspname::pg_catalog.text
  from needed n join pg_catalog.pg_namespace s on s.oid operator(pg_catalog.=) n.objid
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_namespace'::pg_catalog.regclass::pg_catalog.oid
union all
select 'EXTENSION', null, e.extname::pg_catalog.text
  from needed n join pg_catalog.pg_extension e on e.oid operator(pg_catalog.=) n.objid
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_extension'::pg_catalog.regclass::pg_catalog.oid
union all
select 'PROCEDURAL LANGUAGE', null, l.lanname::pg_catalog.text
  from needed n join pg_catalog.pg_language l on l.oid operator(pg_catalog.=) n.objid
  where n.classid operator(pg_catalog.=) 'pg_catalog.pg_language'::pg_catalog.regclass::pg_catalog.oid`;

/**
 * As `dumpSchema`, with what the tables need before them.
 * @throws PgPierError as dumpSchema does
 */
export async function dumpTableSchema(request: TableDumpRequest, query: SnapshotQuery, options: DumpOptions): Promise<string> {
  const tables = await dumpSchema(request, options);
  if (request.section === 'post-data') return tables;
  const all = readDump(await dumpSchema({ ...request, tables: [] }, options));
  // As pg_dump is told to: the types in a function's name are quoted, `f("text")`.
  await query("select pg_catalog.set_config('search_path', '', true), pg_catalog.set_config('quote_all_identifiers', 'on', true)", []);
  const { rows } = await query(neededObjects, [request.tables.map(({ schema }) => schema), request.tables.map(({ name }) => name)]);
  await query("select pg_catalog.set_config('quote_all_identifiers', 'off', true)", []);
  const needed = new Set(rows.map(({ type, schema, name }: Named) => key({ type, schema: schema ?? undefined, name })));
  const own = readDump(tables);
  return writeDump({ preamble: all.preamble, entries: [...all.entries.filter((entry) => isNeeded(entry, needed)), ...own.entries] });
}

interface Named {
  readonly type: string;
  readonly schema?: string | null | undefined;
  readonly name: string;
}

/** In headers, line breaks of a name are blanks. */
const key = ({ type, schema, name }: Named): string => JSON.stringify([type, schema ?? '', name]).replaceAll(/\\[rn]/g, ' ');

/** A shell type stands before the functions of a base type; a COMMENT and an ACL name what they are of: `TYPE mood`. */
function isNeeded(entry: DumpEntry, needed: ReadonlySet<string>): boolean {
  const { schema, name } = entry;
  if (entry.type === 'SHELL TYPE') return needed.has(key({ type: 'TYPE', schema, name }));
  if (entry.type !== 'COMMENT' && entry.type !== 'ACL') return needed.has(key({ type: entry.type, schema, name }));
  const words = name.split(' ');
  return words.some(
    (_, index) => index > 0 && needed.has(key({ type: words.slice(0, index).join(' '), schema, name: words.slice(index).join(' ') })),
  );
}
