/** A statement as SHOW JOBS prints it: normalised, parameters filled in, secrets of its URI redacted (CockroachDB's form; spec: §1.9, §7). */
import { redactUri } from '../external/redact.ts';
import { identifierText, patternText } from '../statement/names.ts';
import type { BackupReference, BackupTargets, RestoreOptions, StatementOf, StringOrParameter } from '../statement/statement.ts';
import type { CommandContext } from './command.ts';

type Described = StatementOf<'backup' | 'backupDetached' | 'restore' | 'restoreDetached'>;

/** `jobDescription(statement, context)`. @throws PgPierError 22023 for a URI that cannot be read, 22004 for a NULL parameter */
export function jobDescription(statement: Described, { text }: Pick<CommandContext, 'text'>): string {
  const uri = quoted(redactUri(text(statement.uri)));
  switch (statement.kind) {
    case 'backup':
    case 'backupDetached':
      return `BACKUP ${targets(statement.targets)} INTO ${uri}${withOptions(statement.kind === 'backup' ? [] : ['detached'])}`;
    case 'restore':
    case 'restoreDetached': {
      const options = [...(statement.kind === 'restore' ? [] : ['detached']), ...restoreOptions(statement.options, text)];
      return `RESTORE ${targets(statement.targets)} FROM ${reference(statement.from, text)} IN ${uri}${withOptions(options)}`;
    }
  }
}

/** What looks like a URI was put in the wrong place and may hold a secret. */
function targets(list: BackupTargets): string {
  const shown = list.kind === 'database' ? list.databases.map(identifierText) : list.patterns.map(patternText);
  return `${list.kind.toUpperCase()} ${shown.map((each) => (each.includes('://') ? '***' : each)).join(', ')}`;
}

function reference(from: BackupReference, text: CommandContext['text']): string {
  if (from.kind === 'latest') return 'LATEST';
  const path = text(from.path);
  return /^[\w./-]*$/.test(path) ? quoted(path) : "'***'";
}

function restoreOptions(options: RestoreOptions, text: CommandContext['text']): string[] {
  const value = (name: string, given: StringOrParameter | undefined) => (given === undefined ? [] : [`${name} = ${quoted(text(given))}`]);
  const flag = (name: string, set: boolean) => (set ? [name] : []);
  return [
    ...value('into_db', options.intoDb),
    ...value('new_db_name', options.newDbName),
    ...flag('schema_only', options.schemaOnly),
    ...flag('verify_backup_table_data', options.verifyBackupTableData),
    ...flag('skip_missing_foreign_keys', options.skipMissingForeignKeys),
    ...flag('skip_missing_sequences', options.skipMissingSequences),
    ...flag('skip_missing_sequence_owners', options.skipMissingSequenceOwners),
    ...flag('skip_missing_views', options.skipMissingViews),
    ...flag('skip_missing_udfs', options.skipMissingUdfs),
    ...flag('grants', options.grants),
  ];
}

const withOptions = (list: readonly string[]): string => (list.length === 0 ? '' : ` WITH OPTIONS (${list.join(', ')})`);
const quoted = (value: string): string => `'${value.replaceAll("'", "''")}'`;
