/**
 * What PostgreSQL sends on a connection of our own and pg cannot read ends that connection, as an error that its query and its pool hear. pg reads in a
 * socket's 'data' event: what its parser throws there nobody could catch, and at a string without an end it loops. Importing this file is enough, in each thread.
 */
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { isWellFormed } from '../protocol/backend/wellFormed.ts';
import { backendType as backend, headLength } from '../protocol/frame.ts';

/** No message but rows and COPY data is longer. */
const longest = 16 * 1024 * 1024;
const nothing = Buffer.alloc(0);

const prototype = pg.Connection.prototype as unknown as { attachListeners(stream: Duplex): void };
const { attachListeners } = prototype;

/** Of the plain stream, and again of the TLS stream that takes its place. */
prototype.attachListeners = function attachGuarded(stream) {
  const before = new Set(stream.listeners('data'));
  attachListeners.call(this, stream);
  for (const listener of stream.listeners('data') as ((chunk: Buffer) => void)[]) {
    if (before.has(listener)) continue;
    const messages = new WholeMessages();
    stream.off('data', listener);
    stream.on('data', (chunk: Buffer) => {
      try {
        const whole = messages.take(chunk);
        if (whole.length > 0) listener(whole);
      } catch (error) {
        stream.destroy(new Error('the server sent something that is no message of the protocol', { cause: error }));
      }
    });
  }
};

/** Lets rows and COPY data pass as they come, and other messages once they are whole and well-formed. */
export class WholeMessages {
  #held: Buffer = nothing;
  #passing = 0;

  /** What may be read now. @throws RangeError at what is no message. */
  take(chunk: Buffer): Buffer {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    let at = Math.min(this.#passing, bytes.length);
    this.#passing -= at;
    while (bytes.length - at >= headLength) {
      const bulk = bytes[at] === backend.dataRow || bytes[at] === backend.copyData;
      const length = bytes.readInt32BE(at + 1);
      const end = at + 1 + length;
      if (length < 4 || (!bulk && length > longest)) throw new RangeError('a message has an invalid length');
      if (!bulk && end > bytes.length) break;
      if (!bulk && !isWellFormed(bytes.subarray(at, end))) throw new RangeError('a string of a message has no end');
      this.#passing = Math.max(0, end - bytes.length);
      at = Math.min(end, bytes.length);
    }
    this.#held = at === bytes.length ? nothing : Buffer.from(bytes.subarray(at));
    return bytes.subarray(0, at);
  }
}
