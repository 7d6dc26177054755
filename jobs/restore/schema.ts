/** The schema of a backup, read and checked as a whole before anything is made. */
import { PgPierError } from '../../errors.ts';
import { type DumpEntry, readDump } from '../dump/readDump.ts';
import { loadGrammar, readSchemaStatement, type SchemaStatement, type Tree } from './schemaStatement.ts';

export interface SchemaEntry extends Omit<DumpEntry, 'statements' | 'context'> {
  readonly context: readonly SchemaStatement[];
  readonly statements: readonly SchemaStatement[];
}

/** Between so many statements the process looks after its other work: leases, sockets. */
const BREATH = 200;

/** @throws PgPierError for a statement that no dump holds */
export async function readSchema(sql: string): Promise<SchemaEntry[]> {
  await loadGrammar();
  const { preamble, entries } = readDump(sql);
  let count = 0;
  const read = async (statements: readonly string[]): Promise<SchemaStatement[]> => {
    const found: SchemaStatement[] = [];
    for (const text of statements) {
      found.push(readSchemaStatement(text));
      if (++count % BREATH === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    return found;
  };
  // What stands before the first entry sets the session up, or it stands in the wrong place.
  if ((await read(preamble)).some(({ purpose }) => purpose !== 'setting')) {
    throw new PgPierError('restoreRefused', { what: 'a statement in front of the first object' });
  }
  const checked: SchemaEntry[] = [];
  for (const { context, statements, ...head } of entries)
    checked.push(realName({ ...head, context: await read(context), statements: await read(statements) }));
  return checked;
}

/** pg_dump prints blanks for the line breaks of a name, and a name may hold what looks like the rest of a header; the statement has it as it is. */
function realName(entry: SchemaEntry): SchemaEntry {
  const [statement] = entry.statements;
  if (statement === undefined) return entry;
  const { kind, tree } = statement;
  const relation = (kind === 'CreateStmt' ? tree.relation : kind === 'CreateSeqStmt' ? tree.sequence : tree.typevar) as Tree | undefined;
  const list = (tree.typeName ?? tree.domainname ?? tree.funcname) as
    | readonly { readonly String?: { readonly sval?: string } }[]
    | undefined;
  const parts = Array.isArray(list) ? list.map((part) => part.String?.sval ?? '') : [relation?.schemaname, relation?.relname];
  const [schema, name] = parts.map((part) => (typeof part === 'string' ? part : '')) as [string, string];
  if (kind === 'CreateSchemaStmt' && typeof tree.schemaname === 'string')
    return /[\r\n]/.test(tree.schemaname) ? { ...entry, name: tree.schemaname } : entry;
  if (parts.length !== 2 || schema === '' || name === '' || (kind === 'CreateFunctionStmt' && !/[\r\n]/.test(name))) return entry;
  const signature = kind === 'CreateFunctionStmt' ? entry.name.slice(name.length) : '';
  return { ...entry, schema, name: `${name}${signature}` };
}

/** Without owners and privileges: everything will belong to who restores. */
export function withoutGrants(entries: readonly SchemaEntry[]): SchemaEntry[] {
  return entries
    .map((entry) => ({ ...entry, statements: entry.statements.filter(({ purpose }) => purpose !== 'owner' && purpose !== 'privilege') }))
    .filter(({ type, statements }) => statements.length > 0 || (type !== 'ACL' && type !== 'DEFAULT ACL'));
}

/** Roles that owners and privileges name. */
export function rolesOf(entries: readonly SchemaEntry[]): Set<string> {
  const roles = new Set<string>();
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) walk(each);
    else if (node !== null && typeof node === 'object') {
      const { roletype, rolename } = node as Tree;
      if (roletype === 'ROLESPEC_CSTRING' && typeof rolename === 'string') roles.add(rolename);
      for (const value of Object.values(node)) walk(value);
    }
  };
  for (const { statements } of entries) for (const { tree } of statements) walk(tree);
  return roles;
}
