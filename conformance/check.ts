/** The shape of a conformance check: the same work against any endpoint, told as items that can be compared. */
import type { PostgresOptions } from '../test/servers/postgres.ts';

/** Where a check runs: PostgreSQL itself, PgPier before the same server, or a relay that only copies bytes. */
export interface Endpoint {
  readonly name: 'bare' | 'pgpier' | 'relay';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** A database of this endpoint's own, empty but for the check's `preparation`. */
  readonly database: string;
  /** A directory of this endpoint's own, empty. */
  readonly directory: string;
  /** The server's data directory is not reached through the endpoint; SQL that must not pass PgPier goes here. */
  readonly server: { readonly host: string; readonly port: number };
  /** PEM file, where the check's own server speaks TLS. */
  readonly rootCertificate?: string;
}

export interface Item {
  readonly name: string;
  /** What came out, less what differs between two runs on the same server; equal on both endpoints. Absent: nothing to compare. */
  readonly output?: string;
  /** Absent: passed. */
  readonly failure?: string;
  /** Not run, by its own decision; then it has neither passed nor failed. */
  readonly skipped?: true;
}

/** A PostgreSQL for this check alone, started anew for each run, with PgPier before it. */
export interface OwnServer {
  readonly postgres: Omit<PostgresOptions, 'version'>;
  /** With certificates for PostgreSQL and PgPier. `everywhere`: PgPier's way to PostgreSQL is encrypted, too, and `postgres` has the password `secret`. */
  readonly tls?: 'clients' | 'everywhere';
  /** More PGPIER_… variables. */
  readonly pgpier?: Readonly<Record<string, string>>;
  /** SQL for psql in the check's database, by the superuser on PostgreSQL itself. */
  readonly preparation?: string;
  /** For suites that have it written into them; else any free one. */
  readonly port?: number;
  /** For suites that have it written into them. */
  readonly database?: string;
}

export interface Check {
  readonly name: string;
  /** In a sentence, for `--list` and the table. */
  readonly description: string;
  /** Why it cannot run here, by a quick look; false where it can. */
  missing(): string | false;
  /** Fetches and builds what it needs, once. @throws Error whose first line is why it cannot run here. */
  readonly prepare?: () => void;
  /** What the table has to say beside the figures. */
  readonly note?: () => string;
  /** Absent: the server that all share. */
  readonly server?: OwnServer;
  run(endpoint: Endpoint): Promise<readonly Item[]>;
  /** Runs these items alone: how those that differ are looked at again. Absent: what differs, differs. */
  readonly rerun?: (endpoint: Endpoint, names: readonly string[]) => Promise<readonly Item[]>;
}
