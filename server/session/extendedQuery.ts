/** Statements of ours in the extended protocol: shadows under the client's own names (own statements §1). */
import type { Stamp } from '../../catalog/catalog.ts';
import type { CommandContext } from '../../commands/command.ts';
import { columnsOf, natureOf } from '../../commands/commands.ts';
import { type ErrorData, PgPierError, toErrorData } from '../../errors.ts';
import { commandComplete, readCommandTag, rowTag } from '../../protocol/backend/commandComplete.ts';
import { dataRow } from '../../protocol/backend/dataRow.ts';
import { portalSuspended } from '../../protocol/backend/portalSuspended.ts';
import { backendType as backend, frontendType as frontend } from '../../protocol/frame.ts';
import { readBind, readBindNames, writeBindWithNulls } from '../../protocol/frontend/bind.ts';
import { readClose } from '../../protocol/frontend/close.ts';
import { readExecute } from '../../protocol/frontend/execute.ts';
import { readParse, writeParse } from '../../protocol/frontend/parse.ts';
import { encodingRefusal, refusalOf } from './admission.ts';
import { askerQuery, markQuery, readMark, readSessionState, type SessionState } from './askerQuery.ts';
import { classifyText } from './classifyText.ts';
import type { Conversation, PermissionNote, Verdict } from './conversation.ts';
import { flush, refusedParse } from './injection.ts';
import { sent } from './ledger.ts';
import type { Portal } from './ownNames.ts';
import { boundParameters, isPermission, shadowOids, shadowText } from './shadow.ts';
import { noticePasses, runStatements } from './statementRun.ts';

export class ExtendedQuery {
  readonly #host: Conversation;

  constructor(host: Conversation) {
    this.#host = host;
  }

  parse(message: Buffer): Verdict {
    const { relay, parameters } = this.#host;
    const { ledger } = relay;
    const parse = readParse(message);
    if (parse === null || ledger.skipping || ledger.copyingIn) {
      ledger.push(sent.parse);
      return 'forward';
    }
    const meaning = classifyText(parse.text, parameters, ledger.length === 0);
    if (meaning === 'later') return this.#host.settle();
    if (meaning.kind === 'foreign') {
      ledger.push(sent.parse, { whole: false, kind: 'parse', name: parse.name, prepared: undefined });
      return 'forward';
    }
    if (meaning.kind === 'malformed') return this.#refuseParse(parse.name, meaning.error.data);
    if (meaning.kind === 'mixed' || meaning.statements.length > 1)
      return this.#refuseParse(parse.name, new PgPierError('multipleCommands').data);
    const own = meaning.statements[0]!;
    const typeOids = shadowOids(parse.typeOids, own.parameterCount);
    const prepared = { own, columns: columnsOf(own.statement), typeOids, declaredOids: parse.typeOids };
    relay.toBackend(writeParse(parse.name, shadowText(prepared.columns), typeOids), sent.parse, {
      whole: false,
      kind: 'parse',
      name: parse.name,
      prepared,
    });
    return 'taken';
  }

  bind(message: Buffer): Verdict {
    const { relay, names } = this.#host;
    const bind = readBind(message);
    if (bind === null || relay.ledger.skipping || relay.ledger.copyingIn) {
      relay.ledger.push(sent.bind);
      return 'forward';
    }
    const ownership = names.statementOwnership(bind.statement, relay.ledger.pending());
    if (ownership === 'unsettled') return this.#host.settle();
    const note = { whole: false, kind: 'bind', portal: bind.portal, statement: bind.statement } as const;
    if (ownership === 'foreign') {
      relay.ledger.push(sent.bind, { ...note, bind: undefined });
      return 'forward';
    }
    relay.toBackend(writeBindWithNulls(bind), sent.bind, { ...note, bind });
    return 'taken';
  }

  close(message: Buffer): Verdict {
    const close = readClose(message);
    this.#host.relay.ledger.push(sent.close, close === null ? undefined : { whole: false, kind: 'close', ...close });
    return 'forward';
  }

  execute(message: Buffer): Verdict {
    const { relay, names } = this.#host;
    const execute = readExecute(message);
    const unread = execute === null || relay.ledger.skipping || relay.ledger.copyingIn;
    const ownership = unread ? 'foreign' : names.portalOwnership(execute.portal, relay.ledger.pending());
    if (execute === null || ownership === 'foreign') {
      relay.ledger.push(sent.execute);
      return 'forward';
    }
    if (ownership === 'unsettled' || this.#host.cancelling) return this.#host.settle();
    const afterExecute = relay.ledger.executesSinceSync > 0;
    this.#host.own('permission');
    relay.toBackend(message, sent.execute, { whole: true, kind: 'permission', ...execute, afterExecute, foreign: false });
    relay.toBackend(flush);
    return 'taken';
  }

  /** A Parse or Bind too long to be held passes as it comes: PostgreSQL refuses the text if it was ours. */
  giant(type: number, start: Buffer): void {
    const { ledger } = this.#host.relay;
    const { names } = this.#host;
    if (type === frontend.query) {
      ledger.push(sent.query, { whole: false, kind: 'query' });
      return;
    }
    const named = readBindNames(start);
    if (type === frontend.parse) {
      const end = start.indexOf(0, 5);
      ledger.push(sent.parse, {
        whole: false,
        kind: 'parse',
        name: start.toString('latin1', 5, end < 0 ? start.length : end),
        prepared: undefined,
      });
    } else if (type === frontend.bind && named !== null) {
      const own = names.statementOwnership(named.statement, ledger.pending()) !== 'foreign';
      ledger.push(sent.bind, { whole: false, kind: 'bind', ...named, bind: own ? 'tooLarge' : undefined });
    } else if (type === frontend.bind) ledger.push(sent.bind);
  }

  /** A reply to the Execute of a shadow. */
  permission(note: PermissionNote, type: number, message: Buffer): 'relay' | 'swallow' {
    const portal = this.#host.names.portal(note.portal);
    const granted = type === backend.commandComplete && !note.foreign && portal !== undefined && isPermission(readCommandTag(message));
    if (granted) {
      if (portal.progress.kind === 'bound') void this.#run(note, portal);
      // Revived by ROLLBACK TO: the shadow would run again, PostgreSQL's own portal would not.
      else if (portal.progress.kind === 'begun') this.#fail(new PgPierError('portalCannotRun', { portal: shown(note.portal) }).data);
      else {
        this.#sendRows(portal, note.maxRows);
        this.#host.finish();
      }
      return 'swallow';
    }
    if (!note.foreign && type !== backend.errorResponse) {
      note.foreign = true;
      this.#host.names.forgetPortal(note.portal);
    }
    const last = [backend.commandComplete, backend.emptyQueryResponse, backend.portalSuspended, backend.errorResponse] as readonly number[];
    if (last.includes(type)) this.#host.finish();
    return 'relay';
  }

  async #run(note: PermissionNote, portal: Portal): Promise<void> {
    const host = this.#host;
    const { statement } = portal.prepared.own;
    portal.progress = { kind: 'begun' };
    host.own('asking');
    const asked = await host.ask(askerQuery, 'extended');
    if (asked.kind === 'error') {
      host.relay.toClient(asked.message);
      return host.finish();
    }
    const state = readSessionState(asked.row);
    const refusal = refusalOf(statement, { readOnly: state.readOnly, insideTransaction: host.status !== 'I' || note.afterExecute });
    if (refusal !== undefined) return this.#fail(refusal);
    let parameters: CommandContext['parameters'];
    try {
      parameters = boundParameters(portal.prepared, portal.bind);
    } catch (error) {
      return this.#fail(toErrorData(error));
    }
    let stamp: Stamp = { kind: 'immediate' };
    if (natureOf(statement) === 'catalogChange') {
      const marked = await host.ask(markQuery, 'extended');
      if (marked.kind === 'error') {
        host.relay.toClient(host.errorBytes(new PgPierError('cannotMark').data));
        return host.finish();
      }
      stamp = { kind: 'transaction', xid: readMark(marked.row) };
    }
    const ready = natureOf(statement) === 'job' ? await host.nextSync() : 'none';
    if (ready === 'gone') return host.finish();
    await this.#carryOut(note, portal, state, parameters, stamp, ready === 'none' ? undefined : ready);
  }

  /** `ready`: the ReadyForQuery that a job's answer is followed by; without one the pipeline is still open. */
  async #carryOut(
    note: PermissionNote,
    portal: Portal,
    state: SessionState,
    parameters: CommandContext['parameters'],
    stamp: Stamp,
    ready: Buffer | undefined,
  ): Promise<void> {
    const host = this.#host;
    const { own } = portal.prepared;
    const outcome = await runStatements(host.services, {
      statements: [own.statement],
      parameters,
      state,
      session: host.id,
      stamp,
      abort: host.run(natureOf(own.statement) === 'job'),
      notice: (notice) => {
        if (noticePasses(notice, state.clientMinMessages)) host.notice(notice);
      },
    });
    if (host.closed) return;
    if (outcome.kind === 'failed') return this.#fail(outcome.error, ready);
    const unsendable = encodingRefusal(outcome.results, host.parameters.get('client_encoding'));
    if (unsendable !== undefined) return this.#fail(unsendable, ready);
    const [result] = outcome.results;
    portal.progress = { kind: 'executed', rows: result!.rows, next: 0, tag: result!.tag };
    this.#sendRows(portal, note.maxRows);
    if (ready !== undefined) host.relay.toClient(ready);
    host.finish();
  }

  #sendRows(portal: Portal, maxRows: number): void {
    const { columns } = portal.prepared;
    if (portal.progress.kind !== 'executed' || portal.bind === 'tooLarge') return;
    const { rows, next, tag } = portal.progress;
    if (columns === null) return this.#host.relay.toClient(commandComplete(tag));
    const formats = portal.bind.resultFormats;
    const page = maxRows > 0 ? rows.slice(next, next + maxRows) : rows.slice(next);
    portal.progress = { kind: 'executed', rows, next: next + page.length, tag };
    const end = maxRows > 0 && page.length === maxRows ? portalSuspended : commandComplete(rowTag(tag, page.length));
    this.#host.relay.toClient(Buffer.concat([...page.map((row) => dataRow(columns, row, formats)), end]));
  }

  /** The backend's transaction fails in the place of our statement, and discards what follows up to Sync (law 6, ORDER-3). */
  #fail(error: ErrorData, ready?: Buffer): void {
    const { relay } = this.#host;
    if (ready !== undefined) relay.toClient(Buffer.concat([this.#host.errorBytes(error), ready]));
    else relay.toBackend(refusedParse('pgpier!'), sent.parse, { whole: true, kind: 'refusal', error });
    this.#host.finish();
  }

  /** Under the client's own name: a failing Parse of the unnamed statement drops it, as PostgreSQL does. */
  #refuseParse(name: string, error: ErrorData): Verdict {
    this.#host.relay.toBackend(refusedParse(name), sent.parse, { whole: true, kind: 'refusal', error, name });
    return 'taken';
  }
}

/** A name of the wire (latin1: a byte a character) as text. */
const shown = (name: string): string => Buffer.from(name, 'latin1').toString('utf8');
