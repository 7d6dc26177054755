/** The shape of a conformance check: the same work against any endpoint, told as items that can be compared. */

/** Where a check runs: PostgreSQL itself or PgPier before the same server. */
export interface Endpoint {
  readonly name: 'bare' | 'pgpier';
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** A database of this endpoint's own, empty. */
  readonly database: string;
  /** A directory of this endpoint's own, empty. */
  readonly directory: string;
  /** The server's data directory is not reached through the endpoint; SQL that must not pass PgPier goes here. */
  readonly server: { readonly host: string; readonly port: number };
}

export interface Item {
  readonly name: string;
  /** What came out, less what differs between two runs on the same server; equal on both endpoints. Absent: nothing to compare. */
  readonly output?: string;
  /** Absent: passed. */
  readonly failure?: string;
}

export interface Check {
  readonly name: string;
  /** In a sentence, for `--list` and the table. */
  readonly description: string;
  /** Why it cannot run here; false where it can. */
  missing(): string | false;
  /** What the table has to say beside the figures. */
  readonly note?: () => string;
  run(endpoint: Endpoint): Promise<readonly Item[]>;
}
