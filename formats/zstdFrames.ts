/**
 * Files of zstd frames that Node can read again. Each block of at most 1 MiB is a frame of its own, with content size and checksum, and in front of
 * it stands a skippable frame of 16 bytes: magic 0x184D2A50, the length 8, then the frame's compressed and its raw length (all u32, little endian).
 * Every zstd tool reads such a file as one stream (RFC 8878, 3.1.2: skippable frames are skipped).
 *
 * Why not one stream: Node 24's zstdDecompressSync and createZstdDecompress stop after the first frame of several, the first of them without an error,
 * and a single frame cannot be checked before its end. With the lengths in front, each frame is cut out, decoded alone and measured.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { PgPierError } from '../errors.ts';

/** Bytes of a block before compression, at most. Bounds a reader's memory, whatever a file says. */
export const MAX_BLOCK = 1024 * 1024;

const SKIPPABLE_MAGIC = 0x184d2a50;
const ZSTD_MAGIC = 0xfd2fb528;
const HEADER = 16;
/** ZSTD_COMPRESSBOUND(MAX_BLOCK) and the checksum, rounded up. */
const MAX_FRAME = MAX_BLOCK + 8 * 1024;

/**
 * One block as it stands in a file: the skippable frame and the zstd frame. Blocks may end anywhere in the data. A file without data holds one empty
 * block, since zstd takes a file of no bytes for a truncated one.
 * @throws RangeError when the block is larger than MAX_BLOCK
 */
export function compressBlock(raw: Buffer, level = 1): Buffer {
  if (raw.length > MAX_BLOCK) throw new RangeError(`a block of ${raw.length} bytes`);
  const frame = zstdCompressSync(raw, {
    // The whole output at once: the default of 16 KiB costs a call for each.
    chunkSize: 256 * 1024,
    params: { [constants.ZSTD_c_compressionLevel]: level, [constants.ZSTD_c_checksumFlag]: 1, [constants.ZSTD_c_contentSizeFlag]: 1 },
  });
  // Of its own, not a piece of a pool, so that it can be transferred to another thread.
  const block = Buffer.allocUnsafeSlow(HEADER + frame.length);
  block.writeUInt32LE(SKIPPABLE_MAGIC, 0);
  block.writeUInt32LE(8, 4);
  block.writeUInt32LE(frame.length, 8);
  block.writeUInt32LE(raw.length, 12);
  frame.copy(block, HEADER);
  return block;
}

/** The blocks of a file that holds `raw`: for texts that are in memory anyway. */
export function* compressBlocks(raw: Buffer, level = 1): Generator<Buffer> {
  let at = 0;
  do {
    yield compressBlock(raw.subarray(at, at + MAX_BLOCK), level);
    at += MAX_BLOCK;
  } while (at < raw.length);
}

/**
 * Reads such a file from chunks cut anywhere. Holds one frame at a time. `path` names the file in errors.
 * @throws PgPierError XX001 `damagedFile`: what is not this format, is cut short, or fails its checksum
 */
export class ZstdFrameReader {
  /** Raw bytes given out so far. */
  rawBytes = 0;
  readonly #path: string;
  readonly #header = Buffer.alloc(HEADER);
  /** Bytes there are of the header, then of the frame. */
  #have = 0;
  #frame: Buffer | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** The blocks that this chunk completes. Each is the caller's to keep. */
  *read(chunk: Buffer): Generator<Buffer> {
    let at = 0;
    while (at < chunk.length) {
      const target = this.#frame ?? this.#header;
      const taken = chunk.copy(target, this.#have, at, at + target.length - this.#have);
      at += taken;
      this.#have += taken;
      if (this.#have < target.length) return;
      this.#have = 0;
      if (this.#frame === undefined) {
        this.#frame = Buffer.allocUnsafe(this.#frameLength());
        continue;
      }
      this.#frame = undefined;
      yield this.#decode(target);
    }
  }

  /** The file ends here. */
  end(): void {
    if (this.#have > 0 || this.#frame !== undefined) throw this.#damaged('it is cut short');
  }

  #frameLength(): number {
    const length = this.#header.readUInt32LE(8);
    const known = this.#header.readUInt32LE(0) === SKIPPABLE_MAGIC && this.#header.readUInt32LE(4) === 8;
    if (!known || length === 0 || length > MAX_FRAME || this.#header.readUInt32LE(12) > MAX_BLOCK) {
      throw this.#damaged('a block does not begin where one must');
    }
    return length;
  }

  #decode(frame: Buffer): Buffer {
    const rawLength = this.#header.readUInt32LE(12);
    if (frame.length < 4 || frame.readUInt32LE(0) !== ZSTD_MAGIC) throw this.#damaged('a block is no zstd frame');
    let raw: Buffer;
    try {
      // One byte more than needed, so that the output is complete after one call.
      raw = zstdDecompressSync(frame, { chunkSize: Math.max(64, rawLength + 1), maxOutputLength: rawLength + 1 });
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw this.#damaged(code === 'ZSTD_error_checksum_wrong' ? 'a checksum is wrong' : 'a block cannot be decompressed');
    }
    if (raw.length !== rawLength) throw this.#damaged('a block is longer or shorter than it says');
    this.rawBytes += rawLength;
    return raw;
  }

  #damaged(reason: string): PgPierError {
    return new PgPierError('damagedFile', { path: this.#path, reason });
  }
}

/** The blocks of a whole file. @throws as ZstdFrameReader, and what the source throws */
export async function* decompressBlocks(path: string, source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const reader = new ZstdFrameReader(path);
  for await (const chunk of source) yield* reader.read(chunk);
  reader.end();
}
