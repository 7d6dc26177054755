/** `s3://`: Amazon S3 and the many stores that speak its protocol. Loaded in worker processes alone. */
import type { Readable } from 'node:stream';
import {
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  type ListMultipartUploadsCommandOutput,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  S3Client,
  type S3ClientConfig,
} from '@aws-sdk/client-s3';
import { PgPierError } from '../../errors.ts';
import { attempts, type KeyProvider, keyProvider, requestHandler, silentMilliseconds } from '../aws/awsAccess.ts';
import { orAborted } from '../aws/orAborted.ts';
import { type Egress, openEgress } from '../egress.ts';
import { readBody } from './body.ts';
import { PartWriter } from './partWriter.ts';
import { checkObjectPath } from './path.ts';
import { type S3Request, s3Error } from './s3Errors.ts';
import { s3Upload } from './s3Upload.ts';
import type { S3Uri } from './s3Uri.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject } from './storage.ts';

const regionMilliseconds = 5_000;
/** Where to ask for the region of a bucket or, for stores that have none, for everything. */
const anyRegion = 'us-east-1';
/** Amazon's limit, in bytes of UTF-8. */
const longestKey = 1024;

type Options = { readonly signal?: AbortSignal };

export async function openS3(uri: S3Uri, trusted: boolean, settings: StorageSettings): Promise<Storage> {
  const egress = openEgress({ trusted, allowedNetworks: settings.allowedNetworks }, { skipVerify: uri.skipTlsVerify });
  return new S3Storage(uri, egress, `pgpier-${settings.nodeId}`);
}

class S3Storage implements Storage {
  readonly location: string;
  readonly #uri: S3Uri;
  readonly #egress: Egress;
  readonly #keys: KeyProvider;
  readonly #endpoint: string;
  /** Key prefix of everything here: empty, or with a `/` at its end. */
  readonly #base: string;
  #client: Promise<S3Client> | undefined;

  constructor(uri: S3Uri, egress: Egress, sessionName: string) {
    this.#uri = uri;
    this.#egress = egress;
    this.#keys = keyProvider(uri.access, { region: uri.region ?? anyRegion, endpoint: uri.endpoint, egress, sessionName });
    this.#endpoint = uri.endpoint ?? 'Amazon S3';
    this.#base = uri.prefix === '' ? '' : `${uri.prefix}/`;
    this.location = `s3://${uri.bucket}${uri.prefix === '' ? '' : `/${uri.prefix}`}`;
  }

  async write(path: string, { signal }: Options = {}): Promise<StorageWriter> {
    const key = this.#key(path);
    const request = this.#request('write', path, signal);
    const client = await this.#open(request);
    const checksums = !this.#uri.skipChecksum;
    return new PartWriter(s3Upload({ client, bucket: this.#uri.bucket, key, checksums, headers: this.#writeHeaders(), request }));
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const object = { Bucket: this.#uri.bucket, Key: this.#key(path) };
    const request = this.#request('read', path, signal);
    const client = await this.#open(request);
    if (end !== undefined && end <= start) {
      await send(request, () => client.send(new HeadObjectCommand(object), abortable(signal)));
      return;
    }
    const get = async (from: number, version: string | undefined) => {
      const range = from === 0 && end === undefined ? {} : { Range: `bytes=${from}-${end === undefined ? '' : end - 1}` };
      const unchanged = version === undefined ? {} : { IfMatch: version };
      try {
        const { Body, ETag } = await client.send(new GetObjectCommand({ ...object, ...range, ...unchanged }), abortable(signal));
        return { stream: Body as Readable, version: ETag };
      } catch (error) {
        if ((error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode === 416) return undefined;
        throw error;
      }
    };
    yield* readBody({ get, start, end, signal, toError: (error) => s3Error(error, request), silentMilliseconds, attempts });
  }

  async *list(prefix: string, { after, signal }: Options & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    const request = this.#request('list', undefined, signal);
    const client = await this.#open(request);
    let token: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#uri.bucket,
        Prefix: this.#base + prefix,
        // Names may hold what XML cannot.
        EncodingType: 'url',
        ...(after === undefined ? {} : { StartAfter: this.#base + after }),
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page: ListObjectsV2CommandOutput = await send(request, () => client.send(command, abortable(signal)));
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
    const command = new DeleteObjectCommand({ Bucket: this.#uri.bucket, Key: this.#key(path) });
    const request = this.#request('delete', path, signal);
    const client = await this.#open(request);
    try {
      await client.send(command, abortable(signal));
    } catch (error) {
      if ((error as { name?: unknown }).name !== 'NoSuchKey') throw s3Error(error, request);
    }
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    const request = this.#request('delete', undefined, signal);
    const client = await this.#open(request);
    const Bucket = this.#uri.bucket;
    let removed = 0;
    let marker: { KeyMarker?: string; UploadIdMarker?: string } | undefined = {};
    while (marker !== undefined) {
      const command: ListMultipartUploadsCommand = new ListMultipartUploadsCommand({ Bucket, Prefix: this.#base + prefix, ...marker });
      const page: ListMultipartUploadsCommandOutput = await send(request, () => client.send(command, abortable(signal)));
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (!Key?.startsWith(this.#base + prefix) || !UploadId) continue;
        if (before !== undefined && Initiated !== undefined && Initiated >= before) continue;
        const abort = new AbortMultipartUploadCommand({ Bucket, Key, UploadId });
        await send(request, () => client.send(abort, abortable(signal))).catch(ignoreMissing);
        removed += 1;
      }
      const more: unknown = page.IsTruncated && page.NextKeyMarker && page.NextKeyMarker !== marker.KeyMarker;
      marker = more ? { KeyMarker: page.NextKeyMarker!, UploadIdMarker: page.NextUploadIdMarker ?? '' } : undefined;
    }
    return removed;
  }

  async close(): Promise<void> {
    const client = await this.#client?.catch(() => undefined);
    client?.destroy();
    this.#egress.close();
  }

  /** The client is made at the first request, because the bucket's region may have to be asked for. */
  async #open(request: S3Request): Promise<S3Client> {
    try {
      this.#client ??= this.#connect(request);
      return await this.#client;
    } catch (error) {
      this.#client = undefined;
      throw s3Error(error, request);
    }
  }

  async #connect(request: S3Request): Promise<S3Client> {
    // Here and not at the SDK's first signature, where the signal would not end the wait.
    await orAborted(this.#keys(), request.signal);
    if (this.#uri.region !== undefined) return new S3Client(this.#config(this.#uri.region));
    const client = new S3Client(this.#config(anyRegion));
    const region = await bucketRegion(client, this.#uri.bucket, request);
    return region === undefined || region === anyRegion ? client : new S3Client(this.#config(region));
  }

  #config(region: string): S3ClientConfig {
    const { endpoint, skipChecksum } = this.#uri;
    const checksums = skipChecksum ? 'WHEN_REQUIRED' : 'WHEN_SUPPORTED';
    return {
      region,
      credentials: this.#keys,
      maxAttempts: attempts,
      forcePathStyle: this.#uri.pathStyle,
      requestChecksumCalculation: checksums,
      responseChecksumValidation: checksums,
      requestHandler: requestHandler(this.#egress),
      ...(endpoint === undefined ? {} : { endpoint }),
    };
  }

  #writeHeaders(): Record<string, string> {
    const { encryption, storageClass } = this.#uri;
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

/** S3 names the region in a header of whatever it answers, refusals included; other stores name none, and any region will do. */
async function bucketRegion(client: S3Client, Bucket: string, request: S3Request): Promise<string | undefined> {
  const deadline = AbortSignal.timeout(regionMilliseconds);
  const signal = request.signal ? AbortSignal.any([request.signal, deadline]) : deadline;
  try {
    return (await client.send(new HeadBucketCommand({ Bucket }), { abortSignal: signal })).BucketRegion;
  } catch (error) {
    const response = (error as { $response?: { statusCode?: number; headers?: Record<string, string> } }).$response;
    if (response?.statusCode === undefined) throw s3Error(error, { ...request, signal });
    const region = response.headers?.['x-amz-bucket-region'];
    return region !== undefined && /^[a-z0-9-]{1,63}$/.test(region) ? region : undefined;
  }
}

async function send<T>(request: S3Request, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw s3Error(error, request);
  }
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
