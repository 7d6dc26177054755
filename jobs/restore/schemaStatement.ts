/**
 * Which statements a backup's schema may hold. A backup lies in a bucket that others may write to, so its SQL is untrusted: each statement
 * is read by PostgreSQL's own grammar (libpg-query) and must be of a kind that pg_dump writes; anything else is refused by name before
 * anything is made. What such a statement may do is then PostgreSQL's to say, to the asker and nobody else.
 */
import { hasSqlDetails, loadModule, parseSync } from 'libpg-query';
import { PgPierError } from '../../errors.ts';

/** A node of libpg-query's parse tree. */
export type Tree = Readonly<Record<string, unknown>>;

export interface SchemaStatement {
  readonly text: string;
  /** The node's name: `CreateStmt`. */
  readonly kind: string;
  readonly tree: Tree;
  /** `owner` and `privilege` come back WITH grants alone; `setting` is for the session that replays. */
  readonly purpose: 'make' | 'owner' | 'privilege' | 'setting';
}

/** What pg_dump 14 to 18 writes into its pre-data and post-data sections. */
const made: ReadonlySet<string> = new Set([
  ...[
    'CreateStmt',
    'CreateSeqStmt',
    'AlterSeqStmt',
    'CreateSchemaStmt',
    'CreateExtensionStmt',
    'AlterExtensionContentsStmt',
    'CommentStmt',
  ],
  ...['CreateEnumStmt', 'CreateDomainStmt', 'CompositeTypeStmt', 'CreateRangeStmt', 'DefineStmt', 'AlterTypeStmt', 'AlterDomainStmt'],
  ...[
    'CreateFunctionStmt',
    'AlterFunctionStmt',
    'CreateCastStmt',
    'CreateConversionStmt',
    'CreateTransformStmt',
    'CreatePLangStmt',
    'CreateAmStmt',
  ],
  ...[
    'CreateOpClassStmt',
    'CreateOpFamilyStmt',
    'AlterOpFamilyStmt',
    'AlterOperatorStmt',
    'AlterTSConfigurationStmt',
    'AlterTSDictionaryStmt',
  ],
  ...['ViewStmt', 'CreateTableAsStmt', 'RefreshMatViewStmt', 'RuleStmt', 'IndexStmt', 'AlterTableStmt', 'AlterObjectDependsStmt'],
  ...[
    'CreateTrigStmt',
    'CreateEventTrigStmt',
    'AlterEventTrigStmt',
    'CreatePolicyStmt',
    'CreateStatsStmt',
    'AlterStatsStmt',
    'SecLabelStmt',
  ],
  ...['CreateFdwStmt', 'CreateForeignServerStmt', 'CreateForeignTableStmt', 'CreateUserMappingStmt'],
  ...['CreatePublicationStmt', 'AlterPublicationStmt', 'CreateSubscriptionStmt', 'AlterSubscriptionStmt'],
]);

/** Settings with which pg_dump begins; our own session has them already, but for the last two. */
const settings: ReadonlySet<string> = new Set([
  ...['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'client_encoding', 'row_security'],
  ...[
    'standard_conforming_strings',
    'check_function_bodies',
    'xmloption',
    'client_min_messages',
    'search_path',
    'default_toast_compression',
  ],
  ...['default_tablespace', 'default_table_access_method'],
]);

export const loadGrammar = (): Promise<void> => loadModule();

/**
 * Reads one statement. `loadGrammar` first.
 * @throws PgPierError 42501 `restoreRefused` for what no dump holds, 42601 for what is no SQL
 */
export function readSchemaStatement(text: string): SchemaStatement {
  const statements = parse(text);
  const node = statements[0]?.stmt as Tree | undefined;
  if (statements.length !== 1 || node === undefined) throw refused('more than one statement in one');
  const kind = Object.keys(node)[0]!;
  const tree = node[kind] as Tree;
  return { text, kind, tree, purpose: purposeOf(kind, tree) };
}

function parse(text: string): readonly { readonly stmt?: unknown }[] {
  if (text.includes('\0')) throw refused('a NUL');
  try {
    return parseSync(text).stmts ?? [];
  } catch (error) {
    if (!hasSqlDetails(error)) throw refused('a statement that is nested too deeply');
    throw new PgPierError('restoreSyntax', { reason: (error as Error).message });
  }
}

function purposeOf(kind: string, tree: Tree): SchemaStatement['purpose'] {
  switch (kind) {
    case 'AlterOwnerStmt':
      return 'owner';
    case 'GrantStmt':
    case 'AlterDefaultPrivilegesStmt':
      return 'privilege';
    case 'VariableSetStmt':
      if (tree.kind === 'VAR_SET_VALUE' && !tree.is_local && settings.has(String(tree.name).toLowerCase())) return 'setting';
      throw refused(`SET ${printable(tree.name)}`);
    case 'SelectStmt':
      if (isSearchPath(tree)) return 'setting';
      throw refused('a SELECT');
    case 'CreateTableAsStmt':
      if (tree.objtype !== 'OBJECT_MATVIEW') throw refused('CREATE TABLE AS');
      return 'make';
    case 'CreateSubscriptionStmt':
      if (!hasOption(tree, 'connect', 'false')) throw refused('CREATE SUBSCRIPTION that connects');
      return 'make';
    case 'AlterSubscriptionStmt':
      if (tree.kind !== 'ALTER_SUBSCRIPTION_OPTIONS' && tree.kind !== 'ALTER_SUBSCRIPTION_ENABLED') throw refused('ALTER SUBSCRIPTION');
      return 'make';
    case 'AlterTableStmt':
      return commandsOf(tree).every((command) => command.subtype === 'AT_ChangeOwner') ? 'owner' : 'make';
    default:
      if (made.has(kind)) return 'make';
      throw refused(statementWords(kind));
  }
}

export function commandsOf(tree: Tree): Tree[] {
  return ((tree.cmds ?? []) as Tree[]).map((each) => (each.AlterTableCmd ?? {}) as Tree);
}

/** `SELECT pg_catalog.set_config('search_path', '', false)`, letter for letter: nothing else that a SELECT could call. */
function isSearchPath(tree: Tree): boolean {
  return shapeOf(tree) === searchPathShape();
}

let searchPath: string | undefined;
function searchPathShape(): string {
  searchPath ??= shapeOf(
    (parseSync("SELECT pg_catalog.set_config('search_path', '', false)").stmts![0]!.stmt as { SelectStmt: Tree }).SelectStmt,
  );
  return searchPath;
}

/** A tree without the places in the text. */
const shapeOf = (tree: Tree): string => JSON.stringify(tree, (key, value) => (key === 'location' ? undefined : value));

function hasOption(tree: Tree, name: string, value: string): boolean {
  return ((tree.options ?? []) as Tree[]).some((option) => {
    const element = option.DefElem as Tree | undefined;
    const argument = JSON.stringify(element?.arg ?? '');
    return element?.defname === name && argument.toLowerCase().includes(`"${value}"`);
  });
}

/** `AlterSystemStmt` → ALTER SYSTEM. */
function statementWords(kind: string): string {
  const words = kind.replace(/Stmt$/, '').match(/[A-Z][a-z]+|[A-Z]+(?![a-z])/g) ?? [kind];
  return words.join(' ').toUpperCase();
}

const printable = (value: unknown): string =>
  String(value)
    .replace(/[^\w.]/g, '?')
    .slice(0, 63);

const refused = (what: string): PgPierError => new PgPierError('restoreRefused', { what });
