/** A raw client: bytes out in whatever cuts, messages in one by one. Login by trust only. */
import { once } from 'node:events';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { decode, type Message, splitMessages } from './decode.ts';
import { encodeLine, startupPacket } from './encode.ts';

/** Where to connect: an address, or a Unix socket's path. */
export type Endpoint = { readonly host: string; readonly port: number } | { readonly path: string };

/** How bytes are cut into writes; each piece leaves in a segment of its own (no Nagle, one turn of the loop between two). */
export type Cutter = (bytes: Buffer) => Iterable<Buffer>;

export class WireSession {
  readonly greeting: string[] = [];
  pid = 0;
  key = Buffer.alloc(0);
  private readonly socket: Socket;
  private readonly cut: Cutter;
  private arrived: Message[] = [];
  private rest: Buffer = Buffer.alloc(0);
  private ended = false;
  private wake: () => void = () => {};

  private constructor(socket: Socket, cut: Cutter) {
    this.socket = socket;
    this.cut = cut;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      const { messages, rest } = splitMessages(this.rest.length ? Buffer.concat([this.rest, chunk]) : chunk);
      this.arrived.push(...messages);
      this.rest = rest;
      this.wake();
    });
    const over = () => {
      this.ended = true;
      this.wake();
    };
    socket.on('end', over).on('close', over).on('error', over);
  }

  /** Connects and reads up to the first ReadyForQuery, or to the server's refusal. */
  static async open(endpoint: Endpoint, parameters: Readonly<Record<string, string>>, cut: Cutter = whole): Promise<WireSession> {
    const socket = connect({ ...endpoint, allowHalfOpen: true } as unknown as NetConnectOpts);
    await once(socket, 'connect');
    const session = new WireSession(socket, cut);
    await session.write(startupPacket(parameters));
    for (;;) {
      const message = await session.next(10_000);
      if (!message) return session;
      if (message.letter === 'K') {
        session.pid = message.body.readInt32BE(0);
        session.key = Buffer.from(message.body.subarray(4));
      }
      session.greeting.push(decode(message));
      if (message.letter === 'Z' || message.letter === 'E') return session;
    }
  }

  async write(bytes: Buffer): Promise<void> {
    for (const piece of this.cut(bytes)) {
      if (this.socket.destroyed || !this.socket.writable) return;
      if (!this.socket.write(piece)) await this.drained();
      await nextTurn();
    }
  }

  /** What was written has left, or nothing more will. */
  private async drained(): Promise<void> {
    const listening = new AbortController();
    const { signal } = listening;
    await Promise.race([once(this.socket, 'drain', { signal }), once(this.socket, 'close', { signal })]).catch(() => {});
    listening.abort();
  }

  /** Messages as in encode.ts, in one go. */
  async send(...lines: string[]): Promise<void> {
    await this.write(Buffer.concat(lines.map(encodeLine)));
  }

  /** The next message; undefined when the server has closed. @throws Error after `timeout` ms. */
  async next(timeout = 10_000): Promise<Message | undefined> {
    const late = Date.now() + timeout;
    while (this.arrived.length === 0) {
      if (this.ended) return undefined;
      await this.sleepUntilWoken(late - Date.now());
      if (this.arrived.length === 0 && !this.ended && Date.now() >= late) throw new Error('the server is silent');
    }
    return this.arrived.shift();
  }

  /** Reads until `count` messages of this letter have come, or the server closed (then the last line is `eof`). */
  async until(letter: string, count = 1, timeout = 15_000): Promise<string[]> {
    const lines: string[] = [];
    for (let seen = 0; seen < count; ) {
      let message: Message | undefined;
      try {
        message = await this.next(timeout);
      } catch (error) {
        throw new Error(`waiting for ${letter}: ${(error as Error).message} after\n  ${lines.join('\n  ')}`);
      }
      if (!message) {
        lines.push('eof');
        return lines;
      }
      lines.push(decode(message));
      if (message.letter === letter) seen++;
    }
    return lines;
  }

  /** Sends and reads up to `Z`. */
  async ask(...lines: string[]): Promise<string[]> {
    await this.send(...lines);
    return this.until('Z');
  }

  /** Everything that comes within so many milliseconds. */
  async during(milliseconds: number): Promise<string[]> {
    const lines: string[] = [];
    const end = Date.now() + milliseconds;
    while (Date.now() < end) {
      while (this.arrived.length) lines.push(decode(this.arrived.shift()!));
      if (this.ended) {
        lines.push('eof');
        break;
      }
      await this.sleepUntilWoken(end - Date.now());
    }
    while (this.arrived.length) lines.push(decode(this.arrived.shift()!));
    return lines;
  }

  /** Everything up to the server's close. */
  async untilEnd(): Promise<string[]> {
    return this.until('eof');
  }

  /** Sends FIN; goes on reading. */
  halfClose(): void {
    this.socket.end();
  }

  /** Stops reading from the socket, so that the peer's writes stall; `true` resumes. */
  reading(on: boolean): void {
    if (on) this.socket.resume();
    else this.socket.pause();
  }

  close(): void {
    this.socket.destroy();
  }

  /** Closes with RST, as a killed process on a busy connection does. */
  reset(): void {
    this.socket.resetAndDestroy();
  }

  private async sleepUntilWoken(timeout: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.max(0, timeout));
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export const whole: Cutter = (bytes) => [bytes];

export function* byteByByte(bytes: Buffer): Iterable<Buffer> {
  // A megabyte in single bytes would take minutes and show nothing new: the head and the tail are what matters.
  if (bytes.length > 20_000) {
    yield* byteByByte(bytes.subarray(0, 500));
    yield bytes.subarray(500, bytes.length - 500);
    yield* byteByByte(bytes.subarray(bytes.length - 500));
    return;
  }
  for (let i = 0; i < bytes.length; i++) yield bytes.subarray(i, i + 1);
}

/** Random cuts, the same for the same seed; mostly short pieces, so that headers and length words get split. */
export function randomCuts(seed: number): Cutter {
  const random = randomNumbers(seed);
  return function* (bytes) {
    for (let at = 0; at < bytes.length; ) {
      const end = at + 1 + Math.floor(random() ** 3 * Math.max(40, bytes.length / 4));
      yield bytes.subarray(at, end);
      at = end;
    }
  };
}

/** mulberry32: small, seeded, good enough to choose test cases. */
export function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
