/**
 * One object on its way to a store that takes objects in parts. Up to one part it is a single request, more is an upload in parts; both become
 * visible at the end only. Memory: the parts in flight and the one being filled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { StorageWriter } from './storage.ts';

export const mebibyte = 1024 * 1024;
const partsInFlight = 2;
/** What the clean-up after a failure may take. */
export const abortMilliseconds = 10_000;

/** What a store does with one object. Numbers of parts begin at 1. */
export interface PartUpload {
  /** Where this is, for messages. */
  readonly location: string;
  readonly signal: AbortSignal | undefined;
  readonly mostParts: number;
  /** Whether `send` is done with the body when it resolves, so that its memory may be used again. */
  readonly reusesMemory: boolean;
  /** Bytes of a part that is not the last. */
  partSize(number: number): number;
  /** The whole object in one request. */
  put(body: Buffer, signal: AbortSignal): Promise<void>;
  /** Asked once, before the first part. Without a signal: an answer that is not waited for would leave an upload that nobody knows of. */
  begin(): Promise<void>;
  send(number: number, body: Buffer, signal: AbortSignal): Promise<void>;
  /** All parts are there. */
  complete(signal: AbortSignal): Promise<void>;
  /** Gives the parts up. Never rejects. `wasCut`: one of them may still be on its way inside the server. */
  remove(wasCut: boolean): Promise<void>;
  /** What the store, the SDK or a socket threw, as an error of ours. */
  toError(error: unknown, signal: AbortSignal): PgPierError;
}

/**
 * Parts are of one size as long as possible, since some stores (R2) insist on it; a file beyond 31 GiB would run out of part numbers and gets
 * larger ones.
 */
export function growingPartSize(number: number): number {
  return number <= 4000 ? 8 * mebibyte : 64 * mebibyte;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'failed'; readonly error: PgPierError }
  | { readonly kind: 'finished' }
  | { readonly kind: 'aborted' };

export class PartWriter implements StorageWriter {
  readonly #upload: PartUpload;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #state: State = { kind: 'open' };
  #filling: Buffer[] = [];
  #filled = 0;
  #begun: Promise<void> | undefined;
  #nextPart = 1;
  readonly #inFlight = new Set<Promise<void>>();
  /** Of parts that have arrived. */
  #free: Buffer[] = [];

  constructor(upload: PartUpload) {
    this.#upload = upload;
    this.#signal = upload.signal ? AbortSignal.any([upload.signal, this.#stop.signal]) : this.#stop.signal;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#requireOpen();
    let rest = chunk;
    // A part leaves when more follows: an object of exactly one part is a single request.
    while (this.#filled + rest.length > this.#upload.partSize(this.#nextPart)) {
      const head = rest.subarray(0, this.#upload.partSize(this.#nextPart) - this.#filled);
      rest = rest.subarray(head.length);
      this.#keep(head);
      await this.#sendPart();
    }
    this.#keep(rest);
  }

  async finish(): Promise<void> {
    this.#requireOpen();
    try {
      if (this.#begun === undefined) await this.#upload.put(this.#take(), this.#signal);
      else await this.#complete();
    } catch (error) {
      throw this.#fail(error);
    }
    this.#requireOpen();
    this.#state = { kind: 'finished' };
  }

  async abort(): Promise<void> {
    if (this.#state.kind === 'finished' || this.#state.kind === 'aborted') return;
    this.#state = { kind: 'aborted' };
    this.#filling = [];
    // Parts on their way are waited for, since one that lands after the abort would stay and be paid for.
    const wasCut = this.#signal.aborted;
    const settled = await Promise.race([Promise.allSettled(this.#inFlight), sleep(abortMilliseconds, 'late', { ref: false })]);
    this.#stop.abort();
    const begun = await this.#begun?.then(
      () => true,
      () => false,
    );
    if (begun) await this.#upload.remove(wasCut || settled === 'late');
  }

  #keep(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#filling.push(bytes);
    this.#filled += bytes.length;
  }

  #take(): Buffer {
    const body = this.#filling.length === 1 ? this.#filling[0]! : Buffer.concat(this.#filling, this.#filled);
    this.#filling = [];
    this.#filled = 0;
    return body;
  }

  /** As `take`, into memory that an earlier part has used: fresh memory for each part would be a third of what an upload costs. */
  #takePart(): { readonly body: Buffer; readonly buffer: Buffer } {
    const buffer = this.#free.find(({ length }) => length >= this.#filled) ?? Buffer.allocUnsafeSlow(this.#filled);
    this.#free = this.#free.filter((each) => each !== buffer);
    let at = 0;
    for (const bytes of this.#filling) at += bytes.copy(buffer, at);
    this.#filling = [];
    this.#filled = 0;
    return { body: buffer.subarray(0, at), buffer };
  }

  async #sendPart(): Promise<void> {
    const number = this.#nextPart++;
    if (number > this.#upload.mostParts) throw this.#fail(new PgPierError('storageTooLarge', { location: this.#upload.location }));
    this.#begun ??= this.#upload.begin();
    try {
      await this.#begun;
    } catch (error) {
      throw this.#fail(error);
    }
    this.#requireOpen();
    const { body, buffer } = this.#takePart();
    const sending: Promise<void> = this.#upload
      .send(number, body, this.#signal)
      .then(() => void (this.#upload.reusesMemory && this.#free.push(buffer)))
      .catch((error: unknown) => void this.#fail(error))
      .finally(() => this.#inFlight.delete(sending));
    this.#inFlight.add(sending);
    if (this.#inFlight.size >= partsInFlight) await Promise.race(this.#inFlight);
    this.#requireOpen();
  }

  async #complete(): Promise<void> {
    if (this.#filled > 0) await this.#sendPart();
    await Promise.all(this.#inFlight);
    this.#requireOpen();
    await this.#upload.complete(this.#signal);
  }

  #requireOpen(): void {
    if (this.#state.kind === 'failed') throw this.#state.error;
    if (this.#state.kind !== 'open') throw new PgPierError('storageCanceled', { location: this.#upload.location });
  }

  /** The first error is the one that is told; those after it are its echoes. */
  #fail(error: unknown): PgPierError {
    if (this.#state.kind === 'failed') return this.#state.error;
    const told = this.#upload.toError(error, this.#signal);
    if (this.#state.kind === 'open') {
      this.#state = { kind: 'failed', error: told };
      this.#stop.abort();
    }
    return told;
  }
}
