/** `s3://`: Amazon S3 and the many stores that speak its protocol. Loaded in worker processes alone. */
import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  type S3Client,
} from '@aws-sdk/client-s3';
import { PgPierError } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { attempts, silentMilliseconds } from '../aws/awsAccess.ts';
import { parseUri } from '../uri.ts';
import { readBody } from './body.ts';
import { PartWriter } from './partWriter.ts';
import { checkObjectPath } from './path.ts';
import { refusesCredentials } from './refusedCredentials.ts';
import { type S3Request, s3Error } from './s3Errors.ts';
import { S3Session } from './s3Session.ts';
import { s3Upload } from './s3Upload.ts';
import { parseS3Uri, type S3Uri } from './s3Uri.ts';
import type { OtherCredentials, ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

/** Amazon's limit, in bytes of UTF-8. */
const longestKey = 1024;
/** Sets of credentials that one request tries after its first: those that an ALTER brought, the second set, and those of one more ALTER. */
const otherSets = 3;

type Options = { readonly signal?: AbortSignal };

export async function openS3(uri: S3Uri, trusted: boolean, settings: StorageSettings, others?: OtherCredentials): Promise<Storage> {
  return new S3Storage(new S3Session(uri, trusted, settings), settings, others);
}

class S3Storage implements Storage {
  readonly location: string;
  readonly #settings: StorageSettings;
  readonly #others: OtherCredentials | undefined;
  #session: S3Session;
  /** Those before; requests may be under way in them. */
  readonly #earlier: S3Session[] = [];
  readonly #endpoint: string;
  /** Key prefix of everything here: empty, or with a `/` at its end. */
  readonly #base: string;

  constructor(session: S3Session, settings: StorageSettings, others: OtherCredentials | undefined) {
    this.#session = session;
    this.#settings = settings;
    this.#others = others;
    const { uri } = session;
    this.#endpoint = uri.endpoint ?? 'Amazon S3';
    this.#base = uri.prefix === '' ? '' : `${uri.prefix}/`;
    this.location = `s3://${uri.bucket}${uri.prefix === '' ? '' : `/${uri.prefix}`}`;
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const key = this.#key(path);
    const request = this.#request('write', path, signal);
    // What cannot be reached is told here.
    await this.#attempt(request, async () => {});
    const { bucket, skipChecksum } = this.#session.uri;
    const send = <T>(run: (client: S3Client) => Promise<T>) => this.#attempt(request, run);
    return new PartWriter(s3Upload({ send, bucket, key, checksums: !skipChecksum, headers: this.#writeHeaders(), ifAbsent, request }));
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const object = { Bucket: this.#session.uri.bucket, Key: this.#key(path) };
    const request = this.#request('read', path, signal);
    if (end !== undefined && end <= start) {
      await this.#send(request, (client) => client.send(new HeadObjectCommand(object), abortable(signal)));
      return;
    }
    const get = async (from: number, version: string | undefined) => {
      const range = from === 0 && end === undefined ? {} : { Range: `bytes=${from}-${end === undefined ? '' : end - 1}` };
      const unchanged = version === undefined ? {} : { IfMatch: version };
      const command = new GetObjectCommand({ ...object, ...range, ...unchanged });
      try {
        const answer = await this.#attempt(request, (client) => client.send(command, abortable(signal)));
        // Whoever answers with another range would have its bytes taken for those that were asked for.
        if (from > 0 && !answer.ContentRange?.startsWith(`bytes ${from}-`)) throw this.#notS3('another range');
        return { stream: answer.Body as Readable, version: answer.ETag };
      } catch (error) {
        if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 416) return undefined;
        throw error;
      }
    };
    yield* readBody({ get, start, end, signal, toError: (error) => s3Error(error, request), silentMilliseconds, attempts });
  }

  async *list(prefix: string, { after, signal }: Options & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    const request = this.#request('list', undefined, signal);
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#session.uri.bucket,
        Prefix: this.#base + prefix,
        // Names may hold what XML cannot.
        EncodingType: 'url',
        ...(after === undefined ? {} : { StartAfter: this.#base + after }),
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page: ListObjectsV2CommandOutput = await this.#send(request, (client) => client.send(command, abortable(signal)));
      if (page.IsTruncated === undefined) throw this.#notS3('no listing');
      for (const { Key, Size } of page.Contents ?? []) {
        const key = page.EncodingType === 'url' ? decodeKey(Key ?? '') : (Key ?? '');
        // A key that ends in "/" is how consoles draw an empty folder.
        if (key.startsWith(this.#base) && !key.endsWith('/')) yield { path: key.slice(this.#base.length), size: Size ?? 0 };
      }
      const next = page.IsTruncated ? page.NextContinuationToken : undefined;
      if (page.IsTruncated && (next === undefined || next === token)) throw this.#notS3('a listing without end');
      token = next;
    } while (token !== undefined);
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#session.uri.bucket, Key: this.#key(path) });
    const request = this.#request('delete', path, signal);
    try {
      await this.#attempt(request, (client) => client.send(command, abortable(signal)));
    } catch (error) {
      if ((error as { name?: unknown }).name !== 'NoSuchKey') throw s3Error(error, request);
    }
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    const request = this.#request('delete', undefined, signal);
    const Bucket = this.#session.uri.bucket;
    let removed = 0;
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker !== undefined) {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({ Bucket, Prefix: this.#base + prefix, ...marker });
      const page: ListMultipartUploadsCommandOutput = await this.#send(request, (client) => client.send(command, abortable(signal)));
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (!Key?.startsWith(this.#base + prefix) || !UploadId) continue;
        if (before !== undefined && Initiated !== undefined && Initiated >= before) continue;
        const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
        await this.#send(request, (client) => client.send(abort, abortable(signal))).catch(ignoreMissing);
        removed += 1;
      }
      const more: unknown = page.IsTruncated && page.NextKeyMarker && page.NextKeyMarker !== marker.KeyMarker;
      marker = more ? { KeyMarker: page.NextKeyMarker!, UploadIdMarker: page.NextUploadIdMarker ?? '' } : undefined;
    }
    return removed;
  }

  renew({ uri, trusted }: StorageTarget): void {
    this.#earlier.push(this.#session);
    this.#session = new S3Session(parseS3Uri(parseUri(uri), this.#settings), trusted, this.#settings);
  }

  async close(): Promise<void> {
    for (const session of [...this.#earlier, this.#session]) await session.close();
  }

  /** A request, and again with others where its credentials are refused: what it sends is in memory as a whole. Throws what the SDK throws. */
  async #attempt<T>(request: S3Request, run: (client: S3Client) => Promise<T>): Promise<T> {
    for (let left = otherSets; ; left--) {
      const session = this.#session;
      try {
        return await run(await session.open(request));
      } catch (error) {
        if (left === 0 || this.#others === undefined || !(await isRefusal(error, session, request))) throw error;
        if (session === this.#session && !(await this.#others())) throw error;
      }
    }
  }

  async #send<T>(request: S3Request, run: (client: S3Client) => Promise<T>): Promise<T> {
    try {
      return await this.#attempt(request, run);
    } catch (error) {
      throw s3Error(error, request);
    }
  }

  #writeHeaders(): Record<string, string> {
    const { encryption, storageClass } = this.#session.uri;
    return {
      ...(encryption ? { ServerSideEncryption: encryption.mode } : {}),
      ...(encryption?.mode === 'aws:kms' ? { SSEKMSKeyId: encryption.keyId } : {}),
      ...(storageClass === undefined ? {} : { StorageClass: storageClass }),
    };
  }

  #key(path: string): string {
    const key = this.#base + checkObjectPath(path);
    if (Buffer.byteLength(key) > longestKey) throw new PgPierError('storageNameTooLong', { path });
    return key;
  }

  #request(operation: S3Request['operation'], path: string | undefined, signal: AbortSignal | undefined): S3Request {
    return { operation, location: this.location, endpoint: this.#endpoint, ...(path === undefined ? {} : { path }), signal };
  }

  #notS3(cause: string): PgPierError {
    return new PgPierError('storageProtocol', { endpoint: this.#endpoint, provider: 'S3', cause });
  }
}

/**
 * Some servers (Ceph) refuse an upload and close the connection while its bytes are still on their way: the answer is lost, and what is left is a broken
 * pipe. A request without a body tells what it was.
 */
async function isRefusal(error: unknown, session: S3Session, request: S3Request): Promise<boolean> {
  const { code } = error as { readonly code?: unknown };
  const wasCut = (code === 'ECONNRESET' || code === 'EPIPE') && !request.signal?.aborted;
  return refusesCredentials(s3Error(error, request)) || (wasCut && (await session.isRefused(request)));
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** Form encoding: a blank is `+`, as in a query. */
function decodeKey(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '));
  } catch {
    return text;
  }
}

/** An upload that somebody else removed meanwhile is removed. */
function ignoreMissing(error: unknown): void {
  if (error instanceof PgPierError && error.message.includes('NoSuchUpload')) return;
  throw error;
}
