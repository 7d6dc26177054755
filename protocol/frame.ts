/** Framing of protocol 3 messages: one type byte, then an int32 length that counts itself (PostgreSQL: protocol, message formats). */

/** Bytes of a message's head: type and length. */
export const headLength = 5;

/** Type bytes that the client sends. */
export const frontendType = {
  bind: 0x42,
  close: 0x43,
  copyData: 0x64,
  copyDone: 0x63,
  copyFail: 0x66,
  describe: 0x44,
  execute: 0x45,
  flush: 0x48,
  functionCall: 0x46,
  parse: 0x50,
  query: 0x51,
  sync: 0x53,
  terminate: 0x58,
} as const;

/** Type bytes that the server sends. */
export const backendType = {
  authentication: 0x52,
  backendKeyData: 0x4b,
  bindComplete: 0x32,
  closeComplete: 0x33,
  commandComplete: 0x43,
  copyBothResponse: 0x57,
  copyData: 0x64,
  copyDone: 0x63,
  copyInResponse: 0x47,
  copyOutResponse: 0x48,
  dataRow: 0x44,
  emptyQueryResponse: 0x49,
  errorResponse: 0x45,
  functionCallResponse: 0x56,
  noData: 0x6e,
  noticeResponse: 0x4e,
  notificationResponse: 0x41,
  parameterDescription: 0x74,
  parameterStatus: 0x53,
  parseComplete: 0x31,
  portalSuspended: 0x73,
  readyForQuery: 0x5a,
  rowDescription: 0x54,
} as const;

const maxInt32 = 0x7fff_ffff;

/** A length as int32. Throws RangeError above 2³¹−1: a wrapped length would let the tail of a value be read as messages (CVE-2024-27304). */
export function checkedInt32(value: number): number {
  if (!Number.isInteger(value) || value < -0x8000_0000 || value > maxInt32) throw new RangeError(`${value} does not fit an int32`);
  return value;
}

/** A count as unsigned int16 (PostgreSQL reads parameter and column counts so). Throws RangeError above 65,535. */
export function checkedCount(value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff) throw new RangeError(`${value} does not fit an int16`);
  return value;
}

/** Builds one message; every length is checked. */
export class MessageWriter {
  readonly #type: number;
  readonly #parts: Buffer[] = [];
  #length = 4;

  constructor(type: number) {
    this.#type = type;
  }

  bytes(part: Uint8Array): this {
    const buffer = Buffer.isBuffer(part) ? part : Buffer.from(part.buffer, part.byteOffset, part.byteLength);
    this.#parts.push(buffer);
    this.#length = checkedInt32(this.#length + buffer.length);
    return this;
  }

  byte(value: number): this {
    return this.bytes(Buffer.of(value));
  }

  int16(value: number): this {
    const part = Buffer.allocUnsafe(2);
    part.writeInt16BE(value);
    return this.bytes(part);
  }

  count(value: number): this {
    const part = Buffer.allocUnsafe(2);
    part.writeUInt16BE(checkedCount(value));
    return this.bytes(part);
  }

  int32(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeInt32BE(checkedInt32(value));
    return this.bytes(part);
  }

  /** An OID: unsigned. */
  oid(value: number): this {
    const part = Buffer.allocUnsafe(4);
    part.writeUInt32BE(value);
    return this.bytes(part);
  }

  /** A string with its closing NUL. Throws RangeError if it holds a NUL itself. */
  string(text: string): this {
    if (text.includes('\0')) throw new RangeError('a protocol string cannot hold a NUL');
    return this.bytes(Buffer.from(`${text}\0`, 'utf8'));
  }

  finish(): Buffer {
    const head = Buffer.allocUnsafe(headLength);
    head[0] = this.#type;
    head.writeInt32BE(this.#length, 1);
    return Buffer.concat([head, ...this.#parts]);
  }
}

/** Reads the body of one whole message. Every method throws RangeError where the message ends too early. */
export class MessageReader {
  readonly #message: Buffer;
  #position = headLength;

  constructor(message: Buffer) {
    this.#message = message;
  }

  get atEnd(): boolean {
    return this.#position === this.#message.length;
  }

  byte(): number {
    return this.bytes(1)[0]!;
  }

  int16(): number {
    return this.bytes(2).readInt16BE();
  }

  count(): number {
    return this.bytes(2).readUInt16BE();
  }

  int32(): number {
    return this.bytes(4).readInt32BE();
  }

  oid(): number {
    return this.bytes(4).readUInt32BE();
  }

  bytes(length: number): Buffer {
    const end = this.#position + length;
    if (length < 0 || end > this.#message.length) throw new RangeError('message ends too early');
    const part = this.#message.subarray(this.#position, end);
    this.#position = end;
    return part;
  }

  /** A string's bytes without its closing NUL. */
  stringBytes(): Buffer {
    const end = this.#message.indexOf(0, this.#position);
    if (end < 0) throw new RangeError('message ends inside a string');
    const part = this.#message.subarray(this.#position, end);
    this.#position = end + 1;
    return part;
  }

  /** A string as latin1: every byte one character, so that names compare exactly whatever their encoding. */
  name(): string {
    return this.stringBytes().toString('latin1');
  }
}
