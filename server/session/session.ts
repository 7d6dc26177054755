/** One client's session after login: what passes, what is ours, and when each may go on. */
import { randomUUID } from 'node:crypto';
import type { Notice } from '../../commands/command.ts';
import { type ErrorData, PgPierError } from '../../errors.ts';
import { errorResponse, noticeResponse, readErrorFields } from '../../protocol/backend/errorResponse.ts';
import type { TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import { backendType as backend, frontendType as frontend } from '../../protocol/frame.ts';
import { queryText } from '../../protocol/frontend/query.ts';
import type { LoggedIn, SessionHandle, StartSession } from '../login/loggedIn.ts';
import { canSend } from './admission.ts';
import { classifyText } from './classifyText.ts';
import type { Conversation, Note, Verdict } from './conversation.ts';
import { ExtendedQuery } from './extendedQuery.ts';
import { type Answer, flush, Injection, Question, refusedQuery } from './injection.ts';
import type { Interceptor } from './interceptor.ts';
import { sent } from './ledger.ts';
import { type NameNote, OwnNames } from './ownNames.ts';
import { passThrough } from './passThrough.ts';
import { Relay } from './relay.ts';
import { runSimpleQuery } from './simpleQuery.ts';
import type { Services } from './statementRun.ts';

type Phase =
  | { readonly kind: 'relaying' }
  /** The client's next message waits until every reply is in and no cancel is on its way. `flushed`: for the reply to the last message a Flush was sent. */
  | { readonly kind: 'settling'; readonly flushed: boolean }
  /** The Execute of a shadow is at the backend. */
  | { readonly kind: 'permission' }
  /** A question of ours is at the backend. */
  | { readonly kind: 'asking' }
  | { readonly kind: 'awaitingMessage'; readonly resolve: (next: number | 'gone') => void }
  | { readonly kind: 'running'; readonly abort: AbortController; readonly job: boolean }
  | { readonly kind: 'closed' };

/** The success replies by which the backend confirms a message that changes names. */
const confirmation: Readonly<Record<NameNote['kind'], number>> = {
  parse: backend.parseComplete,
  bind: backend.bindComplete,
  close: backend.closeComplete,
  query: backend.readyForQuery,
};

export function createStartSession(services: Services): StartSession {
  return (loggedIn) => (loggedIn.replication ? passThrough(loggedIn) : new Session(services, loggedIn));
}

class Session implements Interceptor<Note>, Conversation, SessionHandle {
  readonly services: Services;
  readonly relay: Relay<Note>;
  readonly names = new OwnNames();
  readonly parameters: Map<string, string>;
  readonly done: Promise<void>;
  readonly #links: Pick<LoggedIn, 'client' | 'backend'>;
  readonly #forwardCancel: LoggedIn['forwardCancel'];
  readonly #extended: ExtendedQuery;
  readonly #injection = new Injection();
  #phase: Phase = { kind: 'relaying' };
  #cancels = 0;
  /** The client cancelled a statement of ours whose work has not begun yet. */
  #cancelRequested = false;
  #draining = false;
  #id: string | undefined;
  #resolveDone!: () => void;

  constructor(services: Services, loggedIn: LoggedIn) {
    this.services = services;
    // Not all of it: what login read beyond its end would stay for as long as the session.
    const { client, backend: backendLink, forwardCancel } = loggedIn;
    this.#links = { client, backend: backendLink };
    this.#forwardCancel = forwardCancel;
    this.parameters = loggedIn.parameters;
    this.done = new Promise((resolve) => {
      this.#resolveDone = resolve;
    });
    this.#extended = new ExtendedQuery(this);
    this.relay = new Relay<Note>(client, backendLink, this, loggedIn.fastPath);
    this.relay.start(loggedIn.clientBytes, loggedIn.backendBytes);
  }

  // The relay's questions.

  get engaged(): boolean {
    return this.relay.ledger.noted > 0 || !this.names.empty;
  }

  get forwardsOnly(): boolean {
    return !this.engaged && this.#phase.kind === 'relaying' && !this.#draining;
  }

  clientMessage(type: number, message: Buffer): Verdict {
    switch (type) {
      case frontend.query:
        return this.#query(message);
      case frontend.parse:
        return this.#extended.parse(message);
      case frontend.bind:
        return this.#extended.bind(message);
      case frontend.execute:
        return this.#extended.execute(message);
      default:
        return this.#extended.close(message);
    }
  }

  clientGiant(type: number, start: Buffer): void {
    this.#extended.giant(type, start);
  }

  reply(note: Note, type: number, message: Buffer | undefined): 'relay' | 'swallow' {
    if (!note.whole) {
      if (type === confirmation[note.kind]) this.names.confirm(note);
      else if (type === backend.errorResponse && note.kind === 'parse' && note.name === '') this.names.forgetUnnamed();
      return 'relay';
    }
    switch (note.kind) {
      case 'refusal':
        return this.#refused(note, type, message!);
      case 'question':
        note.question.receive(type, message!);
        return 'swallow';
      case 'permission':
        return this.#extended.permission(note, type, message!);
      case 'sync':
        if (type !== backend.readyForQuery) return 'relay';
        note.resolve(Buffer.from(message!));
        return 'swallow';
    }
  }

  ready(status: TransactionStatus): void {
    if (status === 'I') {
      this.names.forgetPortals();
      this.#id = undefined;
    }
    if (this.#draining) setImmediate(() => this.#leaveIfIdle());
  }

  parameterStatus(name: string, value: string): void {
    this.parameters.set(name, value);
  }

  moved(): void {
    const phase = this.#phase;
    const { ledger } = this.relay;
    if (phase.kind === 'settling') {
      // A backend that takes copy data answers nothing more until they end, and the client's next message does not end them: PostgreSQL is to judge it (COPY-4).
      if ((ledger.length === 0 || ledger.copyingIn) && this.#cancels === 0) this.finish();
      // A Sync that was to bring the reply out was swallowed by copy-in (COPY-3).
      else if (!phase.flushed) this.settle();
    }
    // The shadow's Execute was discarded behind an error: it will never be answered.
    else if (phase.kind === 'permission' && ledger.length === 0) this.finish();
    else if (phase.kind === 'awaitingMessage' && this.relay.firstHeld !== undefined) phase.resolve(this.relay.firstHeld);
  }

  clientEnded(): void {
    const phase = this.#phase;
    if (phase.kind === 'awaitingMessage') phase.resolve('gone');
    // Short work is finished and answered, as PostgreSQL answers a client that only closed its half (END-1); nobody waits hours half-closed.
    else if (phase.kind === 'running' && phase.job) phase.abort.abort(new PgPierError('clientGone'));
  }

  ended(by: 'client' | 'backend' | 'proxy' | 'nonsense'): void {
    const phase = this.#phase;
    const waiting = phase.kind !== 'relaying' && phase.kind !== 'closed';
    this.#phase = { kind: 'closed' };
    if (phase.kind === 'awaitingMessage') phase.resolve('gone');
    if (phase.kind === 'running') phase.abort.abort(new PgPierError('clientGone'));
    // A backend that vanished without a word: the client waits for an answer and gets PostgreSQL's own (END-4).
    if (by === 'backend' && waiting && !this.relay.farewell) {
      this.relay.toClient(this.errorBytes(new PgPierError('backendGone', {}, { severity: 'FATAL' }).data));
    }
    if (by === 'nonsense') this.relay.toClient(this.errorBytes(new PgPierError('backendProtocol', {}, { severity: 'FATAL' }).data));
    this.#resolveDone();
  }

  // What statements are offered.

  /** Another in each transaction: what PREPARE TRANSACTION left pending is no longer this session's to see. */
  get id(): string {
    this.#id ??= randomUUID();
    return this.#id;
  }

  get status(): TransactionStatus {
    return this.relay.status;
  }

  get cancelling(): boolean {
    return this.#cancels > 0;
  }

  get closed(): boolean {
    return this.#phase.kind === 'closed';
  }

  settle(): 'hold' {
    const { unflushed } = this.relay.ledger;
    this.#phase = { kind: 'settling', flushed: unflushed };
    if (unflushed) this.relay.toBackend(flush);
    return 'hold';
  }

  own(phase: 'permission' | 'asking'): void {
    this.#phase = { kind: phase };
    this.relay.hold();
  }

  ask(text: string, protocol: 'simple' | 'extended'): Promise<Answer> {
    const question = new Question(protocol);
    const messages = protocol === 'simple' ? this.#injection.simple(text) : this.#injection.extended(text);
    for (const [bytes, kind] of messages)
      this.relay.toBackend(bytes, kind, kind === undefined ? undefined : { whole: true, kind: 'question', question });
    return question.answer;
  }

  run(job: boolean): AbortController {
    const abort = new AbortController();
    if (this.closed) abort.abort(new PgPierError('clientGone'));
    else this.#phase = { kind: 'running', abort, job };
    if (this.#cancelRequested) abort.abort(new PgPierError('queryCanceled'));
    return abort;
  }

  notice(notice: Notice): void {
    if (this.closed) return;
    this.relay.toClient(
      noticeResponse({
        ...notice,
        message: this.#sendable(notice.message),
        sqlstate: notice.sqlstate ?? (notice.severity === 'WARNING' ? '01000' : '00000'),
      }),
    );
  }

  async nextSync(): Promise<Buffer | 'none' | 'gone'> {
    const next =
      this.relay.firstHeld ??
      (await new Promise<number | 'gone'>((resolve) => {
        this.#phase = { kind: 'awaitingMessage', resolve };
      }));
    if (next === 'gone' || this.closed) return 'gone';
    this.#phase = { kind: 'asking' };
    if (next !== frontend.sync) return 'none';
    return new Promise((resolve) => this.relay.passHeldSync({ whole: true, kind: 'sync', resolve }));
  }

  finish(): void {
    if (this.closed) return;
    this.#phase = { kind: 'relaying' };
    this.#cancelRequested = false;
    this.relay.release();
    if (this.#draining) setImmediate(() => this.#leaveIfIdle());
  }

  errorBytes(error: ErrorData): Buffer {
    return errorResponse({ ...error, message: this.#sendable(error.message) });
  }

  // What the listener asks.

  async cancel(): Promise<void> {
    const { kind } = this.#phase;
    if (this.#phase.kind === 'running') return this.#phase.abort.abort(new PgPierError('queryCanceled'));
    if (kind === 'permission' || kind === 'asking' || kind === 'awaitingMessage') {
      this.#cancelRequested = true;
      return;
    }
    this.#cancels++;
    try {
      await this.#forwardCancel();
    } finally {
      this.#cancels--;
      this.moved();
    }
  }

  drain(): Promise<void> {
    this.#draining = true;
    this.relay.takeOver();
    this.#leaveIfIdle();
    return this.done;
  }

  destroy(): void {
    this.#links.client.destroy();
    this.#links.backend.destroy();
  }

  idleMark(): number | undefined {
    return this.#idle ? this.#links.client.bytesRead : undefined;
  }

  endIdle(): void {
    this.relay.takeOver();
    this.#leaveIfIdle('idleTimeout');
  }

  get #idle(): boolean {
    return this.#phase.kind === 'relaying' && this.relay.idle;
  }

  #leaveIfIdle(why: 'shuttingDown' | 'idleTimeout' = 'shuttingDown'): void {
    if (!this.#idle) return;
    this.relay.toClient(this.errorBytes(new PgPierError(why, {}, { severity: 'FATAL' }).data));
    this.relay.leave();
  }

  #query(message: Buffer): Verdict {
    const { ledger } = this.relay;
    const text = queryText(message);
    const readable = text !== null && !ledger.skipping && !ledger.copyingIn;
    const meaning = readable ? classifyText(text, this.parameters, ledger.length === 0) : ({ kind: 'foreign' } as const);
    if (meaning === 'later') return this.settle();
    switch (meaning.kind) {
      case 'foreign':
        ledger.push(sent.query, this.engaged ? { whole: false, kind: 'query' } : undefined);
        return 'forward';
      case 'malformed':
        return this.#refuse(meaning.error.data);
      case 'mixed':
        return this.#refuse(new PgPierError('mixedStatements').data);
      case 'own': {
        if (ledger.length > 0 || this.cancelling) return this.settle();
        this.own('asking');
        void runSimpleQuery(this, meaning.statements);
        return 'taken';
      }
    }
  }

  #refuse(error: ErrorData): Verdict {
    this.relay.toBackend(refusedQuery, sent.query, { whole: true, kind: 'refusal', error });
    return 'taken';
  }

  /** PostgreSQL's complaint about the text that stood for ours becomes our error; any other error of its own (FATAL, 57014) is told as it is. */
  #refused(note: Note & { kind: 'refusal' }, type: number, message: Buffer): 'relay' | 'swallow' {
    if (type !== backend.errorResponse) return 'relay';
    if (note.name === '') this.names.forgetUnnamed();
    if (readErrorFields(message).get('C') !== '42601') return 'relay';
    this.relay.toClient(this.errorBytes(note.error));
    return 'swallow';
  }

  #sendable(text: string): string {
    return canSend(text, this.parameters.get('client_encoding')) ? text : text.replace(/[\u0080-\uffff]/g, '?');
  }
}
