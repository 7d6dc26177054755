/**
 * Reads what a backend sends in answer to `COPY … TO STDOUT`: hops from header to header and closes the gaps between the rows in place, so that
 * rows leave in runs as long as a chunk. Pure: bytes in, calls out; any splitting of the bytes gives the same calls.
 */

/** Where the rows go. PostgreSQL sends one CopyData per row; `CopyOutReader` counts them so that the caller can hold it to that. */
export interface RowSink {
  /** Bytes of one or more rows. They are the sink's only during the call. */
  payload(chunk: Buffer, from: number, to: number): void;
  /** A row of `bytes` bytes is complete; true when `cut` must be called before the next one's bytes. */
  endRow(bytes: number): boolean;
  cut(): void;
}

/** Any message but CopyData, whole: its type byte and its body. */
export type OnMessage = (type: number, body: Buffer) => void;

const COPY_DATA = 0x64;
/** An ErrorResponse or notice may quote a whole row; more than this is not PostgreSQL. */
const MAX_MESSAGE = 64 * 1024 * 1024;

export class CopyOutReader {
  /** CopyData messages that are complete. */
  rows = 0;
  readonly #sink: RowSink;
  readonly #onMessage: OnMessage;
  readonly #header = Buffer.alloc(5);
  #headerBytes = 0;
  /** What is still to come of the message begun; -1 between messages. */
  #left = -1;
  #type = 0;
  #rowBytes = 0;
  #body: Buffer[] = [];

  constructor(sink: RowSink, onMessage: OnMessage) {
    this.#sink = sink;
    this.#onMessage = onMessage;
  }

  /**
   * Takes the next bytes. The chunk is overwritten.
   * @throws RangeError when the bytes cannot be the protocol
   */
  read(chunk: Buffer): void {
    const end = chunk.length;
    let at = 0;
    let runFrom = 0;
    let runTo = 0;
    while (true) {
      if (this.#left < 0) {
        let length: number;
        if (this.#headerBytes === 0 && end - at >= 5) {
          this.#type = chunk[at]!;
          length = (chunk[at + 1]! * 0x1000000 + ((chunk[at + 2]! << 16) | (chunk[at + 3]! << 8) | chunk[at + 4]!)) | 0;
          at += 5;
        } else {
          while (at < end && this.#headerBytes < 5) this.#header[this.#headerBytes++] = chunk[at++]!;
          if (this.#headerBytes < 5) break;
          this.#type = this.#header[0]!;
          length = this.#header.readInt32BE(1);
          this.#headerBytes = 0;
        }
        if (length < 4 || (this.#type !== COPY_DATA && length > MAX_MESSAGE)) throw new RangeError(`message of length ${length}`);
        this.#left = length - 4;
        this.#rowBytes = length - 4;
      }
      const taken = Math.min(this.#left, end - at);
      if (this.#type === COPY_DATA) {
        if (at !== runTo) chunk.copyWithin(runTo, at, at + taken);
        runTo += taken;
      } else {
        this.#body.push(Buffer.from(chunk.subarray(at, at + taken)));
      }
      at += taken;
      this.#left -= taken;
      if (this.#left > 0) break;
      this.#left = -1;
      if (this.#type === COPY_DATA) {
        this.rows++;
        if (this.#sink.endRow(this.#rowBytes)) {
          this.#sink.payload(chunk, runFrom, runTo);
          runFrom = runTo;
          this.#sink.cut();
        }
      } else {
        const body = this.#body.length === 1 ? this.#body[0]! : Buffer.concat(this.#body);
        this.#body = [];
        // Rows in front of the message go first.
        if (runTo > runFrom) this.#sink.payload(chunk, runFrom, runTo);
        runFrom = runTo;
        this.#onMessage(this.#type, body);
      }
    }
    if (runTo > runFrom) this.#sink.payload(chunk, runFrom, runTo);
  }
}
