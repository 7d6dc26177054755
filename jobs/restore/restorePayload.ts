/** What a RESTORE statement hands to its job. */
import type { BackupTargets } from '../../statement/statement.ts';
import type { BackupChoice } from '../backup/collection.ts';

export interface RestorePayload {
  /** As the statement has it, `external://` too. */
  readonly uri: string;
  readonly choice: BackupChoice;
  readonly targets: BackupTargets;
  /** RESTORE DATABASE of one database: under this name. */
  readonly newDbName?: string;
  /** RESTORE TABLE: into this database. */
  readonly intoDb?: string;
  readonly schemaOnly: boolean;
  readonly skipMissingForeignKeys: boolean;
  /** Owners and privileges come back too. */
  readonly grants: boolean;
}

/** What an attempt may leave, and how far it came. */
export interface RestoreCheckpoint {
  /** Of RESTORE DATABASE: the hidden databases. */
  readonly hidden?: readonly string[];
  /** They are complete, and get their names: by their oids, which a new name does not change. */
  readonly filled?: { readonly rows: number; readonly oids: readonly string[] };
  /** Of RESTORE TABLE: its transaction, decimal, which is about to be committed. */
  readonly committing?: { readonly rows: number; readonly transaction: string };
}
