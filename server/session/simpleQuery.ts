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
import { endingQuery, failedQuery, syncAfterError } from './injection.ts';
import { sent } from './ledger.ts';
import { noticePasses, runStatements } from './statementRun.ts';

/**
 * How the backend's transaction stands where a Query of ours runs. `pipelined`: Executes without a Sync came before it, and it shares their transaction, which it
 * ends as PostgreSQL's own would: a question must not do that before it, so it is asked in the extended protocol.
 */
type Standing = TransactionStatus | 'pipelined';

/** Runs a string of our statements alone: outside a block they are one implicit transaction, as in PostgreSQL. The client is held meanwhile. */
export async function runSimpleQuery(host: Conversation, own: readonly OwnStatement[]): Promise<void> {
  const statements = own.map(({ statement }) => statement);
  const pipelined = host.relay.ledger.executesSinceSync > 0;
  const protocol = pipelined ? 'extended' : 'simple';
  const asked = await host.ask(askerQuery, protocol);
  const standing: Standing = pipelined ? 'pipelined' : (asked.status ?? 'I');
  if (asked.kind === 'error') return failed(host, asked.message, standing);
  const state = readSessionState(asked.row);
  const insideTransaction = standing !== 'I' || statements.length > 1;
  for (const statement of statements) {
    const refusal = refusalOf(statement, { readOnly: state.readOnly, insideTransaction });
    if (refusal !== undefined) return fail(host, refusal, standing);
  }
  let stamp: Stamp = { kind: 'immediate' };
  if (standing !== 'I' && statements.some((statement) => natureOf(statement) === 'catalogChange')) {
    const marked = await host.ask(markQuery, protocol);
    if (marked.kind === 'error')
      return failed(host, host.errorBytes(new PgPierError('cannotMark').data), pipelined ? 'pipelined' : (marked.status ?? 'E'));
    stamp = { kind: 'transaction', xid: readMark(marked.row) };
  }
  await run(host, statements, state, stamp, standing);
}

async function run(
  host: Conversation,
  statements: readonly Statement[],
  state: SessionState,
  stamp: Stamp,
  standing: Standing,
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
  if (unsendable !== undefined) return fail(host, unsendable, standing);
  const finished = outcome.kind === 'failed' ? outcome.results.slice(0, statements.length - 1) : outcome.results;
  const replies = finished.flatMap((result, index) => resultMessages(statements[index]!, result));
  if (outcome.kind === 'failed') {
    host.relay.toClient(Buffer.concat(replies));
    return fail(host, outcome.error, standing);
  }
  if (standing !== 'pipelined') host.relay.toClient(Buffer.concat([...replies, readyForQuery(standing)]));
  else {
    host.own('asking');
    const ended = await host.ask(endingQuery, 'simple');
    // A commit that fails does so before the last CommandComplete.
    const told = ended.kind === 'error' ? [...replies.slice(0, -1), ended.message] : replies;
    host.relay.toClient(Buffer.concat([...told, readyForQuery(ended.status ?? 'I')]));
  }
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

/** A question failed, and the backend's transaction with it: in the extended protocol the backend waits for a Sync now, whose ReadyForQuery is the Query's. */
function failed(host: Conversation, error: Buffer, standing: Standing): void {
  host.relay.toClient(standing === 'pipelined' ? error : Buffer.concat([error, readyForQuery(standing)]));
  if (standing === 'pipelined') host.relay.toBackend(syncAfterError, sent.sync);
  host.finish();
}

/** In a transaction of the client's the backend's must fail too (law 6); else nothing is at stake. */
function fail(host: Conversation, error: ErrorData, standing: Standing): void {
  if (standing === 'I') host.relay.toClient(Buffer.concat([host.errorBytes(error), readyForQuery('I')]));
  else host.relay.toBackend(failedQuery, sent.query, { whole: true, kind: 'refusal', error });
  host.finish();
}
