/** Rows of COPY to the blocks of files: filled to 1 MiB, compressed, hashed; a new file when one is large enough, at a row's end. */
import { createHash, type Hash } from 'node:crypto';
import { compressBlock, MAX_BLOCK } from '../../formats/zstdFrames.ts';
import type { RowSink } from '../transfer/copyOut.ts';

/** A file that is complete. */
export interface FileSummary {
  readonly rows: number;
  /** Before compression. */
  readonly rawBytes: number;
  /** As stored. */
  readonly bytes: number;
  /** Of the stored bytes, hex. */
  readonly sha256: string;
}

export interface BlockSink {
  /** The next block of the file that is being written. The bytes are the sink's, in a buffer of their own. */
  block(bytes: Buffer): void;
  /** The file ends; the next block is another's. */
  endFile(summary: FileSummary): void;
}

/** Stored bytes after which a file ends. S3 grows the parts of an upload when it is larger, and so the memory that they take. */
const LARGEST_FILE = 8 * 1024 * 1024 * 1024;

export class CopyBlocks implements RowSink {
  readonly #sink: BlockSink;
  readonly #largestFile: number;
  readonly #raw = Buffer.allocUnsafeSlow(MAX_BLOCK);
  #filled = 0;
  #file: { hash: Hash; rows: number; rawBytes: number; bytes: number } | undefined;

  constructor(sink: BlockSink, largestFile = LARGEST_FILE) {
    this.#sink = sink;
    this.#largestFile = largestFile;
  }

  payload(chunk: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to) {
      const taken = Math.min(to - at, MAX_BLOCK - this.#filled);
      chunk.copy(this.#raw, this.#filled, at, at + taken);
      this.#filled += taken;
      at += taken;
      if (this.#filled === MAX_BLOCK) this.#flush();
    }
  }

  endRow(): boolean {
    this.#open().rows++;
    return this.#file!.bytes >= this.#largestFile;
  }

  cut(): void {
    this.end();
  }

  /** Ends the file, if there is one: no rows, no file. */
  end(): void {
    if (this.#file === undefined) return;
    if (this.#filled > 0) this.#flush();
    const { hash, rows, rawBytes, bytes } = this.#file;
    this.#file = undefined;
    this.#sink.endFile({ rows, rawBytes, bytes, sha256: hash.digest('hex') });
  }

  #open() {
    this.#file ??= { hash: createHash('sha256'), rows: 0, rawBytes: 0, bytes: 0 };
    return this.#file;
  }

  #flush(): void {
    const file = this.#open();
    const block = compressBlock(this.#raw.subarray(0, this.#filled));
    file.hash.update(block);
    file.rawBytes += this.#filled;
    file.bytes += block.length;
    this.#filled = 0;
    this.#sink.block(block);
  }
}
