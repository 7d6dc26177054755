/** What a BACKUP statement hands to its job. */
import type { TablePattern } from '../../statement/statement.ts';

export interface BackupPayload {
  /** As the statement has it, `external://` too. */
  readonly uri: string;
  readonly targets:
    | { readonly kind: 'database'; readonly databases: readonly string[] }
    /** All of one database. */
    | { readonly kind: 'table'; readonly database: string; readonly patterns: readonly TablePattern[]; readonly texts: readonly string[] };
}
