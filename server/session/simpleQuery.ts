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
import { endingQuery, refusedQuery, syncAfterError } from './injection.ts';
import { sent } from './ledger.ts';
import { noticePasses, runStatements } from './statementRun.ts';

/**
 * How the backend's transaction stands where a Query of ours runs. `open`: in a block, or behind Executes without a Sync, whose transaction it shares and ends as
 * PostgreSQL's own would. A question must not end that before it, nor replace the unnamed portal: it is asked in the extended protocol.
 */
type Standing = 'none' | 'open';

/** Runs a string of our statements alone: outside a block they are one implicit transaction, as in PostgreSQL. The client is held meanwhile. */
export async function runSimpleQuery(host: Conversation, own: readonly OwnStatement[]): Promise<void> {
  const statements = own.map(({ statement }) => statement);
  const standing: Standing = host.status === 'T' || host.relay.ledger.executesSinceSync > 0 ? 'open' : 'none';
  const asked = await host.ask(askerQuery, standing === 'open' ? 'extended' : 'simple');
  if (asked.kind === 'error') return questionFailed(host, asked.message, asked.status);
  const state = readSessionState(asked.row);
  const insideTransaction = standing === 'open' || statements.length > 1;
  for (const statement of statements) {
    const refusal = refusalOf(statement, { readOnly: state.readOnly, insideTransaction });
    if (refusal !== undefined) return fail(host, refusal, standing);
  }
  let stamp: Stamp = { kind: 'immediate' };
  if (standing === 'open' && statements.some((statement) => natureOf(statement) === 'catalogChange')) {
    const marked = await host.ask(markQuery, 'extended');
    if (marked.kind === 'error') return questionFailed(host, host.errorBytes(new PgPierError('cannotMark').data), marked.status);
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
  if (standing === 'none') host.relay.toClient(Buffer.concat([...replies, readyForQuery('I')]));
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

/** `status`: of the Query that asked. In the extended protocol the backend waits for a Sync now, whose ReadyForQuery is the one the client waits for. */
function questionFailed(host: Conversation, error: Buffer, status: TransactionStatus | undefined): void {
  host.relay.toClient(status === undefined ? error : Buffer.concat([error, readyForQuery(status)]));
  if (status === undefined) host.relay.toBackend(syncAfterError, sent.sync);
  host.finish();
}

/** In a transaction of the client's the backend's must fail too (law 6); else nothing is at stake. */
function fail(host: Conversation, error: ErrorData, standing: Standing): void {
  if (standing === 'none') host.relay.toClient(Buffer.concat([host.errorBytes(error), readyForQuery('I')]));
  else host.relay.toBackend(refusedQuery, sent.query, { whole: true, kind: 'refusal', error });
  host.finish();
}
