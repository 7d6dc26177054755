/**
 * Every error of ours: name, SQLSTATE, text, hint; a table for each subject in `errors/`, all of them together here. `docs/errors.md` describes each; a test ties the
 * two together. Words that users match on follow CockroachDB's (spec: external connections); every SQLSTATE is the one PostgreSQL would use for the same kind of mistake.
 */
import { backupErrors } from './errors/backup.ts';
import { catalogErrors } from './errors/catalog.ts';
import type { ErrorEntry } from './errors/entry.ts';
import { jobsErrors } from './errors/jobs.ts';
import { outsideErrors } from './errors/outside.ts';
import { sessionsErrors } from './errors/sessions.ts';
import { statementsErrors } from './errors/statements.ts';

export const errors = {
  ...statementsErrors,
  ...jobsErrors,
  ...backupErrors,
  ...sessionsErrors,
  ...outsideErrors,
  ...catalogErrors,
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
  /** Its row in the table; undefined once it has crossed a process boundary. */
  readonly entry?: ErrorName;

  constructor(name: ErrorName, values: Readonly<Record<string, string | number>> = {}, fields: ErrorFields = {}) {
    const entry: ErrorEntry = errors[name];
    const message = entry.text.replace(/\{(\w+)\}/g, (_, key: string) => String(values[key] ?? `{${key}}`));
    super(message);
    this.name = 'PgPierError';
    this.entry = name;
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
