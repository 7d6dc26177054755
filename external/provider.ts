/** What every scheme of the outside has, whether a storage, a key service or a sink stands behind it. */
import type { StorageSettings } from './storage/storage.ts';
import type { ExternalUri } from './uri.ts';

export interface Provider {
  readonly scheme: string;
  /** CockroachDB's word for it in errors: `failed to create <word> external connection`, and what the catalog keeps beside the URI. */
  readonly word: string;
  /** @throws PgPierError for anything wrong that can be seen without going outside. Without settings, the operator's limits are not looked at. */
  validate(uri: ExternalUri, settings?: StorageSettings): void;
  /** Whether a statement that is given this URI, rather than a connection's name, needs EXTERNALIOIMPLICITACCESS. */
  requiresImplicitAccess(uri: ExternalUri): boolean;
  /** Whether the URI uses the machine's own credentials (`AUTH=implicit`), which CREATE EXTERNAL CONNECTION asks about too. */
  usesAmbientCredentials(uri: ExternalUri): boolean;
  /**
   * What beside host and path tells where a valid URI leads, in one spelling each: with another value it is another place, and all other parameters are
   * credentials and manners. Absent: nothing does.
   */
  placeParameters?(uri: ExternalUri): Readonly<Record<string, string>>;
}

/** Where a key service or a sink is: a URI with its secrets, resolved, never `external://`. Plain data: it crosses to worker processes. */
export interface ProviderTarget {
  readonly uri: string;
  /** Whether loopback and private addresses may be reached (superusers and members of the admin role; others by the allow-list alone). */
  readonly trusted: boolean;
  /** The connection that led here; absent where a URI was written. */
  readonly connection?: NamedConnection;
}

/** What running work has to know of a connection. */
export interface NamedConnection {
  readonly id: string;
  readonly name: string;
  /** A role's oid. */
  readonly owner: number;
  /** Another one after each ALTER. */
  readonly version: string;
}
