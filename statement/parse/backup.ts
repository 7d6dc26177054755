import type { Statement, StatementOf } from '../statement.ts';
import { acceptAsOfSystemTime, backupTargets, collection } from './backupTargets.ts';
import { optionSet } from './optionSet.ts';
import type { TokenReader } from './reader.ts';

const shapes = {
  detached: 'flag',
  revision_history: 'laterFlag',
  encryption_passphrase: 'later',
  kms: 'later',
  incremental_location: 'later',
  include_all_virtual_clusters: 'laterFlag',
  updates_cluster_monitoring_metrics: 'laterFlag',
  'execution locality': 'later',
  'strict storage locality': 'laterFlag',
  'revision stream': 'laterFlag',
} as const;

const later = (what: string): StatementOf<'notYet'> => ({ kind: 'notYet', what });

/**
 * `BACKUP [DATABASE name {, …} | [TABLE] pattern {, …}] INTO [{LATEST | 'subdirectory'} IN] uri [AS OF SYSTEM TIME expression]
 * [WITH option {, …} | WITH OPTIONS (option {, …})]`. What is not carried out yet is read in full all the same, so that a mistake is told as such.
 */
export function backup(reader: TokenReader): Statement {
  reader.expect('backup');
  const targets = reader.word() === 'into' ? undefined : backupTargets(reader);
  reader.expect('into');
  const intoLatest = reader.accept('latest in');
  let { uri, severalLocations } = collection(reader);
  const intoSubdirectory = !intoLatest && reader.accept('in');
  if (intoSubdirectory) ({ uri, severalLocations } = collection(reader));
  const asOf = acceptAsOfSystemTime(reader);
  const options = optionSet(reader, shapes);
  if (intoLatest) return later('BACKUP INTO LATEST IN');
  if (intoSubdirectory) return later("BACKUP INTO 'subdirectory' IN");
  if (targets === undefined) return later('BACKUP of a whole cluster');
  if (severalLocations) return later('BACKUP into several locations');
  if (asOf) return later('BACKUP … AS OF SYSTEM TIME');
  if (options.later !== undefined) return later(`BACKUP … WITH ${options.later}`);
  return { kind: options.flag('detached') ? 'backupDetached' : 'backup', targets, uri };
}
