/** What a statement of ours is made of: the shape of a row in `commands.ts`, and what a handler is given. */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { ConnectionUses } from '../catalog/connectionUse.ts';
import type { Jobs } from '../jobs/job.ts';
import type { BackendLogin, Workers } from '../jobs/task.ts';
import type { Column, Value } from '../protocol/values.ts';
import type { StatementKind, StatementOf, StringOrParameter } from '../statement/statement.ts';

/** Who asks, as the client's own backend session said at that moment (SET ROLE and SET LOCAL count). */
export interface Asker {
  readonly role: string;
  readonly sessionUser: string;
  readonly database: string;
  readonly searchPath: string;
  /** The settings that shape text output and limits: DateStyle, IntervalStyle, TimeZone, bytea_output, extra_float_digits, … by name. */
  readonly settings: Readonly<Record<string, string>>;
}

export interface Notice {
  readonly severity: 'NOTICE' | 'WARNING';
  readonly message: string;
  readonly sqlstate?: string;
  readonly detail?: string;
  readonly hint?: string;
}

/** Makes the short-lived role that a job logs in as (design: a job never runs under a login with more rights than the asker). */
export interface JobLogins {
  /**
   * A login that is a member of `role` alone, for at most `connections` connections (2). `close` drops it. 42501 with a hint where the service role
   * may not make roles.
   */
  open(role: string, database: string, connections?: number): Promise<{ readonly login: BackendLogin; close(): Promise<void> }>;
}

export interface CommandContext {
  readonly asker: Asker;
  /** Bound to the client's transaction: what it writes counts when the client's transaction commits. */
  readonly catalog: CatalogTransaction;
  /** A catalog transaction of its own: it sees what others have committed meanwhile, and what it writes counts at once. */
  apart<T>(work: (catalog: CatalogTransaction) => Promise<T>): Promise<T>;
  readonly uses: ConnectionUses;
  readonly workers: Workers;
  /** Begins the job of a statement: `run` and waits for it, or `create` and answers at once. */
  readonly jobs: Jobs;
  readonly logins: JobLogins;
  /** Values of $1, $2, … as text; their declared type OID (0 = none declared). Null is SQL NULL. */
  readonly parameters: readonly { readonly value: string | null; readonly typeOid: number }[];
  /** A string or parameter's value. A NULL parameter is error 22004. */
  text(value: StringOrParameter): string;
  notice(notice: Notice): void;
  /** Aborted when the client cancels, leaves, or statement_timeout passes; the reason is the PgPierError to answer with. */
  readonly signal: AbortSignal;
}

export interface CommandResult {
  /** Empty for commands without columns. */
  readonly rows: readonly (readonly Value[])[];
  /**
   * The command tag, as in CommandComplete. Where the statement has columns, the session adds the number of rows sent, as PostgreSQL does for
   * SELECT: drivers read their row counts there.
   */
  readonly tag: string;
}

/**
 * `catalogChange` counts when the client's transaction commits and is refused in read-only ones. `job` is refused inside transaction blocks and
 * begins only after Sync. `request` takes effect at once, whatever becomes of the transaction, as pg_cancel_backend() does.
 */
export type Nature = 'read' | 'catalogChange' | 'job' | 'request';

export interface Command<K extends StatementKind = StatementKind> {
  readonly kind: K;
  /** The statement in its own words, `CREATE EXTERNAL CONNECTION`. */
  readonly statement: string;
  /** Result columns, or null where the statement returns no rows (its Describe is NoData). Asked by `columnsOf`. */
  readonly columns: readonly Column[] | null | ((statement: StatementOf<K>) => readonly Column[] | null);
  /** Who may run it, in words, for the reader of the table; the handler asks the gate. */
  readonly privilege: string;
  /** Asked by `natureOf`. */
  readonly nature: Nature | ((statement: StatementOf<K>) => Nature);
  run(context: CommandContext, statement: StatementOf<K>): Promise<CommandResult>;
}
