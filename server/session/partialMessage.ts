/** The beginning of a message that the edge of a chunk cut off, until the rest comes. */
export class PartialMessage {
  /** Fewer bytes than a head. */
  #head: Buffer | undefined;
  /** Room for as much as was asked for, filled up to `#filled`: no growing, whatever the sizes of the chunks. */
  #message: Buffer | undefined;
  #filled = 0;

  get pending(): boolean {
    return this.#head !== undefined || this.#message !== undefined;
  }

  /** Keeps a copy of `bytes`, less than a message head. */
  keepHead(bytes: Buffer): void {
    this.#head = Buffer.from(bytes);
  }

  /** Keeps a copy of `bytes` until there are `length` of them. */
  keepUntil(length: number, bytes: Buffer): void {
    this.#message = Buffer.allocUnsafe(length);
    this.#filled = bytes.copy(this.#message);
  }

  /** What was kept with the next chunk behind it, in pieces that each begin with a message; nothing while too little is here. */
  join(chunk: Buffer): Buffer[] {
    if (this.#head !== undefined) {
      const joined = Buffer.concat([this.#head, chunk]);
      this.#head = undefined;
      return [joined];
    }
    const message = this.#message!;
    const taken = chunk.copy(message, this.#filled);
    this.#filled += taken;
    if (this.#filled < message.length) return [];
    this.#message = undefined;
    return taken < chunk.length ? [message, chunk.subarray(taken)] : [message];
  }

  /** What is kept, for a stream that ends in mid-message. */
  takeAll(): Buffer {
    const all = this.#head ?? this.#message?.subarray(0, this.#filled) ?? Buffer.alloc(0);
    this.#head = undefined;
    this.#message = undefined;
    return all;
  }
}
