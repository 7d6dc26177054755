/** `azure://`, `azure-blob://`, `azure-storage://`: Azure Blob Storage. Loaded in worker processes alone. */
import type { Readable } from 'node:stream';
import type { BlobItem, BlockBlobClient, ContainerClient, ContainerListBlobsOptions } from '@azure/storage-blob';
import { PgPierError } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import type { AzureRequest } from '../azure/errors.ts';
import { attempts } from '../azure/httpClient.ts';
import { silentMilliseconds } from '../outgoing.ts';
import { parseUri } from '../uri.ts';
import { azureBlobError } from './azureErrors.ts';
import { AzureSession } from './azureSession.ts';
import { azureUpload, begunOf, dropBlocks } from './azureUpload.ts';
import { type AzureUri, parseAzureUri } from './azureUri.ts';
import { readBody } from './body.ts';
import { PartWriter } from './partWriter.ts';
import { checkObjectPath } from './path.ts';
import { refusesCredentials } from './refusedCredentials.ts';
import type { OtherCredentials, ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

type Options = { readonly signal?: AbortSignal };

const pageSize = 1000;
/** Azure's limit, in characters. */
const longestName = 1024;
/** Sets of credentials that one request tries after its first: those that an ALTER brought, the second set, and those of one more ALTER. */
const otherSets = 3;

export async function openAzure(uri: AzureUri, trusted: boolean, settings: StorageSettings, others?: OtherCredentials): Promise<Storage> {
  return new AzureStorage(uri, new AzureSession(uri, trusted, settings), settings, others);
}

class AzureStorage implements Storage {
  readonly location: string;
  readonly #settings: StorageSettings;
  readonly #others: OtherCredentials;
  #session: AzureSession;
  /** Those before; requests may be under way in them. */
  readonly #earlier: AzureSession[] = [];
  readonly #endpoint: string;
  /** Prefix of every blob's name here: empty, or with a `/` at its end. */
  readonly #base: string;

  constructor(uri: AzureUri, session: AzureSession, settings: StorageSettings, others: OtherCredentials = async () => false) {
    this.#session = session;
    this.#settings = settings;
    this.#others = others;
    this.#endpoint = new URL(uri.service).origin;
    this.#base = uri.prefix === '' ? '' : `${uri.prefix}/`;
    this.location = `azure://${uri.container}${uri.prefix === '' ? '' : `/${uri.prefix}`}`;
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const name = this.#name(path);
    const request = this.#request('write', path, signal);
    const send = <T>(run: (blob: BlockBlobClient) => Promise<T>) =>
      this.#attempt(request, (container) => run(container.getBlockBlobClient(name)));
    return new PartWriter(azureUpload(send, request, ifAbsent));
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const name = this.#name(path);
    const request = this.#request('read', path, signal);
    if (end !== undefined && end <= start) {
      await this.#send(request, (container) => container.getBlobClient(name).getProperties(abortable(signal)));
      return;
    }
    const get = async (from: number, version: string | undefined) => {
      const conditions = version === undefined ? {} : { conditions: { ifMatch: version } };
      try {
        const count = end === undefined ? undefined : end - from;
        const options = { ...abortable(signal), ...conditions, maxRetryRequests: 0 };
        const answer = await this.#attempt(request, (container) => container.getBlobClient(name).download(from, count, options));
        return { stream: answer.readableStreamBody as Readable, version: answer.etag };
      } catch (error) {
        if ((error as { readonly statusCode?: number }).statusCode === 416) return undefined;
        throw error;
      }
    };
    const toError = (error: unknown) => azureBlobError(isCut(error) ? { code: 'ECONNRESET' } : error, request);
    yield* readBody({ get, start, end, signal, toError, silentMilliseconds, attempts });
  }

  async *list(prefix: string, { after, signal }: Options & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    const request = this.#request('list', undefined, signal);
    let last: Buffer | undefined;
    for await (const { name, properties } of this.#names(prefix, after, request)) {
      // A name that ends in "/" is how consoles draw an empty folder.
      if (name.endsWith('/') || isFolder(properties)) continue;
      const path = name.slice(this.#base.length);
      const bytes = Buffer.from(path);
      if (last && Buffer.compare(last, bytes) >= 0) throw this.#notAzure('a listing out of order');
      last = bytes;
      if (after === undefined || Buffer.compare(bytes, Buffer.from(after)) > 0) yield { path, size: properties.contentLength ?? 0 };
    }
  }

  /** Services older than `startFrom` refuse it or do not know it; then what comes before is fetched too, and left out. */
  async *#names(prefix: string, after: string | undefined, request: AzureRequest): AsyncIterable<BlobItem> {
    const options = { prefix: this.#base + prefix };
    if (after === undefined || after < prefix) return yield* this.#pages(options, request);
    let some = false;
    try {
      for await (const item of this.#pages({ ...options, startFrom: this.#base + after }, request)) {
        some = true;
        yield item;
      }
    } catch (error) {
      if (some || !(error instanceof PgPierError) || !/, HTTP 400\)$/.test(error.message)) throw error;
      yield* this.#pages(options, request);
    }
  }

  async *#pages(options: ContainerListBlobsOptions, request: AzureRequest): AsyncIterable<BlobItem> {
    let token: string | undefined;
    do {
      const settings = { maxPageSize: pageSize, ...(token === undefined ? {} : { continuationToken: token }) };
      const { value: page } = await this.#send(request, (container) =>
        container
          .listBlobsFlat({ ...options, ...abortable(request.signal) })
          .byPage(settings)
          .next(),
      );
      const items: BlobItem[] | undefined = page?.segment?.blobItems;
      if (items === undefined) throw this.#notAzure('no listing');
      for (const item of items) if (item.name.startsWith(options.prefix ?? '')) yield item;
      const next: string | undefined = page.continuationToken || undefined;
      if (next !== undefined && next === token) throw this.#notAzure('a listing without end');
      token = next;
    } while (token !== undefined);
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    const name = this.#name(path);
    const request = this.#request('delete', path, signal);
    try {
      await this.#attempt(request, (container) => container.getBlobClient(name).delete(abortable(signal)));
    } catch (error) {
      if ((error as { readonly code?: string }).code !== 'BlobNotFound') throw azureBlobError(error, request);
    }
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    const request = this.#request('delete', undefined, signal);
    const options = { prefix: this.#base + prefix, includeUncommitedBlobs: true };
    let removed = 0;
    for await (const { name, properties } of this.#pages(options, request)) {
      // What has no committed block has no bytes; and so have empty blobs, and they stay.
      if ((properties.contentLength ?? 0) > 0) continue;
      const dropped = await this.#send(request, async (container) => {
        const blob = container.getBlockBlobClient(name);
        const limited = signal ?? new AbortController().signal;
        if (before !== undefined && (await begun(blob, properties.lastModified, limited)) >= before) return false;
        return await dropBlocks(blob, limited);
      });
      if (dropped) removed += 1;
    }
    return removed;
  }

  renew({ uri, trusted }: StorageTarget): void {
    this.#earlier.push(this.#session);
    this.#session = new AzureSession(parseAzureUri(parseUri(uri), this.#settings), trusted, this.#settings);
  }

  async close(): Promise<void> {
    for (const session of [...this.#earlier, this.#session]) session.close();
  }

  /** A request, and again with others where its credentials are refused: what it sends is in memory as a whole. Throws what the SDK throws. */
  async #attempt<T>(request: AzureRequest, run: (container: ContainerClient) => Promise<T>): Promise<T> {
    for (let left = otherSets; ; left--) {
      const session = this.#session;
      try {
        return await run(session.container);
      } catch (error) {
        if (left === 0 || !refusesCredentials(azureBlobError(error, request))) throw error;
        if (session === this.#session && !(await this.#others())) throw error;
      }
    }
  }

  async #send<T>(request: AzureRequest, run: (container: ContainerClient) => Promise<T>): Promise<T> {
    try {
      return await this.#attempt(request, run);
    } catch (error) {
      throw azureBlobError(error, request);
    }
  }

  #name(path: string): string {
    const name = this.#base + checkObjectPath(path);
    if (name.length > longestName) throw new PgPierError('storageNameTooLong', { path });
    return name;
  }

  #request(operation: string, path: string | undefined, signal: AbortSignal | undefined): AzureRequest {
    return { operation, location: this.location, endpoint: this.#endpoint, ...(path === undefined ? {} : { path }), signal };
  }

  #notAzure(cause: string): PgPierError {
    return new PgPierError('storageProtocol', { endpoint: this.#endpoint, provider: 'Azure Blob Storage', cause });
  }
}

/** When the oldest uncommitted block's upload began. Of others' blocks only the blob's own date tells; without one, they are of now. */
async function begun(blob: BlockBlobClient, modified: Date | undefined, abortSignal: AbortSignal): Promise<Date> {
  const { uncommittedBlocks } = await blob.getBlockList('uncommitted', { abortSignal });
  const known = (uncommittedBlocks ?? []).map(({ name }) => begunOf(name)).filter((date) => date !== undefined);
  return known.sort((a, b) => a.getTime() - b.getTime())[0] ?? modified ?? new Date();
}

/** Accounts with folders (hierarchical namespace) list them as empty blobs. */
function isFolder(properties: BlobItem['properties']): boolean {
  return (properties as { readonly resourceType?: string; readonly ResourceType?: string }).ResourceType === 'directory';
}

/** The SDK's stream tells in its own words, without a code, that a connection broke off. */
function isCut(error: unknown): boolean {
  if (!(error instanceof Error) || error instanceof PgPierError || !['Error', 'AbortError'].includes(error.name)) return false;
  return !('code' in error) && !('statusCode' in error);
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
