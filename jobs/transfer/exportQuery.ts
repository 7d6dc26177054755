/**
 * The query of EXPORT, made ready for `COPY (…) TO STDOUT`: read by PostgreSQL's own grammar (libpg-query), `$n` written in as literals,
 * and a map from positions in the COPY text back to the client's text. Pure; types of parameters are looked up by the caller.
 */
import { hasSqlDetails, loadModule, parseSync, scanSync } from 'libpg-query';
import { PgPierError } from '../../errors.ts';
import { quoteLiteral } from './quoteLiteral.ts';

export interface Parameter {
  readonly value: string | null;
  readonly typeOid: number;
}

/** The query's text, cut where each `$n` stands. */
export interface ExportQuery {
  readonly pieces: readonly QueryPiece[];
  /** Characters (code points) in the client's text before the query. */
  readonly offset: number;
}

type QueryPiece =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'parameter'; readonly text: string; readonly number: number };

/** A text for PostgreSQL and the way back: 1-based positions in `text` to 1-based positions in the client's text. */
export interface CopyText {
  readonly text: string;
  clientPosition(position: number): number | undefined;
}

/** Set once libpg-query has failed in a way that is no answer about the text; its WebAssembly memory is then not to be trusted. */
export const grammar = { spoilt: false };

/**
 * Reads the query: one SELECT, VALUES, TABLE or WITH. What PostgreSQL alone can judge (names, rights, types) is left to it.
 * @throws PgPierError 42601 (with position), 0A000, 54001
 */
export async function readExportQuery(text: string, offset: number, standardConformingStrings: boolean): Promise<ExportQuery> {
  await loadModule();
  if (text.includes('\0')) throw new PgPierError('syntaxError', { near: '\\0' }, { position: offset + 1 });
  const bytes = Buffer.from(text);
  const statements = read(() => (bytes.length === 0 ? [] : (parseSync(text).stmts ?? [])), offset);
  const [statement, second] = statements;
  if (statement === undefined) throw new PgPierError('syntaxErrorAtEnd', {}, { position: offset + length(text) + 1 });
  if (second !== undefined) {
    throw new PgPierError('exportOneQuery', {}, { position: offset + length(before(bytes, second.stmt_location ?? 0)) + 1 });
  }
  refuseOtherThanSelect((statement.stmt ?? {}) as Record<string, unknown>, offset);
  // Behind the statement there may be a `;`, which COPY (…) cannot hold.
  const end = statement.stmt_len ? (statement.stmt_location ?? 0) + statement.stmt_len : bytes.length;
  const pieces: QueryPiece[] = [];
  let at = 0;
  for (const token of read(() => scanSync(text).tokens, offset)) {
    // libpg-query reads '…' by the standard; where the session does not, the two could disagree about where a string ends.
    if (!standardConformingStrings && token.tokenName === 'SCONST' && token.text.startsWith("'") && token.text.includes('\\')) {
      throw new PgPierError('exportBackslash', {}, { position: offset + length(before(bytes, token.start)) + 1 });
    }
    if (token.tokenName !== 'PARAM' || token.end > end) continue;
    if (token.start > at) pieces.push({ kind: 'text', text: bytes.toString('utf8', at, token.start) });
    const written = bytes.toString('utf8', token.start, token.end);
    pieces.push({ kind: 'parameter', text: written, number: Number(written.slice(1)) });
    at = token.end;
  }
  if (end > at) pieces.push({ kind: 'text', text: bytes.toString('utf8', at, end) });
  return { pieces, offset };
}

/**
 * `COPY (query) TO STDOUT WITH (…)`. Every `$n` becomes a literal in parentheses, so that subscripts and casts behind it still bind to it.
 * @param typeNames SQL names of the declared types by OID, as `format_type(oid, -1)` writes them
 * @throws PgPierError 42P02 for a `$n` without a value, 42704 for a type that does not exist
 */
export function copyText(
  query: ExportQuery,
  parameters: readonly Parameter[],
  typeNames: ReadonlyMap<number, string>,
  csv: { readonly delimiter: string; readonly nullString: string },
): CopyText {
  /** Where a piece stands in the COPY text and in the client's, counted from 0 in code points. */
  const places: { readonly from: number; readonly to: number; readonly client: number; readonly moving: boolean }[] = [];
  let text = 'COPY (';
  let at = length(text);
  let client = query.offset;
  for (const piece of query.pieces) {
    const written = piece.kind === 'text' ? piece.text : literal(piece.number, parameters[piece.number - 1], typeNames, client + 1);
    const to = at + length(written);
    places.push({ from: at, to, client, moving: piece.kind === 'text' });
    text += written;
    at = to;
    client += length(piece.text);
  }
  // The line break ends a `-- comment` at the query's end.
  text += `\n) TO STDOUT WITH (FORMAT csv, DELIMITER ${quoteLiteral(csv.delimiter)}, NULL ${quoteLiteral(csv.nullString)})`;
  return {
    text,
    clientPosition(position) {
      const place = places.find(({ from, to }) => position - 1 >= from && position - 1 < to);
      if (place === undefined) return undefined;
      return place.client + (place.moving ? position - 1 - place.from : 0) + 1;
    },
  };
}

/** Types that are written without a cast: 0 is "not declared"; text and unknown are what a driver says when it leaves the type to PostgreSQL. */
const uncast = new Set([0, 25, 705]);

/** The OIDs whose names `copyText` needs. */
export function declaredTypes(parameters: readonly Parameter[]): number[] {
  return [...new Set(parameters.map(({ typeOid }) => typeOid))].filter((oid) => !uncast.has(oid));
}

function literal(number: number, parameter: Parameter | undefined, typeNames: ReadonlyMap<number, string>, position: number): string {
  if (parameter === undefined) throw new PgPierError('noParameter', { number }, { position });
  const value = parameter.value === null ? 'NULL' : quoteLiteral(parameter.value);
  if (uncast.has(parameter.typeOid)) return `(${value})`;
  const type = typeNames.get(parameter.typeOid);
  if (type === undefined) throw new PgPierError('parameterType', { oid: parameter.typeOid, number }, { position });
  return `(${value}::${type})`;
}

function refuseOtherThanSelect(node: Record<string, unknown>, offset: number): void {
  const select = node.SelectStmt as SelectNode | undefined;
  if (select === undefined) {
    const data = /^(Insert|Update|Delete|Merge)Stmt$/.exec(Object.keys(node)[0] ?? '');
    if (data) throw new PgPierError('exportQueryKind', { what: data[1]!.toUpperCase() }, { position: offset + 1 });
    throw new PgPierError('exportOneQuery', {}, { position: offset + 1 });
  }
  for (let arm: SelectNode | undefined = select; arm !== undefined; arm = arm.larg) {
    if (arm.intoClause !== undefined) throw new PgPierError('exportQueryKind', { what: 'SELECT INTO' }, { position: offset + 1 });
  }
}

interface SelectNode {
  readonly intoClause?: unknown;
  readonly larg?: SelectNode;
}

/** Runs libpg-query. Its complaints become ours, with the position in the client's text. */
function read<T>(run: () => T, offset: number): T {
  try {
    return run();
  } catch (error) {
    if (!hasSqlDetails(error)) {
      // The stack of WebAssembly or of JavaScript ran out: nothing was learnt about the text.
      grammar.spoilt = true;
      throw new PgPierError('exportQueryTooDeep');
    }
    const { message = error.message, cursorPosition = -1 } = error.sqlDetails ?? {};
    // libpg-query counts characters from 0; it fills in no SQLSTATE.
    const position = cursorPosition < 0 ? {} : { position: offset + cursorPosition + 1 };
    throw PgPierError.from({ sqlstate: message.startsWith('memory exhausted') ? '54001' : '42601', message, ...position });
  }
}

/** Length in characters as PostgreSQL counts them: code points. */
function length(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function before(bytes: Buffer, end: number): string {
  return bytes.toString('utf8', 0, end);
}
