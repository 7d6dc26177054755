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
