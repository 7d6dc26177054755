import type { Statement, StringOrParameter } from '../statement.ts';
import { collection } from './backupTargets.ts';
import type { TokenReader } from './reader.ts';

/** `SHOW BACKUPS IN uri [NEWER THAN time] [OLDER THAN time] [WITH REVISION START TIME]`; of the last only the words are known. */
export function showBackups(reader: TokenReader): Statement {
  reader.expect('show backups in');
  const { uri, severalLocations } = collection(reader);
  const bounds: { newerThan?: StringOrParameter; olderThan?: StringOrParameter } = {};
  for (;;) {
    if (bounds.newerThan === undefined && reader.accept('newer than')) bounds.newerThan = reader.stringOrParameter();
    else if (bounds.olderThan === undefined && reader.accept('older than')) bounds.olderThan = reader.stringOrParameter();
    else break;
  }
  const withRevisions = reader.accept('with');
  if (withRevisions) reader.expect('revision start time');
  reader.expectEnd();
  if (severalLocations) return { kind: 'notYet', what: 'SHOW BACKUPS in several locations' };
  if (withRevisions) return { kind: 'notYet', what: 'SHOW BACKUPS … WITH REVISION START TIME' };
  return { kind: 'showBackups', uri, ...bounds };
}
