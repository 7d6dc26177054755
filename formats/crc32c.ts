/** CRC-32C (Castagnoli; RFC 3720, appendix B.4) of bytes that come in pieces, eight at a time: Node has CRC-32 alone, which is another polynomial. Pure. */
const polynomial = 0x82f63b78;

const tables = Array.from({ length: 8 }, () => new Int32Array(256));
for (let byte = 0; byte < 256; byte++) {
  let remainder = byte;
  for (let bit = 0; bit < 8; bit++) remainder = remainder & 1 ? (remainder >>> 1) ^ polynomial : remainder >>> 1;
  tables[0]![byte] = remainder;
}
for (let byte = 0; byte < 256; byte++) {
  for (let distance = 1; distance < 8; distance++) {
    const nearer = tables[distance - 1]![byte]!;
    tables[distance]![byte] = (nearer >>> 8) ^ tables[0]![nearer & 255]!;
  }
}
const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [Int32Array, ...Int32Array[]] & Int32Array[];

export class Crc32c {
  #state = -1;

  update(bytes: Uint8Array): void {
    let state = this.#state;
    let at = 0;
    for (const last = bytes.length - 7; at < last; at += 8) {
      state ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
      const low = t7![state & 255]! ^ t6![(state >>> 8) & 255]! ^ t5![(state >>> 16) & 255]! ^ t4![state >>> 24]!;
      state = low ^ t3![bytes[at + 4]!]! ^ t2![bytes[at + 5]!]! ^ t1![bytes[at + 6]!]! ^ t0[bytes[at + 7]!]!;
    }
    for (; at < bytes.length; at++) state = (state >>> 8) ^ t0[(state ^ bytes[at]!) & 255]!;
    this.#state = state;
  }

  /** Unsigned, of all bytes so far. */
  value(): number {
    return ~this.#state >>> 0;
  }

  /** Big-endian in base64, as Google Cloud Storage writes it. */
  base64(): string {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(this.value());
    return bytes.toString('base64');
  }
}
