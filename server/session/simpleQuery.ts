/** Statements of ours in a Query: one question to the backend, then our own replies, then ReadyForQuery with the backend's status byte (own statements §1). */

import type { Stamp } from '../../catalog/catalog.ts';
import type { CommandResult } from '../../commands/command.ts';
import { columnsOf, natureOf } from '../../commands/commands.ts';
import { type ErrorData, PgPierError } from '../../errors.ts';
import { commandComplete, rowTag } from '../../protocol/backend/commandComplete.ts';
import { dataRow } from '../../protocol/backend/dataRow.ts';
import { readyForQuery, type TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import { rowDescription } from '../../protocol/backend/rowDescription.ts';
import type { OwnStatement, Statement } from '../../statement/statement.ts';
import { encodingRefusal, refusalOf } from './admission.ts';
import { askerQuery, markQuery, readMark, readSessionState, type SessionState } from './askerQuery.ts';
import type { Conversation } from './conversation.ts';
import { failedQuery } from './injection.ts';
import { sent } from './ledger.ts';
import { noticePasses, runStatements } from './statementRun.ts';

/** Runs a string of our statements alone: outside a block they are one implicit transaction, as in PostgreSQL. The client is held meanwhile. */
export async function runSimpleQuery(host: Conversation, own: readonly OwnStatement[]): Promise<void> {
  const statements = own.map(({ statement }) => statement);
  const asked = await host.ask(askerQuery, 'simple');
  const status = asked.status ?? 'I';
  if (asked.kind === 'error') {
    host.relay.toClient(Buffer.concat([asked.message, readyForQuery(status)]));
    return host.finish();
  }
  const state = readSessionState(asked.row);
  const insideTransaction = status !== 'I' || statements.length > 1;
  for (const statement of statements) {
    const refusal = refusalOf(statement, { readOnly: state.readOnly, insideTransaction });
    if (refusal !== undefined) return fail(host, refusal, status);
  }
  let stamp: Stamp = { kind: 'immediate' };
  if (status === 'T' && statements.some((statement) => natureOf(statement) === 'catalogChange')) {
    const marked = await host.ask(markQuery, 'simple');
    if (marked.kind === 'error') {
      host.relay.toClient(Buffer.concat([host.errorBytes(new PgPierError('cannotMark').data), readyForQuery(marked.status ?? 'E')]));
      return host.finish();
    }
    stamp = { kind: 'transaction', xid: readMark(marked.row) };
  }
  await run(host, statements, state, stamp, status);
}

async function run(
  host: Conversation,
  statements: readonly Statement[],
  state: SessionState,
  stamp: Stamp,
  status: TransactionStatus,
): Promise<void> {
  const abort = host.run(statements.some((statement) => natureOf(statement) === 'job'));
  const outcome = await runStatements(host.services, {
    statements,
    parameters: [],
    state,
    session: host.id,
    stamp,
    abort,
    notice: (notice) => {
      if (noticePasses(notice, state.clientMinMessages)) host.notice(notice);
    },
  });
  if (host.closed) return;
  const unsendable = encodingRefusal(outcome.results, host.parameters.get('client_encoding'));
  if (unsendable !== undefined) return fail(host, unsendable, status);
  const finished = outcome.kind === 'failed' ? outcome.results.slice(0, statements.length - 1) : outcome.results;
  const replies = finished.flatMap((result, index) => resultMessages(statements[index]!, result));
  host.relay.toClient(Buffer.concat(outcome.kind === 'failed' ? replies : [...replies, readyForQuery(status)]));
  if (outcome.kind === 'failed') return fail(host, outcome.error, status);
  host.finish();
}

function resultMessages(statement: Statement, result: CommandResult): Buffer[] {
  const columns = columnsOf(statement);
  if (columns === null) return [commandComplete(result.tag)];
  return [
    rowDescription(columns),
    ...result.rows.map((row) => dataRow(columns, row)),
    commandComplete(rowTag(result.tag, result.rows.length)),
  ];
}

/** In a block the backend's transaction must fail too (law 6); else nothing of the client's is at stake. */
function fail(host: Conversation, error: ErrorData, status: TransactionStatus): void {
  if (status === 'I') host.relay.toClient(Buffer.concat([host.errorBytes(error), readyForQuery('I')]));
  else host.relay.toBackend(failedQuery, sent.query, { whole: true, kind: 'refusal', error });
  host.finish();
}
