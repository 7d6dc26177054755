import type { Statement } from '../statement.ts';
import { backupReference, collection } from './backupTargets.ts';
import { optionSet } from './optionSet.ts';
import type { TokenReader } from './reader.ts';

const shapes = {
  as_json: 'flag',
  check_files: 'flag',
  privileges: 'flag',
  'skip size': 'flag',
  debug_ids: 'laterFlag',
  encryption_passphrase: 'later',
  kms: 'later',
  incremental_location: 'later',
} as const;

/**
 * `SHOW BACKUP [[SCHEMAS] FROM] {LATEST | 'subdirectory'} IN uri [WITH option {, …} | WITH OPTIONS (option {, …})]`, options as_json, check_files,
 * privileges, SKIP SIZE. Of SHOW BACKUP FILES, RANGES, VALIDATE and CONNECTION only the words are known.
 */
export function showBackup(reader: TokenReader): Statement {
  reader.expect('show backup');
  for (const word of ['files', 'ranges', 'validate', 'connection']) {
    if (reader.word() === word) return { kind: 'notYet', what: `SHOW BACKUP ${word.toUpperCase()}` };
  }
  const schemas = reader.accept('schemas');
  if (schemas) reader.expect('from');
  else reader.accept('from');
  const from = backupReference(reader);
  reader.expect('in');
  const { uri, severalLocations } = collection(reader);
  const options = optionSet(reader, shapes);
  if (severalLocations) return { kind: 'notYet', what: 'SHOW BACKUP in several locations' };
  if (options.later !== undefined) return { kind: 'notYet', what: `SHOW BACKUP … WITH ${options.later}` };
  return {
    kind: 'showBackup',
    from,
    uri,
    schemas,
    asJson: options.flag('as_json'),
    checkFiles: options.flag('check_files'),
    privileges: options.flag('privileges'),
    skipSize: options.flag('skip size'),
  };
}
