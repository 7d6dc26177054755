/**
 * One object on its way to S3. Up to one part it is a single PUT, more is a multipart upload; both become visible at the end only.
 * Memory: the parts in flight and the one being filled.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AbortMultipartUploadCommand,
  type CompletedPart,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { PgPierError } from '../../errors.ts';
import { type S3Request, s3Error } from './s3Errors.ts';
import type { StorageWriter } from './storage.ts';

const mebibyte = 1024 * 1024;
const partsInFlight = 2;
const mostParts = 10_000;
/** What the clean-up after a failure may take. */
const abortMilliseconds = 10_000;

/**
 * Parts are of one size as long as possible, since some stores (R2) insist on it; a file beyond 31 GiB would run out of part numbers and gets
 * larger ones, up to 406 GiB in all.
 */
function partSize(part: number): number {
  return part <= 4000 ? 8 * mebibyte : 64 * mebibyte;
}

export interface S3Object {
  readonly client: S3Client;
  readonly bucket: string;
  readonly key: string;
  /** Whether parts carry checksums; the upload must then be begun with the algorithm's name. */
  readonly checksums: boolean;
  /** Encryption and storage class. */
  readonly headers: Readonly<Record<string, string>>;
  readonly request: S3Request;
}

type State =
  | { readonly kind: 'open' }
  | { readonly kind: 'failed'; readonly error: PgPierError }
  | { readonly kind: 'finished' }
  | { readonly kind: 'aborted' };

export class S3Writer implements StorageWriter {
  readonly #object: S3Object;
  readonly #target: { readonly Bucket: string; readonly Key: string };
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  #state: State = { kind: 'open' };
  #filling: Buffer[] = [];
  #filled = 0;
  #upload: Promise<string> | undefined;
  readonly #parts: CompletedPart[] = [];
  #nextPart = 1;
  readonly #inFlight = new Set<Promise<void>>();

  constructor(object: S3Object) {
    this.#object = object;
    this.#target = { Bucket: object.bucket, Key: object.key };
    const given = object.request.signal;
    this.#signal = given ? AbortSignal.any([given, this.#stop.signal]) : this.#stop.signal;
  }

  async write(chunk: Buffer): Promise<void> {
    this.#requireOpen();
    let rest = chunk;
    // A part leaves when more follows: an object of exactly one part is a single PUT.
    while (this.#filled + rest.length > partSize(this.#nextPart)) {
      const head = rest.subarray(0, partSize(this.#nextPart) - this.#filled);
      rest = rest.subarray(head.length);
      this.#keep(head);
      await this.#sendPart();
    }
    this.#keep(rest);
  }

  async finish(): Promise<void> {
    this.#requireOpen();
    try {
      if (this.#upload === undefined) await this.#put();
      else await this.#complete(await this.#upload);
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
    const id = await this.#upload?.catch(() => undefined);
    if (id === undefined) return;
    await this.#remove(id, wasCut || settled === 'late');
  }

  /**
   * A part that was cut off may still be on its way inside the server and outlive the abort: Amazon's own advice is to repeat it until no part
   * is left. What stays even so is left to `removePartial`; there is nobody to tell.
   */
  async #remove(id: string, wasCut: boolean): Promise<void> {
    const upload = { ...this.#target, UploadId: id };
    const abortSignal = AbortSignal.timeout(abortMilliseconds);
    const pass = () => this.#object.client.send(new AbortMultipartUploadCommand(upload), { abortSignal }).then(() => undefined, codeOf);
    let left = wasCut ? 3 : 1;
    for (let wait = 200; left > 0 && !abortSignal.aborted; wait *= 2) {
      const refusal = await pass();
      if (refusal === 'AccessDenied') return;
      if (refusal === undefined || refusal === 'NoSuchUpload') left -= 1;
      if (left > 0) await sleep(wait, undefined, { signal: abortSignal }).catch(() => {});
    }
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

  async #sendPart(): Promise<void> {
    const number = this.#nextPart++;
    if (number > mostParts) throw this.#fail(new PgPierError('storageTooLarge', { location: this.#object.request.location }));
    // Without the signal: an answer that is not waited for would leave an upload whose id nobody knows.
    this.#upload ??= this.#begin();
    let id: string;
    try {
      id = await this.#upload;
    } catch (error) {
      throw this.#fail(error);
    }
    this.#requireOpen();
    const sending: Promise<void> = this.#uploadPart(id, number, this.#take())
      .catch((error: unknown) => void this.#fail(error))
      .finally(() => this.#inFlight.delete(sending));
    this.#inFlight.add(sending);
    if (this.#inFlight.size >= partsInFlight) await Promise.race(this.#inFlight);
    this.#requireOpen();
  }

  async #begin(): Promise<string> {
    const checksum = this.#object.checksums ? { ChecksumAlgorithm: 'CRC32' as const } : {};
    const command = new CreateMultipartUploadCommand({ ...this.#target, ...this.#object.headers, ...checksum });
    const { UploadId } = await this.#object.client.send(command);
    if (!UploadId) throw this.#notS3('no UploadId');
    return UploadId;
  }

  async #uploadPart(id: string, number: number, body: Buffer): Promise<void> {
    const command = new UploadPartCommand({ ...this.#target, UploadId: id, PartNumber: number, Body: body });
    const sent = await this.#object.client.send(command, { abortSignal: this.#signal });
    if (!sent.ETag) throw this.#notS3('no ETag');
    const part: CompletedPart = { PartNumber: number, ETag: sent.ETag };
    if (sent.ChecksumCRC32) part.ChecksumCRC32 = sent.ChecksumCRC32;
    this.#parts.push(part);
  }

  async #put(): Promise<void> {
    const command = new PutObjectCommand({ ...this.#target, ...this.#object.headers, Body: this.#take() });
    const sent = await this.#object.client.send(command, { abortSignal: this.#signal });
    if (!sent.ETag) throw this.#notS3('no ETag');
  }

  async #complete(id: string): Promise<void> {
    if (this.#filled > 0) await this.#sendPart();
    await Promise.all(this.#inFlight);
    this.#requireOpen();
    const parts = this.#parts.sort((a, b) => a.PartNumber! - b.PartNumber!);
    const command = new CompleteMultipartUploadCommand({ ...this.#target, UploadId: id, MultipartUpload: { Parts: parts } });
    await this.#object.client.send(command, { abortSignal: this.#signal });
  }

  #requireOpen(): void {
    if (this.#state.kind === 'failed') throw this.#state.error;
    if (this.#state.kind !== 'open') throw new PgPierError('storageCanceled', { location: this.#object.request.location });
  }

  /** The first error is the one that is told; those after it are its echoes. */
  #fail(error: unknown): PgPierError {
    if (this.#state.kind === 'failed') return this.#state.error;
    const told = s3Error(error, { ...this.#object.request, signal: this.#signal });
    if (this.#state.kind === 'open') {
      this.#state = { kind: 'failed', error: told };
      this.#stop.abort();
    }
    return told;
  }

  #notS3(cause: string): PgPierError {
    return new PgPierError('storageProtocol', { endpoint: this.#object.request.endpoint, provider: 'S3', cause });
  }
}

function codeOf(error: unknown): string {
  return String((error as { readonly name?: unknown }).name);
}
