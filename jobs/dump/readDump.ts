/**
 * pg_dump's text as entries. An entry begins at a comment `-- Name: …; Type: …; Schema: …; Owner: …`, and only where a statement may begin:
 * the same words inside a function's body or a literal are no header. Names come as pg_dump prints them there, unquoted.
 */
import { split } from '../../statement/split.ts';

export interface DumpEntry {
  readonly name: string;
  /** pg_dump's word: TABLE, SEQUENCE OWNED BY, FK CONSTRAINT, COMMENT, ACL, DEFAULT ACL, … */
  readonly type: string;
  /** Absent where pg_dump prints `-`. */
  readonly schema?: string;
  /** Absent where nothing owns it. */
  readonly owner?: string;
  /** SET statements that stand before it and are meant for it and what follows: default_tablespace, default_table_access_method. */
  readonly context: readonly string[];
  /** In order, without their `;`. */
  readonly statements: readonly string[];
}

export interface Dump {
  /** SETs and the like before the first entry, without `;`. */
  readonly preamble: readonly string[];
  readonly entries: readonly DumpEntry[];
}

const header = /^-- Name: (.*); Type: ([A-Z][A-Z ]*); Schema: (.*); Owner: ?(.*)$/gm;
const contextual = /^SET\s+(?:SESSION\s+|LOCAL\s+)?"?(?:default_tablespace|default_table_access_method|default_with_oids)"?\s/i;

const columnOptions = /^(ALTER (?:FOREIGN )?TABLE (?:ONLY )?[\s\S]* ALTER COLUMN [\s\S]* SET \()([^()]*)\)$/;

/** What the server's `standard_conforming_strings` is: pg_dump sets it on first of all. */
const lexing = { standardConformingStrings: true };

export function readDump(text: string): Dump {
  const sql = withoutRestrict(text);
  const preamble: string[] = [];
  const entries: { head: Omit<DumpEntry, 'context' | 'statements'>; context: string[]; statements: string[] }[] = [];
  let context: string[] = [];
  let from = 0;
  for (const { start, end, semicolon } of split(sql, lexing)) {
    // Between statements stand comments alone. Of two headers in one gap the first belongs to an entry without statements.
    for (const match of sql.slice(from, start).matchAll(header)) {
      entries.push({ head: headOf(match), context, statements: [] });
      context = [];
    }
    from = (semicolon ?? end) + 1;
    const statement = withoutColumnStamps(sql.slice(start, end));
    if (statement === undefined) continue;
    const entry = entries.at(-1);
    if (entry === undefined) preamble.push(statement);
    else if (contextual.test(statement)) context.push(statement);
    else entry.statements.push(statement);
  }
  return { preamble, entries: entries.map(({ head, ...rest }) => ({ ...head, ...rest })) };
}

/** The text of entries again, for psql: each with its header. */
export function writeDump({ preamble, entries }: Dump): string {
  const parts = preamble.map((statement) => `${statement};\n`);
  for (const { name, type, schema, owner, context, statements } of entries) {
    const title = `-- Name: ${name}; Type: ${type}; Schema: ${schema ?? '-'}; Owner: ${owner ?? ''}`;
    parts.push(...context.map((statement) => `\n${statement};\n`), `\n--\n${title}\n--\n\n`, ...statements.map((each) => `${each};\n`));
  }
  return parts.join('');
}

/**
 * Some servers (PostgreSQL 15.20) stamp each column with an option `pg_attver` of their own. Their pg_dump leaves it out; others print it, and servers that
 * do not know it refuse the statement. Undefined: nothing is left of it.
 */
function withoutColumnStamps(statement: string): string | undefined {
  const match = columnOptions.exec(statement);
  if (!match) return statement;
  const [, before, options] = match as unknown as [string, string, string];
  const kept = options.split(', ').filter((option) => !/^"?pg_attver"?=/.test(option));
  return kept.length === 0 ? undefined : `${before}${kept.join(', ')})`;
}

function headOf([, name = '', type = '', schema = '-', owner = '']: RegExpMatchArray): Omit<DumpEntry, 'context' | 'statements'> {
  return { name, type, ...(schema === '-' ? {} : { schema }), ...(owner === '' || owner === '-' ? {} : { owner }) };
}

/** `\restrict key` stands before the first statement and `\unrestrict key` behind the last: psql's, not SQL's. */
function withoutRestrict(sql: string): string {
  const begin = /^(?:--.*\n|\s*\n)*\\restrict (\w+)\n/.exec(sql);
  if (begin === null) return sql;
  const key = begin[1]!;
  const end = sql.lastIndexOf(`\n\\unrestrict ${key}`);
  return sql.slice(begin[0].length, end < 0 ? undefined : end + 1);
}
