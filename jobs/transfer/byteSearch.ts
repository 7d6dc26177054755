/** Finds a byte string in a stream of blocks, also across their borders, by the native `indexOf`. */
export class ByteSearch {
  readonly #needle: Buffer;
  /** The last bytes seen, one fewer than the needle has. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(needle: Buffer) {
    this.#needle = needle;
  }

  /** Whether the needle ends within this block. */
  foundIn(block: Buffer): boolean {
    const reach = this.#needle.length - 1;
    const border = Buffer.concat([this.#tail, block.subarray(0, reach)]);
    if (border.indexOf(this.#needle) >= 0 || block.indexOf(this.#needle) >= 0) return true;
    this.#tail =
      block.length >= reach ? Buffer.from(block.subarray(block.length - reach)) : border.subarray(Math.max(0, border.length - reach));
    return false;
  }
}
