/** `azure://`, `azure-blob://`, `azure-storage://`: Azure Blob Storage. Loaded in worker processes alone. */
import type { Readable } from 'node:stream';
import {
  type BlobItem,
  type BlockBlobClient,
  ContainerClient,
  type ContainerListBlobsOptions,
  newPipeline,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';
import { PgPierError } from '../../errors.ts';
import { openTokenSource, type TokenSource } from '../azure/credentials.ts';
import type { AzureRequest } from '../azure/errors.ts';
import { attempts, azureHttpClient, silentMilliseconds } from '../azure/httpClient.ts';
import { type Egress, openEgress } from '../egress.ts';
import { storageHttpClient } from './azureClient.ts';
import { azureBlobError } from './azureErrors.ts';
import { azureUpload, begunOf, dropBlocks } from './azureUpload.ts';
import type { AzureUri } from './azureUri.ts';
import { readBody } from './body.ts';
import { PartWriter } from './partWriter.ts';
import { checkObjectPath } from './path.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject } from './storage.ts';

type Options = { readonly signal?: AbortSignal };

/** Tokens for blob services, in every cloud. */
const storageScope = 'https://storage.azure.com/.default';
const pageSize = 1000;

export async function openAzure(uri: AzureUri, trusted: boolean, settings: StorageSettings): Promise<Storage> {
  // A token, unlike a signature, is good for whoever gets it.
  if (uri.credentials.kind === 'implicit' && uri.customEndpoint && !trusted) throw new PgPierError('azureImplicitEndpoint');
  return new AzureStorage(uri, openEgress({ trusted, allowedNetworks: settings.allowedNetworks }));
}

class AzureStorage implements Storage {
  readonly location: string;
  readonly #endpoint: string;
  readonly #egress: Egress;
  readonly #tokens: TokenSource | undefined;
  readonly #container: ContainerClient;
  /** Prefix of every blob's name here: empty, or with a `/` at its end. */
  readonly #base: string;

  constructor({ container, prefix, account, credentials, environment, service }: AzureUri, egress: Egress) {
    this.#egress = egress;
    this.#endpoint = new URL(service).origin;
    this.#base = prefix === '' ? '' : `${prefix}/`;
    this.location = `azure://${container}${prefix === '' ? '' : `/${prefix}`}`;
    this.#tokens = credentials.kind === 'key' ? undefined : openTokenSource(credentials, environment, egress, storageScope);
    const credential = credentials.kind === 'key' ? new StorageSharedKeyCredential(account, credentials.accountKey) : this.#tokens!;
    const pipeline = newPipeline(credential, {
      httpClient: storageHttpClient(azureHttpClient(egress)),
      // The door tries again itself, with jitter.
      retryOptions: { maxTries: 1 },
    });
    this.#container = new ContainerClient(`${service}/${encodeURIComponent(container)}`, pipeline);
  }

  async write(path: string, { signal }: Options = {}): Promise<StorageWriter> {
    return new PartWriter(azureUpload(this.#blob(path), this.#request('write', path, signal)));
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const blob = this.#blob(path);
    const request = this.#request('read', path, signal);
    if (end !== undefined && end <= start) {
      await told(request, () => blob.getProperties(abortable(signal)));
      return;
    }
    const get = async (from: number, version: string | undefined) => {
      const conditions = version === undefined ? {} : { conditions: { ifMatch: version } };
      try {
        const count = end === undefined ? undefined : end - from;
        const answer = await blob.download(from, count, { ...abortable(signal), ...conditions, maxRetryRequests: 0 });
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
      const pages = this.#container
        .listBlobsFlat({ ...options, ...abortable(request.signal) })
        .byPage({ maxPageSize: pageSize, ...(token === undefined ? {} : { continuationToken: token }) });
      const { value: page } = await told(request, () => pages.next());
      const items: BlobItem[] | undefined = page?.segment?.blobItems;
      if (items === undefined) throw this.#notAzure('no listing');
      for (const item of items) if (item.name.startsWith(options.prefix ?? '')) yield item;
      const next: string | undefined = page.continuationToken || undefined;
      if (next !== undefined && next === token) throw this.#notAzure('a listing without end');
      token = next;
    } while (token !== undefined);
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    const request = this.#request('delete', path, signal);
    try {
      await this.#blob(path).delete(abortable(signal));
    } catch (error) {
      const known = azureBlobError(error, request);
      if ((error as { readonly code?: string }).code !== 'BlobNotFound') throw known;
    }
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    const request = this.#request('delete', undefined, signal);
    const options = { prefix: this.#base + prefix, includeUncommitedBlobs: true };
    let removed = 0;
    for await (const { name, properties } of this.#pages(options, request)) {
      // What has no committed block has no bytes; and so have empty blobs, and they stay.
      if ((properties.contentLength ?? 0) > 0) continue;
      const blob = this.#container.getBlockBlobClient(name);
      const dropped = await told(request, async () => {
        const limited = signal ?? new AbortController().signal;
        if (before !== undefined && (await begun(blob, properties.lastModified, limited)) >= before) return false;
        return await dropBlocks(blob, limited);
      });
      if (dropped) removed += 1;
    }
    return removed;
  }

  async close(): Promise<void> {
    this.#tokens?.close();
    this.#egress.close();
  }

  #blob(path: string): BlockBlobClient {
    return this.#container.getBlockBlobClient(this.#base + checkObjectPath(path));
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

async function told<T>(request: AzureRequest, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    throw azureBlobError(error, request);
  }
}

function abortable(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}
