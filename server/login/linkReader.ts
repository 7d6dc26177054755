/** Reads whole packets from a Link during login: pulls, keeps what came beyond, and hands it over at the end without losing a byte. */
import { headLength } from '../../protocol/frame.ts';
import type { Link } from '../link/link.ts';

export type Side = 'client' | 'backend';

/** The peer ended or closed while more of it was needed. */
export class PeerGone extends Error {
  readonly side: Side;

  constructor(side: Side, cause?: Error) {
    super(`the ${side} went away`, { cause });
    this.side = side;
  }
}

/** A message's length is below 4 or above what login accepts. */
export class BadLength extends Error {
  readonly side: Side;

  constructor(side: Side) {
    super(`a message of the ${side} has an invalid length`);
    this.side = side;
  }
}

/** Beyond what is asked for this much is read ahead; reading goes on so that a peer's leaving is noticed. */
const readAhead = 64 * 1024;

export class LinkReader {
  /** The link is gone (not merely ended); called once, also before anybody waits. */
  onGone: () => void = () => {};
  readonly #link: Link;
  readonly #side: Side;
  #held: Buffer = Buffer.alloc(0);
  #state: { kind: 'open'; stopped: boolean } | { kind: 'ended' } | { kind: 'gone'; error: Error | undefined } = {
    kind: 'open',
    stopped: false,
  };
  #waiting: (() => void)[] = [];

  /** Takes the link's handlers and starts reading. */
  constructor(link: Link, side: Side) {
    this.#link = link;
    this.#side = side;
    link.onBytes = (chunk) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      const goOn = this.#held.length < readAhead;
      if (this.#state.kind === 'open') this.#state.stopped = !goOn;
      this.#wake();
      return goOn;
    };
    link.onEnd = () => {
      if (this.#state.kind === 'open') this.#state = { kind: 'ended' };
      this.#wake();
    };
    link.onClose = (error) => {
      this.#state = { kind: 'gone', error };
      this.#wake();
      this.onGone();
    };
    link.resume();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  get available(): number {
    return this.#held.length;
  }

  get ended(): boolean {
    return this.#state.kind !== 'open';
  }

  get gone(): boolean {
    return this.#state.kind === 'gone';
  }

  /** Resolves once so many bytes are here; takes none. Throws PeerGone. */
  async need(length: number): Promise<void> {
    while (this.#held.length < length) {
      const state = this.#state;
      if (state.kind !== 'open') throw new PeerGone(this.#side, state.kind === 'gone' ? state.error : undefined);
      if (state.stopped) {
        state.stopped = false;
        this.#link.resume();
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** After `need(offset + 4)`. */
  int32At(offset: number): number {
    return this.#held.readInt32BE(offset);
  }

  byteAt(offset: number): number {
    return this.#held[offset]!;
  }

  /** After `need(length)`. */
  take(length: number): Buffer {
    const taken = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    return taken;
  }

  /** The next whole message, head included. Throws PeerGone and BadLength. */
  async message(maxLength: number): Promise<Buffer> {
    await this.need(headLength);
    const length = this.int32At(1);
    if (length < 4 || length > maxLength) throw new BadLength(this.#side);
    await this.need(1 + length);
    return this.take(1 + length);
  }

  /** A whole message is here already. */
  get hasMessage(): boolean {
    return this.#held.length >= headLength && this.#held.length > this.int32At(1);
  }

  /** Stops reading; what was read and not taken. The link stays paused for whoever takes its handlers next. */
  detach(): Buffer {
    this.#link.pause();
    const rest = this.#held;
    this.#held = Buffer.alloc(0);
    return rest;
  }
}
