/** BACKUP, RESTORE, EXPORT and what they read and write. */
import type { ErrorEntry } from './entry.ts';

export const backupErrors = {
  // The schema of a backup.
  pgDumpFailed: { sqlstate: '58000', text: 'pg_dump failed: {reason}' },
  pgDumpTooOld: {
    sqlstate: '0A000',
    text: 'there is no pg_dump for PostgreSQL {major}',
    hint: 'Install a pg_dump of this major or a newer one where the worker runs.',
  },

  // BACKUP.
  backupSelectDenied: { sqlstate: '42501', text: 'user {role} does not have SELECT privilege on relation {name}' },
  backupTableMissing: { sqlstate: '42P01', text: 'table "{name}" does not exist' },
  backupOneDatabase: {
    sqlstate: '0A000',
    text: 'BACKUP TABLE takes tables of one database',
    hint: 'PostgreSQL has no snapshot across databases: back up each by itself.',
  },
  backupTablesChange: {
    sqlstate: '55006',
    text: 'tables were made and dropped faster than BACKUP could lock them',
    hint: 'Try again when less is going on.',
  },
  backupTableLocked: {
    sqlstate: '55P03',
    text: 'a table was locked by another session for {seconds} seconds',
    hint: 'pg_locks tells by whom: ALTER TABLE, TRUNCATE, VACUUM FULL and the like wait for each other with a backup.',
  },
  backupIncomplete: { sqlstate: '58000', text: 'PostgreSQL sent {received} rows of {expected}' },

  // RESTORE.
  restoreRefused: {
    sqlstate: '42501',
    text: 'the schema of the backup holds {what}, which no backup of PgPier does',
    hint: 'Nothing was restored. Somebody may have changed the backup.',
  },
  restoreSyntax: { sqlstate: '42601', text: 'the schema of the backup cannot be read: {reason}' },
  restoreServerOlder: {
    sqlstate: '0A000',
    text: 'a backup of PostgreSQL {backup} cannot be restored to PostgreSQL {server}',
    hint: 'Restore it to a server of the same major version or a newer one.',
  },
  restoreCreateDbDenied: { sqlstate: '42501', text: 'only users with the CREATEDB privilege can restore databases' },
  restoreDatabaseExists: {
    sqlstate: '42P04',
    text: 'database "{name}" already exists',
    hint: "Drop it, or restore under another name: WITH new_db_name = '…'.",
  },
  restoreDatabaseMissing: { sqlstate: '3D000', text: 'database "{name}" is not in the backup', hint: 'SHOW BACKUP lists what is.' },
  restoreTargetMissing: {
    sqlstate: '3D000',
    text: 'a database named "{name}" needs to exist',
    hint: "Make it, or name another one: WITH into_db = '…'.",
  },
  restoreTableMissing: { sqlstate: '42P01', text: 'table "{name}" is not in the backup', hint: 'SHOW BACKUP lists what is.' },
  restoreRelationExists: { sqlstate: '42P07', text: 'relation "{name}" already exists' },
  restoreReferencedTable: {
    sqlstate: '42P01',
    text: 'cannot restore table "{table}" without referenced table "{referenced}" (or "skip_missing_foreign_keys" option)',
  },
  restoreOneDatabase: { sqlstate: '0A000', text: 'RESTORE TABLE takes tables of one database' },
  restoreRolesMissing: {
    sqlstate: '42704',
    text: 'the backup names roles that do not exist: {roles}',
    hint: 'Make them, or restore without the option grants.',
  },
  restoreNewDbName: { sqlstate: '42601', text: 'new_db_name can only be used for RESTORE DATABASE with a single target database' },
  restoreIntoDb: { sqlstate: '42601', text: 'into_db can only be used for RESTORE TABLE' },

  // EXPORT.
  exportNull: {
    sqlstate: '22004',
    text: 'NULL value encountered during EXPORT, use `WITH nullas` to specify the string representation of NULL',
  },
  exportOneQuery: { sqlstate: '42601', text: 'EXPORT takes one SELECT, VALUES, TABLE or WITH query' },
  exportQueryKind: { sqlstate: '0A000', text: '{what} is not supported in EXPORT' },
  exportQueryTooDeep: { sqlstate: '54001', text: 'the query of EXPORT is nested too deeply to be read' },
  exportBackslash: {
    sqlstate: '0A000',
    text: 'EXPORT cannot read a query with backslashes while standard_conforming_strings is off',
    hint: "Set standard_conforming_strings to on, or write such strings as E'…'.",
  },
  parameterType: { sqlstate: '42704', text: 'type with OID {oid} of parameter ${number} does not exist' },
  exportIncomplete: { sqlstate: '58000', text: 'EXPORT received {received} rows where PostgreSQL reported {expected}' },
  damagedFile: { sqlstate: 'XX001', text: 'the file "{path}" is damaged: {reason}' },

  // Backups.
  backupLatestMissing: {
    sqlstate: '58P01',
    text: 'path does not contain a completed latest backup',
    hint: 'Its URI may be another one, or no backup has been finished there: SHOW BACKUPS IN lists what it holds.',
  },
  backupMissing: {
    sqlstate: '58P01',
    text: 'the collection holds no finished backup "{folder}"',
    hint: 'SHOW BACKUPS IN lists those that it holds.',
  },
  backupFolderTaken: {
    sqlstate: '55P03',
    text: 'no folder from "{folder}" on is free for a new backup: others are being written at the same time',
    hint: 'Try again.',
  },
  manifestInvalid: { sqlstate: 'XX001', text: 'the manifest of the backup "{folder}" is broken: {reason}' },
  manifestNewer: {
    sqlstate: '0A000',
    text: 'the backup "{folder}" has format version {found}, this program reads no newer one than {known}',
    hint: 'Use a newer PgPier.',
  },
  backupFilesMissing: { sqlstate: '58P01', text: 'The following files are missing from the backup:{files}' },
  backupFilesWrongSize: {
    sqlstate: 'XX001',
    text: 'The following files of the backup have another size than they had when it was written:{files}',
  },
  backupTimeInvalid: {
    sqlstate: '22007',
    text: 'invalid time behind {clause}',
    hint: "Write a time such as '2026-04-18 08:42:11+00', a folder such as '2026/04/18-084211.25', or a span before now such as '-36h' or '-7d'.",
  },
} as const satisfies Record<string, ErrorEntry>;
