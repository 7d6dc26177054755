/** Which entries of a schema some tables need. Pure: goes by the names in the parse trees, since the source database may be long gone. */
import { PgPierError } from '../../errors.ts';
import type { TablePattern } from '../../statement/statement.ts';
import type { SchemaEntry } from './schema.ts';
import { commandsOf, type SchemaStatement, type Tree } from './schemaStatement.ts';

export interface TableName {
  readonly schema: string;
  readonly name: string;
}

interface Sections {
  readonly preData: readonly SchemaEntry[];
  readonly postData: readonly SchemaEntry[];
}

const key = (schema: string, name: string): string => JSON.stringify([schema, name]);
const keyOf = (relation: unknown): string | undefined => {
  const { schemaname, relname } = (relation ?? {}) as { schemaname?: string; relname?: string };
  return relname === undefined ? undefined : key(schemaname ?? '', relname);
};

/** The tables that the patterns name, in the order of the backup. @throws PgPierError 42P01 for a pattern that names none */
export function chooseTables(preData: readonly SchemaEntry[], patterns: readonly TablePattern[], database: string): TableName[] {
  const all = preData
    .filter(({ type, schema }) => type === 'TABLE' && schema !== undefined)
    .map(({ schema, name }) => ({ schema: schema!, name }));
  const chosen = new Set<string>();
  for (const pattern of patterns) {
    const found = all.filter((table) => matches(pattern, table, database));
    if (found.length === 0)
      throw new PgPierError('restoreTableMissing', { name: [...pattern.names, ...(pattern.all ? ['*'] : [])].join('.') });
    for (const { schema, name } of found) chosen.add(key(schema, name));
  }
  return all.filter(({ schema, name }) => chosen.has(key(schema, name)));
}

/** Two names are schema and table, or database and table of its schema public; of `x.*` both readings count. */
function matches({ names, all }: TablePattern, { schema, name }: TableName, database: string): boolean {
  const [first, second, third] = names;
  if (all) {
    if (names.length === 0) return schema === 'public';
    if (names.length === 1) return first === schema || first === database;
    return first === database && second === schema;
  }
  if (names.length === 1) return first === name && schema === 'public';
  if (names.length === 2) return second === name && (first === schema || (first === database && schema === 'public'));
  return first === database && second === schema && third === name;
}

/** @throws PgPierError 42P01 for a foreign key that leads out of the chosen tables, unless it is to be skipped */
export function chosenSchema(
  sections: Sections,
  tables: readonly TableName[],
  skipMissingForeignKeys: boolean,
): Sections & { readonly relations: ReadonlySet<string> } {
  const relations = new Set(tables.map(({ schema, name }) => key(schema, name)));
  addParts(sections, relations);
  const needed = neededNames(sections, relations);
  const isChosen = (entry: SchemaEntry): boolean => {
    const principal = principalOf(entry);
    if (principal !== undefined && relations.has(principal)) return true;
    return definesOf(entry).some((name) => needed.has(name));
  };
  const preData = sections.preData.filter(isChosen);
  // A sequence that a default names comes with its value.
  for (const { type, schema, name } of preData) if (type === 'SEQUENCE') relations.add(key(schema ?? '', name));
  const indexes = new Set<string>();
  const postData = sections.postData.filter((entry) => {
    const attached = attachedIndex(entry);
    if (attached !== undefined) return indexes.has(attached);
    const principal = principalOf(entry);
    if (principal === undefined || !relations.has(principal)) return false;
    const referenced = foreignTable(entry);
    if (referenced !== undefined && !relations.has(referenced)) {
      if (skipMissingForeignKeys) return false;
      const [table, name] = [principal, referenced].map((each) => (JSON.parse(each) as [string, string])[1]);
      throw new PgPierError('restoreReferencedTable', { table: table!, referenced: name! });
    }
    if (entry.type === 'INDEX') indexes.add(key(entry.schema ?? '', entry.name));
    // `customer customer_pkey`: the table's name and the key's, whose index has the same.
    else if (entry.type === 'CONSTRAINT') for (const name of keyNames(entry)) indexes.add(key(entry.schema ?? '', name));
    return true;
  });
  return { preData, postData, relations };
}

/** `ALTER INDEX parent ATTACH PARTITION child`: the child. pg_dump writes it behind both. */
function attachedIndex({ type, statements }: SchemaEntry): string | undefined {
  const [command] = type === 'INDEX ATTACH' && statements[0] !== undefined ? commandsOf(statements[0].tree) : [];
  return command === undefined ? undefined : (keyOf((((command.def as Tree | undefined)?.PartitionCmd ?? {}) as Tree).name) ?? '');
}

function keyNames({ statements }: SchemaEntry): string[] {
  return statements
    .flatMap(({ tree }) => commandsOf(tree))
    .map((command) => (((command.def as Tree | undefined)?.Constraint ?? {}) as { conname?: string }).conname)
    .filter((name) => name !== undefined);
}

/** Partitions of chosen tables, and sequences that belong to them. */
function addParts({ preData, postData }: Sections, relations: Set<string>): void {
  for (let before = -1; before < relations.size; ) {
    before = relations.size;
    for (const { statements } of [...preData, ...postData]) {
      for (const { kind, tree } of statements) {
        if (kind === 'AlterTableStmt' && relations.has(keyOf(tree.relation) ?? '')) {
          for (const command of commandsOf(tree)) {
            const partition =
              command.subtype === 'AT_AttachPartition' ? keyOf(((command.def as Tree)?.PartitionCmd as Tree)?.name) : undefined;
            if (partition !== undefined && tree.objtype !== 'OBJECT_INDEX') relations.add(partition);
            const identity = command.subtype === 'AT_AddIdentity' ? identitySequence(command) : undefined;
            if (identity !== undefined) relations.add(identity);
          }
        }
        const owner = kind === 'AlterSeqStmt' ? ownedBy(tree) : undefined;
        if (owner !== undefined && relations.has(owner)) relations.add(keyOf(tree.sequence)!);
      }
    }
  }
}

function ownedBy(tree: Tree): string | undefined {
  for (const option of (tree.options ?? []) as Tree[]) {
    const { defname, arg } = (option.DefElem ?? {}) as { defname?: string; arg?: Tree };
    const names = strings((arg?.List as Tree | undefined)?.items);
    if (defname === 'owned_by' && names.length >= 3) return key(names.at(-3)!, names.at(-2)!);
  }
  return undefined;
}

function identitySequence(command: Tree): string | undefined {
  const constraint = (command.def as Tree | undefined)?.Constraint as Tree | undefined;
  for (const option of (constraint?.options ?? []) as Tree[]) {
    const { defname, arg } = (option.DefElem ?? {}) as { defname?: string; arg?: Tree };
    const names = strings((arg?.List as Tree | undefined)?.items);
    if (defname === 'sequence_name' && names.length >= 2) return key(names.at(-2)!, names.at(-1)!);
  }
  return undefined;
}

const strings = (items: unknown): string[] =>
  (Array.isArray(items) ? items : []).map((item) => ((item as Tree).String as { sval?: string } | undefined)?.sval ?? '');

/** The relation that an entry is about, or hangs on. */
function principalOf({ type, schema, name, statements }: SchemaEntry): string | undefined {
  if (type === 'TABLE' || type === 'SEQUENCE') return key(schema ?? '', name);
  const [statement] = statements;
  return statement === undefined ? undefined : relationOf(statement);
}

function relationOf({ kind, tree }: SchemaStatement): string | undefined {
  switch (kind) {
    case 'CreatePolicyStmt':
      return keyOf(tree.table);
    case 'AlterSeqStmt':
      return keyOf(tree.sequence);
    case 'CreateStatsStmt':
      return keyOf((tree.relations as Tree[] | undefined)?.[0]?.RangeVar);
    case 'GrantStmt':
      return tree.objtype === 'OBJECT_TABLE' || tree.objtype === 'OBJECT_SEQUENCE'
        ? keyOf((tree.objects as Tree[] | undefined)?.[0]?.RangeVar)
        : undefined;
    case 'CommentStmt':
      return commented(tree);
    case 'AlterTableStmt':
      if (tree.objtype === 'OBJECT_INDEX') return undefined;
      return keyOf(tree.relation);
    default:
      return keyOf(tree.relation);
  }
}

/** `COMMENT ON TABLE s.t`, `COLUMN s.t.c`, `CONSTRAINT c ON s.t`, …: the table's part of the name. */
function commented(tree: Tree): string | undefined {
  const names = strings(((tree.object as Tree | undefined)?.List as Tree | undefined)?.items);
  switch (tree.objtype) {
    case 'OBJECT_TABLE':
    case 'OBJECT_SEQUENCE':
      return names.length >= 2 ? key(names.at(-2)!, names.at(-1)!) : undefined;
    case 'OBJECT_COLUMN':
    case 'OBJECT_TABCONSTRAINT':
    case 'OBJECT_TRIGGER':
    case 'OBJECT_POLICY':
      return names.length >= 3 ? key(names.at(-3)!, names.at(-2)!) : undefined;
    default:
      return undefined;
  }
}

function foreignTable({ statements }: SchemaEntry): string | undefined {
  for (const { kind, tree } of statements) {
    if (kind !== 'AlterTableStmt') continue;
    for (const command of commandsOf(tree)) {
      const constraint = (command.def as Tree | undefined)?.Constraint as Tree | undefined;
      if (constraint?.contype === 'CONSTR_FOREIGN') return keyOf(constraint.pktable);
    }
  }
  return undefined;
}

const definitions = new Set([
  'TYPE',
  'SHELL TYPE',
  'DOMAIN',
  'FUNCTION',
  'PROCEDURE',
  'AGGREGATE',
  'COLLATION',
  'OPERATOR',
  'SEQUENCE',
  'TEXT SEARCH CONFIGURATION',
]);

/** Names under which other statements know what an entry makes; an extension is known by the schema that it fills. */
function definesOf({ type, schema, name, statements }: SchemaEntry): string[] {
  if (type === 'SCHEMA') return [`schema ${name}`];
  if (type === 'EXTENSION') return [`extension ${extensionSchema(statements) ?? ''}`];
  if (definitions.has(type)) return [key(schema ?? '', name.replace(/\(.*$/s, ''))];
  if (type !== 'COMMENT' && type !== 'ACL') return [];
  const space = name.indexOf(' ');
  const [kind, of] = [name.slice(0, space), name.slice(space + 1)];
  if (kind === 'SCHEMA') return [`schema ${of}`];
  return definitions.has(kind) ? [key(schema ?? '', of.replace(/\(.*$/s, ''))] : [];
}

function extensionSchema(statements: readonly SchemaStatement[]): string | undefined {
  for (const option of (statements[0]?.tree.options ?? []) as Tree[]) {
    const { defname, arg } = (option.DefElem ?? {}) as { defname?: string; arg?: Tree };
    if (defname === 'schema') return (arg?.String as { sval?: string } | undefined)?.sval;
  }
  return undefined;
}

/** Follows the names in the chosen entries, and in what those need, until nothing new comes. */
function neededNames({ preData, postData }: Sections, relations: ReadonlySet<string>): ReadonlySet<string> {
  const defined = Map.groupBy(
    preData.flatMap((entry) => definesOf(entry).map((name) => ({ name, entry }))),
    ({ name }) => name,
  );
  const needed = new Set<string>();
  const visit = (entry: SchemaEntry): void => {
    for (const name of namesIn(entry)) {
      const [schema] = JSON.parse(name) as [string, string];
      // What no entry makes comes from an extension, if it comes from the backup at all.
      const found = defined.has(name) ? [name] : [`extension ${schema}`];
      for (const each of [...found, `schema ${schema}`]) {
        if (needed.has(each) || !defined.has(each)) continue;
        needed.add(each);
        for (const { entry: next } of defined.get(each)!) visit(next);
      }
    }
  };
  for (const entry of [...preData, ...postData]) {
    const principal = principalOf(entry);
    if (principal === undefined || !relations.has(principal)) continue;
    const [schema] = JSON.parse(principal) as [string, string];
    if (defined.has(`schema ${schema}`)) needed.add(`schema ${schema}`);
    visit(entry);
  }
  return needed;
}

/** Qualified names of types, functions, collations, operators and sequences. A dump qualifies all but pg_catalog's. */
function namesIn({ statements }: SchemaEntry): Set<string> {
  const names = new Set<string>();
  const add = (list: unknown): void => {
    const parts = strings(list);
    if (parts.length >= 2 && parts.at(-2) !== 'pg_catalog') names.add(key(parts.at(-2)!, parts.at(-1)!));
  };
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) walk(each);
    else if (node !== null && typeof node === 'object') {
      const { names: typeNames, funcname, collname, opclass, name } = node as Tree;
      for (const list of [typeNames, funcname, collname, opclass, name]) if (Array.isArray(list)) add(list);
      const cast = (node as Tree).TypeCast as Tree | undefined;
      if (cast !== undefined && strings((cast.typeName as Tree | undefined)?.names).at(-1) === 'regclass') {
        const text = ((cast.arg as Tree | undefined)?.A_Const as { sval?: { sval?: string } } | undefined)?.sval?.sval;
        const sequence = text === undefined ? undefined : qualifiedName(text);
        if (sequence !== undefined) names.add(sequence);
      }
      for (const value of Object.values(node)) walk(value);
    }
  };
  for (const { tree } of statements) walk(tree);
  return names;
}

/** `shop.ticket`, `"shop"."Ticket ""x"""`. */
function qualifiedName(text: string): string | undefined {
  const parts = [...text.matchAll(/"((?:[^"]|"")*)"|([^".]+)/g)].map(([, quoted, bare]) => quoted?.replaceAll('""', '"') ?? bare!);
  return parts.length === 2 ? key(parts[0]!, parts[1]!) : undefined;
}
