/** The catalog's face towards `server/` and `commands/`. */

/**
 * How a change counts (spec: own statements, the marker). `immediate`: nothing of the client's is at stake, it counts at once.
 * `transaction`: it counts when PostgreSQL says that this (sub)transaction id committed.
 */
export type Stamp =
  | { readonly kind: 'immediate' }
  /** xid8 as decimal text. */
  | { readonly kind: 'transaction'; readonly xid: string };

/** The client session that reads or writes: it sees its own pending changes, nobody else does. */
export interface CatalogView {
  /** Unique per client session for as long as its transactions may be pending, a UUID. */
  readonly session: string;
  /** The asker's role name (current_user), resolved to its oid by the catalog on the service connection. */
  readonly role: string;
  readonly sessionUser: string;
  readonly stamp: Stamp;
}
