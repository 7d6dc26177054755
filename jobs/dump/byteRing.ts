/** Bytes from the thread that owns a socket to one that blocks for them: a ring in shared memory, one writer, one reader. */

/** Indexes of the control words. Positions count all bytes ever, modulo 2^32. */
const WRITTEN = 0;
const READ = 1;
const CLOSED = 2;
const CONTROL_WORDS = 3;

export interface SharedRing {
  readonly control: SharedArrayBuffer;
  readonly bytes: SharedArrayBuffer;
}

/** @param size a power of two, so that positions may wrap */
export function makeByteRing(size: number): SharedRing {
  return { control: new SharedArrayBuffer(CONTROL_WORDS * 4), bytes: new SharedArrayBuffer(size) };
}

/** Never blocks: what does not fit waits here. */
export class RingWriter {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;
  #waiting: Buffer[] = [];
  #draining: Promise<void> | undefined;

  constructor({ control, bytes }: SharedRing) {
    this.#control = new Int32Array(control);
    this.#bytes = new Uint8Array(bytes);
  }

  /** False: write no more until `drained`. The chunk may be changed afterwards. */
  write(chunk: Buffer): boolean {
    const rest = this.#waiting.length > 0 ? chunk : chunk.subarray(this.#put(chunk));
    if (rest.length > 0) this.#waiting.push(Buffer.from(rest));
    return this.#waiting.length === 0;
  }

  /** Resolves when everything written is in the ring, or the ring is closed. */
  drained(): Promise<void> {
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
    return this.#draining;
  }

  /** The reader gets what is there, and then an error. */
  close(): void {
    this.#waiting = [];
    Atomics.store(this.#control, CLOSED, 1);
    Atomics.notify(this.#control, WRITTEN);
    Atomics.notify(this.#control, READ);
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const seen = Atomics.load(this.#control, READ);
      const first = this.#waiting[0]!;
      const put = this.#put(first);
      if (put === first.length) this.#waiting.shift();
      else {
        this.#waiting[0] = first.subarray(put);
        if (put === 0) await Atomics.waitAsync(this.#control, READ, seen).value;
      }
    }
  }

  /** How many bytes there was room for. */
  #put(chunk: Buffer): number {
    const size = this.#bytes.length;
    const written = Atomics.load(this.#control, WRITTEN);
    const used = (written - Atomics.load(this.#control, READ)) >>> 0;
    const count = Math.min(chunk.length, size - used);
    if (count === 0) return 0;
    const at = (written >>> 0) % size;
    const beforeEnd = Math.min(count, size - at);
    this.#bytes.set(chunk.subarray(0, beforeEnd), at);
    this.#bytes.set(chunk.subarray(beforeEnd, count), 0);
    Atomics.store(this.#control, WRITTEN, (written + count) | 0);
    Atomics.notify(this.#control, WRITTEN);
    return count;
  }
}

/** Blocks its thread. */
export class RingReader {
  readonly #control: Int32Array<SharedArrayBuffer>;
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor({ control, bytes }: SharedRing) {
    this.#control = new Int32Array(control);
    this.#bytes = new Uint8Array(bytes);
  }

  /** At least one byte, copied out. @throws Error when the ring is closed and empty */
  read(): Uint8Array {
    for (;;) {
      const written = Atomics.load(this.#control, WRITTEN);
      const read = Atomics.load(this.#control, READ);
      const available = (written - read) >>> 0;
      if (available > 0) {
        const size = this.#bytes.length;
        const at = (read >>> 0) % size;
        const count = Math.min(available, size - at);
        const bytes = this.#bytes.slice(at, at + count);
        Atomics.store(this.#control, READ, (read + count) | 0);
        Atomics.notify(this.#control, READ);
        return bytes;
      }
      if (Atomics.load(this.#control, CLOSED) === 1) throw new Error('connection closed');
      Atomics.wait(this.#control, WRITTEN, written, 1000);
    }
  }
}
