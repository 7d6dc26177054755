/** `gs://`: Google Cloud Storage by its JSON API. Loaded in worker processes alone. */
import { PgPierError } from '../../errors.ts';
import { Crc32c } from '../../formats/crc32c.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { openEgress } from '../egress.ts';
import { GoogleClient, type GoogleSession } from '../google/client.ts';
import { GoogleFailure } from '../google/http.ts';
import { keepAmbientTokens } from '../google/login.ts';
import { openTokens } from '../google/tokens.ts';
import { silentMilliseconds } from '../outgoing.ts';
import { parseUri } from '../uri.ts';
import { readBody } from './body.ts';
import { type GsRequest, gsError, provider } from './gsErrors.ts';
import { gsUpload } from './gsUpload.ts';
import { type GsUri, parseGsUri } from './gsUri.ts';
import { PartWriter } from './partWriter.ts';
import { checkObjectPath } from './path.ts';
import type { OtherCredentials, ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

const googleEndpoint = 'https://storage.googleapis.com';
/** Google's limit, in bytes of UTF-8. */
const longestName = 1024;
const scope = 'https://www.googleapis.com/auth/devstorage.read_write';
/** Connections that may break without a byte in between. */
const readAttempts = 3;

type Options = { readonly signal?: AbortSignal };

/** @param services addresses of Google's other services, for tests */
export async function openGs(
  uri: GsUri,
  trusted: boolean,
  settings: StorageSettings,
  others?: OtherCredentials,
  services: { readonly iam?: string } = {},
): Promise<Storage> {
  return new GsStorage(uri, trusted, settings, others, services);
}

class GsStorage implements Storage {
  readonly location: string;
  readonly #settings: StorageSettings;
  readonly #services: { readonly iam?: string };
  readonly #endpoint: string;
  readonly #bucket: string;
  /** Name prefix of everything here: empty, or with a `/` at its end. */
  readonly #base: string;
  readonly #client: GoogleClient;
  #billingProject: string | undefined;

  constructor(
    uri: GsUri,
    trusted: boolean,
    settings: StorageSettings,
    others: OtherCredentials | undefined,
    services: { readonly iam?: string },
  ) {
    this.#settings = settings;
    this.#services = services;
    this.#endpoint = uri.endpoint ?? googleEndpoint;
    this.#bucket = uri.bucket;
    this.#base = uri.prefix === '' ? '' : `${uri.prefix}/`;
    this.#billingProject = uri.billingProject;
    this.location = `gs://${uri.bucket}${uri.prefix === '' ? '' : `/${uri.prefix}`}`;
    this.#client = new GoogleClient({ endpoint: this.#endpoint, provider }, this.#session(uri, trusted), others);
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const name = this.#name(path);
    const request = this.#request('write', path, signal);
    return new PartWriter(
      gsUpload({ client: this.#client, bucket: this.#bucket, name, billing: () => this.#billing(), ifAbsent, request }),
    );
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const object = this.#object(path);
    const request = this.#request('read', path, signal);
    const toError = (error: unknown) => gsError(error, request);
    if (end !== undefined && end <= start) {
      await this.#client.json({ method: 'GET', url: `${object}?${this.#billing()}fields=size`, signal }).catch((error) => {
        throw toError(error);
      });
      return;
    }
    const whole = start === 0 && end === undefined;
    let stored: string | undefined;
    const get = async (from: number, version: string | undefined) => {
      const range = from === 0 && end === undefined ? {} : { range: `bytes=${from}-${end === undefined ? '' : end - 1}` };
      const unchanged = version === undefined ? '' : `&ifGenerationMatch=${version}`;
      try {
        const stream = await this.#client.send({
          method: 'GET',
          url: `${object}?${this.#billing()}alt=media${unchanged}`,
          // The bytes as they are stored: Google would unpack an object whose content-encoding is gzip, and then ignore ranges.
          headers: { ...range, 'accept-encoding': 'gzip' },
          signal,
        });
        const { 'x-goog-generation': generation, 'x-goog-hash': hash, 'content-range': given } = stream.headers;
        const asked = from === 0 && end === undefined ? '' : `bytes ${from}-`;
        if (typeof generation !== 'string' || !(given ?? '').startsWith(asked)) {
          stream.destroy();
          throw this.#client.stranger('no object');
        }
        stored ??= /crc32c=([A-Za-z0-9+/]{6}==)/.exec(String(hash ?? ''))?.[1];
        return { stream, version: generation };
      } catch (error) {
        if (error instanceof GoogleFailure && error.status === 416) return undefined;
        throw error;
      }
    };
    const bytes = readBody({ get, start, end, signal, toError, silentMilliseconds, attempts: readAttempts });
    if (!whole) return yield* bytes;
    const sum = new Crc32c();
    for await (const chunk of bytes) {
      sum.update(chunk);
      yield chunk;
    }
    if (stored !== undefined && stored !== sum.base64()) throw new PgPierError('storageDamaged', { path });
  }

  async *list(prefix: string, { after, signal }: Options & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    const request = this.#request('list', undefined, signal);
    const text = (value: string) => encodeURIComponent(this.#base + value);
    const from = after === undefined ? '' : `&startOffset=${text(after)}`;
    const fields = 'fields=kind,nextPageToken,items(name,size)';
    const url = `${this.#objects()}?${this.#billing()}prefix=${text(prefix)}${from}&maxResults=1000&${fields}`;
    let token: string | undefined;
    do {
      const next: string = token === undefined ? '' : `&pageToken=${encodeURIComponent(token)}`;
      let page: Page;
      try {
        page = await this.#client.json({ method: 'GET', url: url + next, signal });
      } catch (error) {
        throw gsError(error, request);
      }
      if (page.kind !== 'storage#objects') throw this.#client.stranger('no listing');
      for (const { name, size } of page.items ?? []) {
        const path = name.slice(this.#base.length);
        // `startOffset` names the first one, not the one before it. A name that ends in "/" is how consoles draw an empty folder.
        if (name.startsWith(this.#base) && path !== after && !path.endsWith('/')) yield { path, size: Number(size ?? 0) };
      }
      if (page.nextPageToken !== undefined && page.nextPageToken === token) throw this.#client.stranger('a listing without end');
      token = page.nextPageToken || undefined;
    } while (token !== undefined);
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    const request = this.#request('delete', path, signal);
    try {
      const answer = await this.#client.send({ method: 'DELETE', url: `${this.#object(path)}?${this.#billing()}`, accept: [404], signal });
      answer.resume();
    } catch (error) {
      throw gsError(error, request);
    }
  }

  /** Google tells nobody which uploads are unfinished; they end by themselves after a week, and are not charged for. */
  async removePartial(): Promise<number> {
    return 0;
  }

  renew({ uri, trusted }: StorageTarget): void {
    const next = parseGsUri(parseUri(uri), this.#settings);
    this.#billingProject = next.billingProject;
    this.#client.renew(this.#session(next, trusted));
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  #session(uri: GsUri, trusted: boolean): GoogleSession {
    keepAmbientTokens(uri, trusted);
    const egress = openEgress({ trusted, allowedNetworks: this.#settings.allowedNetworks });
    return { egress, tokens: openTokens(uri.login, { egress, location: this.location, scope, ...this.#services }) };
  }

  /** `userProject=…&` or nothing. */
  #billing(): string {
    return this.#billingProject === undefined ? '' : `userProject=${encodeURIComponent(this.#billingProject)}&`;
  }

  #objects(): string {
    return `/storage/v1/b/${encodeURIComponent(this.#bucket)}/o`;
  }

  #object(path: string): string {
    return `${this.#objects()}/${encodeURIComponent(this.#name(path))}`;
  }

  #name(path: string): string {
    const name = this.#base + checkObjectPath(path);
    if (Buffer.byteLength(name) > longestName) throw new PgPierError('storageNameTooLong', { path });
    return name;
  }

  #request(operation: GsRequest['operation'], path: string | undefined, signal: AbortSignal | undefined): GsRequest {
    const billed = this.#billingProject !== undefined;
    return { operation, location: this.location, endpoint: this.#endpoint, billed, ...(path === undefined ? {} : { path }), signal };
  }
}

interface Page {
  readonly kind?: unknown;
  readonly nextPageToken?: string;
  /** `size` may be left out for 0. */
  readonly items?: readonly { readonly name: string; readonly size?: string }[];
}
