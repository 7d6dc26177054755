/**
 * The catalog: what PgPier remembers, and who may use it. This file is its face towards `server/` and `commands/`; the order in which
 * the parts come up is in `open.ts`.
 */
import type pg from 'pg';
import type { ExternalConnections } from './connections.ts';
import type { ConnectionUsage, ConnectionUses } from './connectionUse.ts';
import type { Grants } from './grants.ts';
import type { JobLeases } from './jobLeases.ts';
import type { Jobs } from './jobs.ts';
import type { Privileges } from './privileges.ts';
import type { Roles } from './roles.ts';
import type { SecretKeySource } from './secretKey.ts';
import type { Service } from './service.ts';
import type { Userfiles } from './userfiles.ts';

export { catalogDatabase } from './migrate.ts';
export { openCatalog } from './open.ts';
export type { SecretKeySource } from './secretKey.ts';
export { Secret } from './secrets.ts';
export type { Service } from './service.ts';

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
  /**
   * Unique per client session for as long as its transactions may be pending, a UUID. A session that has done PREPARE TRANSACTION takes a
   * new one, because what it prepared is no longer its own to see; a new one after every transaction is right as well.
   */
  readonly session: string;
  /** The asker's role name (current_user), resolved to its oid by the catalog on the service connection. */
  readonly role: string;
  readonly sessionUser: string;
  readonly stamp: Stamp;
}

/** The subset of a pino logger that the catalog writes to. */
export interface Log {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface CatalogOptions {
  /** The service login on the backing cluster, in any database it may enter. */
  readonly service: pg.PoolConfig;
  /** A database elsewhere that must exist; by default the database `pgpier` on the service login's cluster, made when missing. */
  readonly catalogUrl?: string;
  readonly secretKey: SecretKeySource;
  /** Members of this role pass every check, as superusers do. A role that does not exist has no members. */
  readonly adminRole?: string;
  /** Whether others than admins may name places by external connections alone; default: no. */
  readonly namedConnectionsOnly?: boolean;
  /** PGPIER_NODE_ID, as the uses of connections name it; 1 by default. */
  readonly nodeId?: number;
  /** How long uses of connections are remembered; 90 by default, 0: not at all. */
  readonly usageRetentionDays?: number;
  readonly log: Log;
  /** How often pending changes are settled and the grants of dropped roles removed, in milliseconds; 30 000 by default. */
  readonly sweepInterval?: number;
}

/** What a command sees of the catalog: one unit of work, which counts as a whole or not at all. */
export interface CatalogTransaction {
  readonly view: CatalogView;
  readonly roles: Roles;
  /** The one gate that every command asks. */
  readonly privileges: Privileges;
  readonly grants: Grants;
  readonly connections: ExternalConnections;
  readonly usage: ConnectionUsage;
  readonly jobs: Jobs;
  readonly userfiles: Userfiles;
}

export interface Catalog {
  /**
   * Runs `work`; what it wrote is committed in the catalog when it resolves and gone when it rejects. All statements of one query string
   * belong into one call. Throws `catalogUnavailable` within bounded time when the catalog cannot be reached.
   */
  transaction<T>(view: CatalogView, work: (tx: CatalogTransaction) => Promise<T>): Promise<T>;
  /** By which the PgPiers of this catalog know each other; base64. The same whatever the secret key is rotated to. Throws `catalogUnavailable`. */
  nodeKey(): Promise<string>;
  /** Jobs, for those who carry them out or wait for them. Throws `catalogUnavailable`. */
  readonly leases: JobLeases;
  /** Records who uses which connection. Never throws. */
  readonly uses: ConnectionUses;
  /** Login of the catalog's own database. */
  readonly database: pg.PoolConfig;
  /** Queries on the service connection. */
  readonly service: Service;
  /** Ends the connections; waits for queries under way. */
  close(): Promise<void>;
}
