/**
 * The files of one EXPORT: takes rows as the COPY reader finds them, gathers them into blocks, cuts files at row ends, compresses and writes.
 * Bounded: what waits to be written never exceeds a few blocks (`onPressure` stops the source).
 */
import { createGzip, type Gzip } from 'node:zlib';
import { PgPierError } from '../../errors.ts';
import type { Storage, StorageWriter } from '../../external/storage/storage.ts';
import type { ExportedFile } from '../task.ts';
import { ByteSearch } from './byteSearch.ts';
import type { RowSink } from './copyOut.ts';

export interface ExportFilesOptions {
  readonly storage: Storage;
  /** `name(0)`, `name(1)`, … */
  readonly name: (chunk: number) => string;
  readonly compression: 'none' | 'gzip';
  readonly chunkRows: number;
  readonly chunkSize: number;
  /** What COPY writes for NULL where NULL is an error: no data can hold it. */
  readonly nullToken?: Buffer;
  readonly signal: AbortSignal;
  /** True: stop the source; false: go on. */
  readonly onPressure: (high: boolean) => void;
}

type Work = { readonly kind: 'bytes'; readonly block: Buffer } | { readonly kind: 'endFile'; readonly rows: number };

const BLOCK = 256 * 1024;
/** Blocks waiting above this stop the source; at half of it the source goes on. */
const HIGH = 2 * 1024 * 1024;
/** What a waiting block costs beside its bytes. */
const WORK_OVERHEAD = 1024;

export class ExportFiles implements RowSink {
  readonly finished: ExportedFile[] = [];
  readonly #options: ExportFilesOptions;
  readonly #nulls: ByteSearch | undefined;
  #block = Buffer.allocUnsafe(BLOCK);
  #used = 0;
  #fileRows = 0;
  #fileBytes = 0;
  #queue: Work[] = [];
  #queuedBytes = 0;
  #pressure = false;
  #ended = false;
  #wake: () => void = () => {};
  #open: OpenFile | undefined;

  constructor(options: ExportFilesOptions) {
    this.#options = options;
    this.#nulls = options.nullToken && new ByteSearch(options.nullToken);
  }

  payload(chunk: Buffer, from: number, to: number): void {
    let at = from;
    while (at < to) {
      const taken = chunk.copy(this.#block, this.#used, at, to);
      at += taken;
      this.#used += taken;
      if (this.#used === BLOCK) this.#flush();
    }
  }

  endRow(bytes: number): boolean {
    this.#fileRows++;
    this.#fileBytes += bytes;
    return this.#fileRows >= this.#options.chunkRows || this.#fileBytes >= this.#options.chunkSize;
  }

  cut(): void {
    this.#flush();
    this.#push({ kind: 'endFile', rows: this.#fileRows });
    this.#fileRows = 0;
    this.#fileBytes = 0;
  }

  /** No more rows: the last file is cut, and `write` ends when all is on the storage. */
  end(): void {
    if (this.#fileRows > 0) this.cut();
    this.#ended = true;
    this.#wake();
  }

  /** Writes what comes until `end`. @throws PgPierError of the storage, 22004 for a NULL; the signal's reason */
  async write(): Promise<void> {
    const { signal } = this.#options;
    const wake = () => this.#wake();
    signal.addEventListener('abort', wake);
    try {
      while (true) {
        signal.throwIfAborted();
        const work = this.#queue.shift();
        if (work === undefined) {
          if (this.#ended) return;
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          continue;
        }
        if (work.kind === 'bytes') await this.#writeBlock(work.block);
        else await this.#endFile(work.rows);
      }
    } finally {
      signal.removeEventListener('abort', wake);
    }
  }

  /** Takes back everything: the file begun and the files finished. Resolves, at the latest when `deadline` aborts, to the names that may be left. */
  async remove(deadline: AbortSignal): Promise<string[]> {
    const left = new Set(this.finished.map(({ filename }) => filename));
    if (this.#open !== undefined) left.add(this.#open.name);
    const removing = async () => {
      const open = this.#open;
      if (open !== undefined) await open.writer.abort();
      // The file begun too: a `finish` that failed may have happened all the same.
      for (const name of [...left]) {
        if (deadline.aborted) return;
        await this.#options.storage.delete(name, { signal: deadline }).then(
          () => left.delete(name),
          () => {},
        );
      }
    };
    const late = new Promise<void>((resolve) => deadline.addEventListener('abort', () => resolve(), { once: true }));
    await Promise.race([removing(), late]);
    return [...left];
  }

  #flush(): void {
    if (this.#used === 0) return;
    const block = this.#block.subarray(0, this.#used);
    if (this.#used > BLOCK / 2) {
      this.#push({ kind: 'bytes', block });
      this.#block = Buffer.allocUnsafe(BLOCK);
    } else {
      // Small files would else hold a whole block each.
      this.#push({ kind: 'bytes', block: Buffer.from(block) });
    }
    this.#used = 0;
  }

  #push(work: Work): void {
    this.#queue.push(work);
    if (work.kind === 'bytes') this.#queuedBytes += work.block.length + WORK_OVERHEAD;
    if (this.#queuedBytes > HIGH && !this.#pressure) {
      this.#pressure = true;
      this.#options.onPressure(true);
    }
    this.#wake();
  }

  async #writeBlock(block: Buffer): Promise<void> {
    if (this.#nulls?.foundIn(block)) throw new PgPierError('exportNull');
    this.#open ??= await OpenFile.create(this.#options, this.finished.length);
    await this.#open.write(block);
    this.#queuedBytes -= block.length + WORK_OVERHEAD;
    if (this.#pressure && this.#queuedBytes <= HIGH / 2) {
      this.#pressure = false;
      this.#options.onPressure(false);
    }
  }

  async #endFile(rows: number): Promise<void> {
    const file = this.#open!;
    await file.finish();
    this.finished.push({ filename: file.name, rows, bytes: file.bytes });
    this.#open = undefined;
  }
}

/** One file being written, compressed or not. */
class OpenFile {
  readonly name: string;
  readonly writer: StorageWriter;
  bytes = 0;
  readonly #gzip: Gzip | undefined;
  #compressed: Buffer[] = [];
  #failure: Error | undefined;

  static async create(options: ExportFilesOptions, chunk: number): Promise<OpenFile> {
    const name = options.name(chunk);
    return new OpenFile(name, await options.storage.write(name, { signal: options.signal }), options.compression);
  }

  constructor(name: string, writer: StorageWriter, compression: 'none' | 'gzip') {
    this.name = name;
    this.writer = writer;
    if (compression === 'gzip') {
      this.#gzip = createGzip({ chunkSize: 64 * 1024 });
      this.#gzip.on('data', (chunk: Buffer) => this.#compressed.push(chunk));
      this.#gzip.on('error', (error) => {
        this.#failure = error;
      });
    }
  }

  async write(block: Buffer): Promise<void> {
    if (this.#gzip === undefined) return this.#toWriter(block);
    await new Promise<void>((resolve, reject) => this.#gzip!.write(block, (error) => (error ? reject(error) : resolve())));
    await this.#drain();
  }

  async finish(): Promise<void> {
    if (this.#gzip !== undefined) {
      await new Promise<void>((resolve, reject) => this.#gzip!.once('end', resolve).once('error', reject).end());
      await this.#drain();
    }
    await this.writer.finish();
  }

  async #drain(): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    const chunks = this.#compressed;
    this.#compressed = [];
    for (const chunk of chunks) await this.#toWriter(chunk);
  }

  async #toWriter(bytes: Buffer): Promise<void> {
    this.bytes += bytes.length;
    await this.writer.write(bytes);
  }
}
