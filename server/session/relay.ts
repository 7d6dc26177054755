/**
 * The forward path: two independent pumps between a client and its backend (pitfalls: law 9, FLOW-2). Bytes pass in whole chunks; only
 * message heads are read. What may concern a statement of ours is cut out of the stream and shown to the `Interceptor`. Where there is a fast path,
 * it does the forwarding whenever nothing else is to be done, and this file the rest; path.c says the same as the two scans below.
 * Figures behind the shape of this file: docs/performance.md.
 */
import { readErrorFields } from '../../protocol/backend/errorResponse.ts';
import { readReadyForQuery, type TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import { backendType as backend, frontendType as frontend, headLength, MessageReader } from '../../protocol/frame.ts';
import { mayBeOwn } from '../../statement/candidate.ts';
import type { FastPath, LeftPath } from '../link/fastPath.ts';
import { lingeringClose } from '../link/lingeringClose.ts';
import type { Link } from '../link/link.ts';
import type { Interceptor, Noted } from './interceptor.ts';
import { Ledger, type Sent, sent } from './ledger.ts';
import { asynchronous, entryOf, namesThings, textStart } from './messageKinds.ts';
import { PartialMessage } from './partialMessage.ts';

/** Messages longer than this are not held to be looked at: they pass as they come (FRAME-3). */
export const largestHeld = 1 << 20;

/** How much of a longer message is shown to the interceptor: enough for the names in it. */
const giantStart = 1024;

/** Terminate. */
const terminate = Buffer.from([frontend.terminate, 0, 0, 0, 4]);

export class Relay<N extends Noted> {
  readonly ledger = new Ledger<N>();
  readonly #client: Link;
  readonly #backend: Link;
  readonly #interceptor: Interceptor<N>;
  readonly #fastPath: FastPath | undefined;
  readonly #fromClient = new PartialMessage();
  readonly #fromBackend = new PartialMessage();
  /** Bytes of a passing message that have yet to come. */
  #clientPassing = 0;
  #backendPassing = 0;
  /** The client's stream makes no sense any more: PostgreSQL is to judge it, unread. */
  #garbled = false;
  #clientBusy = false;
  #backendBusy = false;
  #held: Buffer[] | undefined;
  #heldBytes = 0;
  #clientEnded = false;
  #closed = false;
  /** The backend sent an error that answers nothing, or is FATAL: its farewell (ASYNC-4). */
  #farewell = false;
  #status: TransactionStatus = 'I';

  /** @param fastPath of these two links */
  constructor(client: Link, backendLink: Link, interceptor: Interceptor<N>, fastPath?: FastPath) {
    this.#client = client;
    this.#backend = backendLink;
    this.#interceptor = interceptor;
    this.#fastPath = fastPath;
  }

  /** Takes over both links, with what login read beyond its end. */
  start(clientBytes: Buffer, backendBytes: Buffer): void {
    const client = this.#client;
    const backendLink = this.#backend;
    client.onBytes = (chunk) => this.#onClient(chunk);
    backendLink.onBytes = (chunk) => this.#onBackend(chunk);
    client.onDrain = () => {
      this.#clientBusy = false;
      backendLink.resume();
    };
    backendLink.onDrain = () => {
      this.#backendBusy = false;
      if (this.#heldBytes <= largestHeld) client.resume();
    };
    client.onEnd = () => this.#onClientEnd();
    // PostgreSQL does not close one half: its FIN is the end of the session.
    backendLink.onEnd = () => this.#close('backend');
    client.onClose = () => this.#close('client');
    backendLink.onClose = () => this.#close('backend');
    if (this.#fastPath !== undefined) {
      this.#fastPath.onLeft = (left) => this.#goOn(left);
      this.#fastPath.onParameters = (messages) => this.#parameterStatuses(messages);
    }
    this.#takeBackend(backendBytes);
    if (clientBytes.length > 0) this.#onClient(clientBytes);
    if (!this.#clientBusy) backendLink.resume();
    if (!this.#backendBusy) client.resume();
    this.#giveWay();
  }

  /** Lets the fast path forward from here, if that is all there is to do. */
  #giveWay(): void {
    if (this.#fastPath === undefined || this.#closed || !this.#atRest || !this.#interceptor.forwardsOnly) return;
    this.#fastPath.begin(this.#status);
  }

  get #atRest(): boolean {
    const whole = !this.#fromClient.pending && !this.#fromBackend.pending && this.#clientPassing === 0 && this.#backendPassing === 0;
    const open = !this.#clientEnded && !this.#garbled && !this.holding;
    return whole && open && !this.#clientBusy && !this.#backendBusy && this.ledger.atRest;
  }

  /** From here on every message is seen here, until the relay is at rest again. */
  takeOver(): void {
    const left = this.#fastPath?.leave();
    if (left !== undefined) this.#goOn(left);
  }

  /** Goes on from where the fast path stopped. */
  #goOn(left: LeftPath): void {
    this.ledger.restore(left);
    this.#clientPassing = left.clientPassing;
    this.#backendPassing = left.backendPassing;
    this.#clientBusy = left.clientBusy;
    this.#backendBusy = left.backendBusy;
    if (left.wasIdle) this.#ready('I');
    this.#ready(left.status);
    this.#takeBackend(left.backendBytes);
    if (left.clientBytes.length > 0 && !this.#onClient(left.clientBytes)) this.#client.pause();
    if (this.#clientBusy) this.#backend.pause();
  }

  #ready(status: TransactionStatus): void {
    this.#status = status;
    this.#interceptor.ready(status);
  }

  /** Of the last ReadyForQuery that was seen here. */
  get status(): TransactionStatus {
    return this.#status;
  }

  /** Nothing is unanswered, and the backend is outside a transaction. */
  get idle(): boolean {
    const path = this.#fastPath;
    return path?.forwarding ? path.idle : this.ledger.length === 0 && this.#status === 'I';
  }

  /** Client messages wait from now on; both sockets are still read. */
  hold(): void {
    this.#held ??= [];
  }

  get holding(): boolean {
    return this.#held !== undefined;
  }

  /** Whether the client has been told by the backend itself why the session ends. */
  get farewell(): boolean {
    return this.#farewell;
  }

  /** Held messages go their way, up to the next hold. */
  release(): void {
    const held = this.#held;
    if (held === undefined) return;
    this.#held = undefined;
    const overfull = this.#heldBytes > largestHeld;
    this.#heldBytes = 0;
    if (held.length > 0) this.#consume(held.length === 1 ? held[0]! : Buffer.concat(held));
    if (overfull && !this.#backendBusy && this.#heldBytes <= largestHeld) this.#client.resume();
    if (this.#clientEnded && !this.holding) this.#backend.end();
  }

  /** The type of the first held message, if its head is here. */
  get firstHeld(): number | undefined {
    const held = this.#held;
    if (held === undefined || this.#heldBytes < headLength) return undefined;
    if (held.length > 1) this.#held = [Buffer.concat(held)];
    return this.#held?.[0]?.[0];
  }

  /** Takes the first held message out, a Sync, and sends it on. */
  passHeldSync(note: N): void {
    const first = this.#held?.[0];
    if (this.#held === undefined || first === undefined || first[0] !== frontend.sync)
      throw new Error('the first held message is not a Sync');
    const length = 1 + first.readInt32BE(1);
    this.#held = [first.subarray(length)];
    this.#heldBytes -= length;
    this.toBackend(first.subarray(0, length), sent.sync, note);
  }

  /** Sends a message of our own, or a client's in another form, with its ledger entry. */
  toBackend(bytes: Uint8Array, kind?: Sent, note?: N): void {
    if (kind !== undefined) this.ledger.push(kind, note);
    this.#writeBackend(bytes);
  }

  /** Writes messages of our own. Only to be called when a noted entry is the ledger's head, or from `reply`. */
  toClient(bytes: Uint8Array): void {
    this.#writeClient(bytes);
  }

  #writeBackend(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.#backend.write(bytes)) this.#backendBusy = true;
  }

  #writeClient(bytes: Uint8Array): void {
    if (bytes.length > 0 && !this.#client.write(bytes)) this.#clientBusy = true;
  }

  #onClient(chunk: Buffer): boolean {
    if (this.#held !== undefined) {
      this.#keep(chunk);
      this.#interceptor.moved();
    } else this.#consume(chunk);
    return !this.#backendBusy && this.#heldBytes <= largestHeld;
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#held?.push(Buffer.from(bytes));
    this.#heldBytes += bytes.length;
  }

  /** Passes client bytes on, less what is cut off by the chunk's edge and must be seen whole. */
  #consume(chunk: Buffer): void {
    if (!this.#fromClient.pending) return this.#scanClient(chunk);
    for (const part of this.#fromClient.join(chunk)) {
      if (this.holding) this.#keep(part);
      else this.#scanClient(part);
    }
  }

  /** Reads the heads in client bytes and passes them on, but for what the interceptor takes. */
  #scanClient(chunk: Buffer): void {
    if (this.#garbled) return this.#writeBackend(chunk);
    let from = 0;
    let position = Math.min(this.#clientPassing, chunk.length);
    this.#clientPassing -= position;
    while (position < chunk.length) {
      const available = chunk.length - position;
      if (available < headLength) {
        this.#fromClient.keepHead(chunk.subarray(position));
        break;
      }
      const type = chunk[position]!;
      const length = chunk.readInt32BE(position + 1);
      if (length < 4) {
        this.#garbled = true;
        position = chunk.length;
        break;
      }
      const end = position + 1 + length;
      const engaged = this.#interceptor.engaged;
      if (engaged ? namesThings[type] === 0 : type !== frontend.query && type !== frontend.parse) {
        const kind = entryOf[type]!;
        if (kind !== 0) this.ledger.push(kind as Sent);
        if (end > chunk.length) this.#clientPassing = end - chunk.length;
        position = Math.min(end, chunk.length);
      } else if (end > chunk.length && (length <= largestHeld || available < giantStart)) {
        this.#fromClient.keepUntil(length <= largestHeld ? 1 + length : giantStart, chunk.subarray(position));
        break;
      } else if (end > chunk.length || length > largestHeld) {
        if (engaged) this.#interceptor.clientGiant(type, chunk.subarray(position, position + giantStart));
        else this.ledger.push(entryOf[type] as Sent);
        this.#clientPassing = Math.max(0, end - chunk.length);
        position = Math.min(end, chunk.length);
      } else if (!engaged && !mayBeOwn(chunk, textStart(type, chunk, position), end - 1)) {
        this.ledger.push(entryOf[type] as Sent);
        position = end;
      } else {
        this.#writeBackend(chunk.subarray(from, position));
        const verdict = this.#interceptor.clientMessage(type, chunk.subarray(position, end));
        if (verdict === 'hold') this.hold();
        from = verdict === 'taken' ? end : position;
        position = verdict === 'hold' ? position : end;
        if (this.holding) {
          this.#writeBackend(chunk.subarray(from, position));
          return this.#keep(chunk.subarray(position));
        }
      }
    }
    this.#writeBackend(from === 0 && position === chunk.length ? chunk : chunk.subarray(from, position));
  }

  #onBackend(chunk: Buffer): boolean {
    this.#takeBackend(chunk);
    this.#giveWay();
    return !this.#clientBusy;
  }

  #takeBackend(chunk: Buffer): void {
    try {
      if (this.#fromBackend.pending) for (const part of this.#fromBackend.join(chunk)) this.#scanBackend(part);
      else this.#scanBackend(chunk);
    } catch (error) {
      // What cannot be read ends its own session, never the process.
      if (!(error instanceof RangeError)) throw error;
      return this.#close('nonsense');
    }
    if (this.holding) this.#interceptor.moved();
  }

  /** Reads the heads in backend bytes and relays them, but for what the interceptor swallows. */
  #scanBackend(chunk: Buffer): void {
    let from = 0;
    let position = Math.min(this.#backendPassing, chunk.length);
    this.#backendPassing -= position;
    while (position < chunk.length) {
      if (chunk.length - position < headLength) {
        this.#fromBackend.keepHead(chunk.subarray(position));
        break;
      }
      const type = chunk[position]!;
      const length = chunk.readInt32BE(position + 1);
      const end = position + 1 + length;
      const note = this.ledger.head;
      const bulk = (type === backend.dataRow || type === backend.copyData) && note?.whole !== true;
      if (length < 4 && note?.whole === true) throw new RangeError('a message of the backend has an invalid length');
      if (end > chunk.length && !bulk && length <= largestHeld) {
        this.#fromBackend.keepUntil(1 + length, chunk.subarray(position));
        break;
      }
      if (bulk || end > chunk.length || length < 4) {
        if (!bulk) this.ledger.receive(type);
        this.#backendPassing = Math.max(0, end - chunk.length);
        position = length < 4 ? chunk.length : Math.min(end, chunk.length);
        continue;
      }
      if (note?.whole === true && !asynchronous(type)) {
        this.#writeClient(chunk.subarray(from, position));
        this.ledger.receive(type);
        const message = chunk.subarray(position, end);
        if (type === backend.readyForQuery) this.#ready(readReadyForQuery(message));
        from = this.#interceptor.reply(note, type, message) === 'relay' ? position : end;
      } else {
        if (type === backend.parameterStatus) this.#parameterStatus(chunk.subarray(position, end));
        else if (type === backend.errorResponse && (this.ledger.length === 0 || isFatal(chunk.subarray(position, end))))
          this.#farewell = true;
        this.ledger.receive(type);
        if (type === backend.readyForQuery) this.#ready(readReadyForQuery(chunk.subarray(position, end)));
        if (note !== undefined && !asynchronous(type)) this.#interceptor.reply(note, type, undefined);
      }
      position = end;
    }
    this.#writeClient(from === 0 && position === chunk.length ? chunk : chunk.subarray(from, position));
  }

  #parameterStatuses(messages: Buffer): void {
    for (let position = 0; position < messages.length; ) {
      const end = position + 1 + messages.readInt32BE(position + 1);
      this.#parameterStatus(messages.subarray(position, end));
      position = end;
    }
  }

  #parameterStatus(message: Buffer): void {
    try {
      const reader = new MessageReader(message);
      this.#interceptor.parameterStatus(reader.name(), reader.stringBytes().toString('utf8'));
    } catch {
      // A ParameterStatus that cannot be read is relayed as it is.
    }
  }

  #onClientEnd(): void {
    this.#clientEnded = true;
    if (!this.holding) {
      this.#writeBackend(this.#fromClient.takeAll());
      this.#backend.end();
    }
    this.#interceptor.clientEnded();
  }

  /** Ends the session from our side, after what was written to the client. */
  leave(): void {
    this.#writeBackend(terminate);
    this.#close('proxy');
  }

  #close(by: 'client' | 'backend' | 'proxy' | 'nonsense'): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#interceptor.ended(by);
    if (by === 'proxy') this.#backend.end();
    else this.#backend.destroy();
    if (by === 'client') return;
    // What the backend said last must still arrive: not before it left here, the two seconds of the close begin.
    if (this.#clientBusy) this.#client.onDrain = () => void lingeringClose(this.#client);
    else void lingeringClose(this.#client);
  }
}

/** By the severity that is never translated. */
function isFatal(message: Buffer): boolean {
  const severity = readErrorFields(message).get('V');
  return severity === 'FATAL' || severity === 'PANIC';
}
