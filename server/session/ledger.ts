/**
 * The ledger: which reply belongs to which message (pitfalls: law 1, ORDER-1…6, COPY-1…4). One entry for each client message, or message of
 * our own, that earns a reply; the backend's messages complete them in order. Pure: no sockets, no bytes. Ordinary entries cost one byte and
 * no allocation; an entry that we care about carries a note `N`.
 */
import { backendType as backend } from '../../protocol/frame.ts';

/** What was sent to the backend, by what completes it. */
export const sent = {
  parse: 1,
  bind: 2,
  describe: 3,
  close: 4,
  execute: 5,
  sync: 6,
  query: 7,
  functionCall: 8,
  /** CopyDone or CopyFail sent before the backend was seen to copy: earns no reply, but divides Syncs that copy-in swallows from those it does not. */
  copyEnd: 9,
} as const;
export type Sent = (typeof sent)[keyof typeof sent];

/**
 * Where the backend stands in a COPY FROM STDIN. While `data`, it ignores Sync and Flush (COPY-3); `ended`: the client sent CopyDone or
 * CopyFail, so what follows counts again.
 */
export type CopyIn = 'none' | 'data' | 'ended';

/** All that a ledger without notes holds. */
export interface LedgerState {
  /** The kind of each pending entry, oldest first. */
  readonly pending: Uint8Array;
  readonly skipping: boolean;
  readonly copyIn: CopyIn;
  readonly executesSinceSync: number;
}

/** Entries that an idle session has room for; a power of two. */
const smallest = 8;

export class Ledger<N> {
  #kinds = new Uint8Array(smallest);
  #notes: (N | undefined)[] = new Array(smallest).fill(undefined);
  #first = 0;
  #next = 0;
  #noted = 0;
  #skipping = false;
  #copyIn: CopyIn = 'none';
  #executesSinceSync = 0;

  /** Entries not yet completed. */
  get length(): number {
    return this.#next - this.#first;
  }

  /** Entries with a note. */
  get noted(): number {
    return this.#noted;
  }

  /** An error was answered and the Sync that ends the skipping has not been sent: the backend discards all until then (ORDER-3). */
  get skipping(): boolean {
    return this.#skipping;
  }

  /** Executes sent since the last Sync or Query: something may be at stake although the last status was `I`. */
  get executesSinceSync(): number {
    return this.#executesSinceSync;
  }

  /** Whether the backend takes copy data and the client has not ended them: nothing of ours may be sent then (COPY-4). */
  get copyingIn(): boolean {
    return this.#copyIn === 'data';
  }

  /** Nothing is unanswered or half said: a ledger that begins anew would be the same. */
  get atRest(): boolean {
    return this.length === 0 && !this.#skipping && this.#copyIn === 'none' && this.#executesSinceSync === 0;
  }

  /** Goes on from where another ledger has come to. To be called at rest. */
  restore(state: LedgerState): void {
    for (const kind of state.pending) this.push(kind as Sent);
    this.#skipping = state.skipping;
    this.#copyIn = state.copyIn;
    this.#executesSinceSync = state.executesSinceSync;
  }

  /** Whether the last entry will be answered only after a Flush or Sync. */
  get unflushed(): boolean {
    for (let index = this.#next - 1; index >= this.#first; index--) {
      const kind = this.#kinds[index & this.#mask]!;
      if (kind !== sent.copyEnd) return kind < sent.sync;
    }
    return false;
  }

  /** The note of the entry to which the backend's next reply belongs. */
  get head(): N | undefined {
    return this.#noted === 0 || this.length === 0 ? undefined : this.#notes[this.#first & this.#mask];
  }

  /** Notes of pending entries, newest first; `syncAfter`: a Sync or Query was sent behind it, so it may fail without what follows failing too. */
  *pending(): Generator<{ note: N; syncAfter: boolean }> {
    let syncAfter = false;
    for (let index = this.#next - 1; index >= this.#first; index--) {
      const note = this.#notes[index & this.#mask];
      if (note !== undefined) yield { note, syncAfter };
      const kind = this.#kinds[index & this.#mask]!;
      if (kind === sent.sync || kind === sent.query) syncAfter = true;
    }
  }

  /** A message was sent to the backend. Returns false where it earns no reply, because the backend discards it. */
  push(kind: Sent, note?: N): boolean {
    if (kind === sent.sync) {
      this.#executesSinceSync = 0;
      if (this.#copyIn === 'data') return false;
      this.#skipping = false;
    } else if (kind === sent.copyEnd) {
      if (this.#copyIn === 'data') this.#copyIn = 'ended';
      if (this.#copyIn !== 'none' || this.length === 0) return false;
    } else if (this.#skipping) return false;
    else if (kind === sent.execute) this.#executesSinceSync++;
    else if (kind === sent.query) this.#executesSinceSync = 0;
    if (this.length === this.#kinds.length) this.#grow();
    const index = this.#next++ & this.#mask;
    this.#kinds[index] = kind;
    if (note !== undefined) {
      this.#notes[index] = note;
      this.#noted++;
    }
    return true;
  }

  /**
   * The backend sent a message of this type. To be called for every message but DataRow, CopyData, NoticeResponse, NotificationResponse
   * and ParameterStatus, which complete nothing.
   */
  receive(type: number): void {
    if (this.length === 0) return;
    const kind = this.#kinds[this.#first & this.#mask]!;
    switch (type) {
      case backend.parseComplete:
      case backend.bindComplete:
      case backend.closeComplete:
      case backend.noData:
      case backend.portalSuspended:
        if (kind < sent.sync) this.#pop();
        return;
      case backend.rowDescription:
        if (kind === sent.describe) this.#pop();
        return;
      case backend.commandComplete:
      case backend.emptyQueryResponse:
        this.#copyIn = 'none';
        if (kind === sent.execute) this.#pop();
        return;
      case backend.readyForQuery:
        this.#copyIn = 'none';
        if (kind >= sent.sync) this.#pop();
        return;
      case backend.errorResponse:
        this.#copyIn = 'none';
        if (kind < sent.sync) this.#skipToSync();
        return;
      case backend.copyInResponse:
        this.#enterCopyIn();
        return;
    }
  }

  /** The backend discards everything sent behind the failed message up to the next Sync: also Query and FunctionCall, which then earn no ReadyForQuery (ORDER-2). */
  #skipToSync(): void {
    while (this.length > 0) {
      if (this.#kinds[this.#first & this.#mask] === sent.sync) return;
      this.#drop();
    }
    this.#skipping = true;
  }

  /** The backend reads copy data now: Syncs that lie before the end of the data are swallowed by it. */
  #enterCopyIn(): void {
    this.#copyIn = 'data';
    const kept: [number, N | undefined][] = [];
    for (let index = this.#first; index < this.#next; index++) {
      const kind = this.#kinds[index & this.#mask]!;
      const note = this.#notes[index & this.#mask];
      this.#notes[index & this.#mask] = undefined;
      const swallowed = index > this.#first && this.#copyIn === 'data' && (kind === sent.sync || kind === sent.copyEnd);
      if (swallowed && kind === sent.copyEnd) this.#copyIn = 'ended';
      if (!swallowed) kept.push([kind, note]);
      else if (note !== undefined) this.#noted--;
    }
    this.#next = this.#first;
    for (const [kind, note] of kept) {
      this.#kinds[this.#next & this.#mask] = kind;
      this.#notes[this.#next++ & this.#mask] = note;
    }
  }

  get #mask(): number {
    return this.#kinds.length - 1;
  }

  #drop(): void {
    const index = this.#first++ & this.#mask;
    if (this.#noted > 0 && this.#notes[index] !== undefined) {
      this.#notes[index] = undefined;
      this.#noted--;
    }
  }

  /** Completes the head; markers that earn no reply go with it. */
  #pop(): void {
    this.#drop();
    while (this.length > 0 && this.#kinds[this.#first & this.#mask] === sent.copyEnd) this.#drop();
  }

  #grow(): void {
    const kinds = new Uint8Array(this.#kinds.length * 2);
    const notes: (N | undefined)[] = new Array(kinds.length).fill(undefined);
    for (let index = this.#first; index < this.#next; index++) {
      kinds[index & (kinds.length - 1)] = this.#kinds[index & this.#mask]!;
      notes[index & (kinds.length - 1)] = this.#notes[index & this.#mask];
    }
    this.#kinds = kinds;
    this.#notes = notes;
  }
}
