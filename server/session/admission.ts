/** Whether statements may run where they stand: read-only transactions, transaction blocks, the client's encoding. */
import type { CommandResult } from '../../commands/command.ts';
import { commandFor, natureOf } from '../../commands/commands.ts';
import { type ErrorData, PgPierError } from '../../errors.ts';
import type { Statement } from '../../statement/statement.ts';

export interface Surroundings {
  readonly readOnly: boolean;
  /** In a transaction block, behind an unsynced Execute, or beside other statements in one string. */
  readonly insideTransaction: boolean;
}

/** Errors: 25006, 25001. */
export function refusalOf(asked: Statement, surroundings: Surroundings): ErrorData | undefined {
  const { statement } = commandFor(asked);
  const nature = natureOf(asked);
  if (nature === 'catalogChange' && surroundings.readOnly) return new PgPierError('readOnlyTransaction', { statement }).data;
  if (nature === 'job' && surroundings.insideTransaction) return jobInsideTransaction(asked);
  return undefined;
}

/** 25001 in CockroachDB's words where the statement has a detached form, which may run there. */
function jobInsideTransaction(asked: Statement): ErrorData {
  const { kind, statement } = commandFor(asked);
  const detachable = kind === 'backup' || kind === 'restore';
  return new PgPierError(detachable ? 'insideTransactionNotDetached' : 'insideTransaction', { statement }).data;
}

const nonAscii = /[\u0080-\uffff]/;

/** Our own text goes out as UTF-8: in another client_encoding only ASCII is the same (ASYNC-6). */
export function canSend(text: string, clientEncoding: string | undefined): boolean {
  return clientEncoding === undefined || clientEncoding === 'UTF8' || clientEncoding === 'SQL_ASCII' || !nonAscii.test(text);
}

export function encodingRefusal(results: readonly CommandResult[], clientEncoding: string | undefined): ErrorData | undefined {
  const unsendable = results.some(({ rows }) =>
    rows.some((row) => row.some((value) => typeof value === 'string' && !canSend(value, clientEncoding))),
  );
  return unsendable ? new PgPierError('clientEncoding', { encoding: clientEncoding ?? '' }).data : undefined;
}
