/**
 * Every error of ours, in one table: name, SQLSTATE, text, hint. `docs/errors.md` describes each; a test ties the two together.
 * `{…}` in a text is filled from the values given to `PgPierError`. Words that users match on follow CockroachDB's (spec: external
 * connections); every SQLSTATE is the one PostgreSQL would use for the same kind of mistake.
 */
interface ErrorEntry {
  readonly sqlstate: string;
  readonly text: string;
  readonly hint?: string;
}

export const errors = {
  syntaxError: { sqlstate: '42601', text: 'syntax error at or near "{near}"' },
  syntaxErrorAtEnd: { sqlstate: '42601', text: 'syntax error at end of input' },
  multipleCommands: { sqlstate: '42601', text: 'cannot insert multiple commands into a prepared statement' },
  mixedStatements: {
    sqlstate: '0A000',
    text: "PgPier's statements and PostgreSQL's cannot be sent in one query string",
    hint: 'Nothing was run. Send each statement on its own.',
  },
  notSupported: { sqlstate: '0A000', text: '{what} is not supported yet' },
  readOnlyTransaction: { sqlstate: '25006', text: 'cannot execute {statement} in a read-only transaction' },
  insideTransaction: {
    sqlstate: '25001',
    text: '{statement} cannot run inside a transaction block',
    hint: 'Run it on its own, outside BEGIN … COMMIT and not in one query string with other statements.',
  },
  // Options of a statement (WITH …).
  unknownOption: { sqlstate: '42601', text: 'invalid option "{option}"' },
  repeatedOption: { sqlstate: '42601', text: 'option "{option}" is given more than once' },
  optionRequiresValue: { sqlstate: '42601', text: 'option "{option}" requires a value' },
  invalidOptionValue: { sqlstate: '22023', text: 'invalid value for option "{option}": {reason}' },

  // Worker processes and the logins of jobs.
  workersStopped: { sqlstate: '57P01', text: 'PgPier is shutting down', hint: 'Try again once it is back.' },
  workersBusy: {
    sqlstate: '53000',
    text: 'no worker process was free for {minutes} minutes',
    hint: 'Start PgPier with more --workers, or wait for the running statements.',
  },
  workerEnded: {
    sqlstate: '58000',
    text: 'the worker process ended while it ran {task}',
    hint: 'What it had written was removed unless a warning says otherwise. A new worker process has taken its place: try again.',
  },
  jobLoginDenied: { sqlstate: '42501', text: 'permission denied to create the short-lived login of a job for role "{role}"' },
  jobBackendUnreachable: { sqlstate: '08001', text: 'a worker process could not log in to PostgreSQL: {reason}' },
  jobBackendLost: { sqlstate: '08006', text: 'the connection to PostgreSQL was lost during {task}' },
  jobBackendProtocol: { sqlstate: '08P01', text: 'PostgreSQL sent something unexpected during {task}: {detail}' },

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
  parameterMissing: { sqlstate: '42P02', text: 'there is no parameter ${number}' },
  parameterType: { sqlstate: '42704', text: 'type with OID {oid} of parameter ${number} does not exist' },
  exportIncomplete: { sqlstate: '08P01', text: 'EXPORT received {received} rows where PostgreSQL reported {expected}' },

  internal: { sqlstate: 'XX000', text: 'internal error: {detail}', hint: 'This is a defect of PgPier. Please report it.' },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorName = keyof typeof errors;

export interface ErrorFields {
  /** Extra facts for the user; must not hold secrets. */
  readonly detail?: string;
  /** Replaces the table's hint. */
  readonly hint?: string;
  /** 1-based position in characters in the statement's text, as PostgreSQL counts it. */
  readonly position?: number;
  readonly severity?: 'ERROR' | 'FATAL';
}

/** The plain-data form in which an error crosses a process boundary and is written as ErrorResponse. */
export interface ErrorData extends ErrorFields {
  readonly sqlstate: string;
  readonly message: string;
}

/** An error that a client is meant to read. Its message never holds a secret. */
export class PgPierError extends Error {
  readonly data: ErrorData;

  constructor(name: ErrorName, values: Readonly<Record<string, string | number>> = {}, fields: ErrorFields = {}) {
    const entry: ErrorEntry = errors[name];
    const message = entry.text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? `{${key}}`));
    super(message);
    this.name = 'PgPierError';
    const hint = fields.hint ?? entry.hint;
    this.data = { ...fields, sqlstate: entry.sqlstate, message, ...(hint === undefined ? {} : { hint }) };
  }

  /** An error that came from elsewhere ready-made: from a worker process, or from PostgreSQL's own ErrorResponse. */
  static from(data: ErrorData): PgPierError {
    const error = Object.create(PgPierError.prototype) as PgPierError;
    Object.assign(error, { message: data.message, name: 'PgPierError', data });
    Error.captureStackTrace(error, PgPierError.from);
    return error;
  }
}

/** Anything thrown, as something a client may read: our own errors as they are, all else as `internal`. */
export function toErrorData(error: unknown): ErrorData {
  if (error instanceof PgPierError) return error.data;
  return new PgPierError('internal', { detail: error instanceof Error ? error.name : typeof error }).data;
}
