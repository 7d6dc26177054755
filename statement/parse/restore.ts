import type { RestoreOptions, Statement, StatementOf } from '../statement.ts';
import { acceptAsOfSystemTime, backupReference, backupTargets, collection } from './backupTargets.ts';
import { type OptionSet, optionSet } from './optionSet.ts';
import type { TokenReader } from './reader.ts';

const shapes = {
  detached: 'flag',
  into_db: 'value',
  new_db_name: 'value',
  schema_only: 'flag',
  verify_backup_table_data: 'flag',
  skip_missing_foreign_keys: 'flag',
  skip_missing_sequences: 'flag',
  skip_missing_sequence_owners: 'flag',
  skip_missing_views: 'flag',
  skip_missing_udfs: 'flag',
  grants: 'flag',
  // There are no localities that could fail the check.
  skip_localities_check: 'flag',
  remove_regions: 'laterFlag',
  encryption_passphrase: 'later',
  kms: 'later',
  incremental_location: 'later',
  virtual_cluster_name: 'later',
  virtual_cluster: 'later',
  unsafe_restore_incompatible_version: 'laterFlag',
  'execution locality': 'later',
  'experimental deferred copy': 'laterFlag',
  'experimental copy': 'laterFlag',
} as const;

const later = (what: string): StatementOf<'notYet'> => ({ kind: 'notYet', what });

/**
 * `RESTORE {DATABASE name {, …} | [TABLE] pattern {, …}} FROM {LATEST | 'subdirectory'} IN uri [AS OF SYSTEM TIME expression]
 * [WITH option {, …} | WITH OPTIONS (option {, …})]`; of a cluster (RESTORE FROM) and RESTORE SYSTEM USERS only the words are known.
 */
export function restore(reader: TokenReader): Statement {
  reader.expect('restore');
  const isSystemUsers = reader.accept('system users');
  const targets = isSystemUsers || reader.word() === 'from' ? undefined : backupTargets(reader);
  reader.expect('from');
  const from = backupReference(reader);
  reader.expect('in');
  const { uri, severalLocations } = collection(reader);
  const asOf = acceptAsOfSystemTime(reader);
  const options = optionSet(reader, shapes);
  if (isSystemUsers) return later('RESTORE SYSTEM USERS');
  if (targets === undefined) return later('RESTORE of a whole cluster');
  if (severalLocations) return later('RESTORE from several locations');
  if (asOf) return later('RESTORE … AS OF SYSTEM TIME');
  if (options.later !== undefined) return later(`RESTORE … WITH ${options.later}`);
  return { kind: options.flag('detached') ? 'restoreDetached' : 'restore', targets, from, uri, options: restoreOptions(options) };
}

function restoreOptions(options: OptionSet<keyof typeof shapes>): RestoreOptions {
  const intoDb = options.value('into_db');
  const newDbName = options.value('new_db_name');
  return {
    ...(intoDb === undefined ? {} : { intoDb }),
    ...(newDbName === undefined ? {} : { newDbName }),
    schemaOnly: options.flag('schema_only'),
    verifyBackupTableData: options.flag('verify_backup_table_data'),
    skipMissingForeignKeys: options.flag('skip_missing_foreign_keys'),
    skipMissingSequences: options.flag('skip_missing_sequences'),
    skipMissingSequenceOwners: options.flag('skip_missing_sequence_owners'),
    skipMissingViews: options.flag('skip_missing_views'),
    skipMissingUdfs: options.flag('skip_missing_udfs'),
    grants: options.flag('grants'),
  };
}
