/** Everything PgPier answers. Each row tells its statement, columns, privilege and nature; reading them is reading the product. */
import type { Column } from '../protocol/values.ts';
import type { Statement, StatementKind } from '../statement/statement.ts';
import { alterExternalConnection } from './alterExternalConnection.ts';
import { backup, backupDetached } from './backup.ts';
import { checkExternalConnection } from './checkExternalConnection.ts';
import type { Command, Nature } from './command.ts';
import { cancelJobs, pauseJobs, resumeJobs } from './controlJobs.ts';
import { createConnection } from './createConnection.ts';
import { createExternalConnection } from './createExternalConnection.ts';
import { dropConnection } from './dropConnection.ts';
import { dropExternalConnection } from './dropExternalConnection.ts';
import { exportIntoCsv } from './exportIntoCsv.ts';
import { grantOnExternalConnection, revokeOnExternalConnection } from './grantOnExternalConnection.ts';
import { grantSystem, revokeSystem } from './grantSystem.ts';
import { notYet } from './notYet.ts';
import { restore, restoreDetached } from './restore.ts';
import { showBackup } from './showBackup.ts';
import { showBackups } from './showBackups.ts';
import { describeConnection, showConnections } from './showConnections.ts';
import { showConnectionUsage } from './showConnectionUsage.ts';
import { showCreateAllExternalConnections, showCreateExternalConnection } from './showCreateExternalConnection.ts';
import { showExternalConnection, showExternalConnections } from './showExternalConnections.ts';
import { showGrantsOnExternalConnection, showSystemGrants } from './showGrants.ts';
import { showJob, showJobs, showJobWhenComplete } from './showJobs.ts';

export const commands: { readonly [K in StatementKind]: Command<K> } = {
  createExternalConnection,
  alterExternalConnection,
  checkExternalConnection,
  dropExternalConnection,
  showExternalConnections,
  showExternalConnection,
  showConnectionUsage,
  showCreateAllExternalConnections,
  showCreateExternalConnection,
  createConnection,
  dropConnection,
  showConnections,
  describeConnection,
  grantOnExternalConnection,
  revokeOnExternalConnection,
  showGrantsOnExternalConnection,
  grantSystem,
  revokeSystem,
  showSystemGrants,
  exportIntoCsv,
  backup,
  backupDetached,
  restore,
  restoreDetached,
  showBackups,
  showBackup,
  showJobs,
  showJob,
  showJobWhenComplete,
  pauseJobs,
  resumeJobs,
  cancelJobs,
  notYet,
};

/** The row for a statement: its words and what carries it out. */
export function commandFor<K extends StatementKind>(statement: { readonly kind: K }): Command<K> {
  return commands[statement.kind];
}

/** Result columns; null where the statement returns no rows. Options of some statements add columns. */
export function columnsOf(statement: Statement): readonly Column[] | null {
  const { columns } = commandFor(statement);
  return typeof columns === 'function' ? columns(statement) : columns;
}

/** A detached BACKUP is a catalog change; one that is waited for is a job. */
export function natureOf(statement: Statement): Nature {
  const { nature } = commandFor(statement);
  return typeof nature === 'function' ? nature(statement) : nature;
}
