/** Files of a backup on the storage. */
import { createHash } from 'node:crypto';
import type { Storage, StorageWriter } from '../../external/storage/storage.ts';
import { compressBlocks } from '../../formats/zstdFrames.ts';
import type { StoredFile } from './manifest.ts';

/** Writes a text, in zstd blocks if the path says so. */
export async function storeText(storage: Storage, folder: string, path: string, text: string, signal: AbortSignal): Promise<StoredFile> {
  const raw = Buffer.from(text);
  const hash = createHash('sha256');
  let bytes = 0;
  const writer = await storage.write(`${folder}/${path}`, { signal });
  try {
    for (const block of path.endsWith('.zst') ? compressBlocks(raw) : [raw]) {
      hash.update(block);
      bytes += block.length;
      await writer.write(block);
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  return { path, bytes, sha256: hash.digest('hex') };
}

/**
 * Takes blocks as they come and writes them in order; the producer is told when too much waits. The first block of a file opens it.
 */
export class BlockWriter {
  readonly #open: () => Promise<StorageWriter>;
  readonly #onPressure: (high: boolean) => void;
  #writer: Promise<StorageWriter> | undefined;
  #work: Promise<void> = Promise.resolve();
  #waiting = 0;
  #high = false;
  #failure: { readonly error: unknown } | undefined;

  /** `onPressure` true: produce no more until it says false. */
  constructor(open: () => Promise<StorageWriter>, onPressure: (high: boolean) => void) {
    this.#open = open;
    this.#onPressure = onPressure;
  }

  write(block: Buffer): void {
    this.#waiting += block.length;
    if (!this.#high && this.#waiting > HIGH) {
      this.#high = true;
      this.#onPressure(true);
    }
    this.#then(async () => {
      this.#writer ??= this.#open();
      await (await this.#writer).write(block);
      this.#waiting -= block.length;
      if (this.#high && this.#waiting < LOW) {
        this.#high = false;
        this.#onPressure(false);
      }
    });
  }

  /** The file ends; the next block opens another. */
  endFile(done: () => void): void {
    this.#then(async () => {
      await (await this.#writer)?.finish();
      // Kept until then: a file that could not be finished is still to be aborted.
      this.#writer = undefined;
      done();
    });
  }

  /** Rejects with what failed first. */
  async settled(): Promise<void> {
    await this.#work;
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async abort(): Promise<void> {
    this.#failure ??= { error: new Error('aborted') };
    await this.#work;
    await (await this.#writer?.catch(() => undefined))?.abort();
  }

  #then(step: () => Promise<void>): void {
    this.#work = this.#work.then(async () => {
      if (this.#failure !== undefined) return;
      try {
        await step();
      } catch (error) {
        this.#failure = { error };
        this.#onFailure?.(error);
      }
    });
  }

  #onFailure: ((error: unknown) => void) | undefined;

  /** Called once, when a write fails, so that the producer does not go on for nothing. */
  set onFailure(listener: (error: unknown) => void) {
    this.#onFailure = listener;
  }
}

const HIGH = 4 * 1024 * 1024;
const LOW = 2 * 1024 * 1024;
