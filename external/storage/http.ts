/**
 * `http://` and `https://`: objects by GET, PUT and DELETE on a web server of any make. There is no listing. What a PUT shows before it has ended, and
 * what stays of one that broke off, is the server's decision: nginx keeps the old object until then, others may not.
 */
import { PgPierError } from '../../errors.ts';
import { type Egress, openEgress } from '../egress.ts';
import type { HttpOperation } from './httpErrors.ts';
import { readObject } from './httpReader.ts';
import { discard, type HttpTarget, send } from './httpRequest.ts';
import type { HttpEndpoint } from './httpUri.ts';
import { HttpWriter } from './httpWriter.ts';
import { checkObjectPath } from './path.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';

type Options = { readonly signal?: AbortSignal };

export async function openHttp(uri: HttpEndpoint, trusted: boolean, settings: StorageSettings): Promise<Storage> {
  const rules = { trusted, allowedNetworks: settings.allowedNetworks };
  return new HttpStorage(uri, openEgress(rules, uri.tls), openEgress(rules, { ...uri.tls, keepAlive: false }));
}

class HttpStorage implements Storage {
  readonly location: string;
  readonly #target: HttpTarget;
  /** A stream cannot be sent a second time, so it does not begin on a connection that the server may be closing. */
  readonly #fresh: HttpTarget;

  constructor(uri: HttpEndpoint, egress: Egress, fresh: Egress) {
    this.location = uri.location;
    this.#target = { uri, egress };
    this.#fresh = { uri, egress: fresh };
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    return new HttpWriter({ whole: this.#target, streamed: this.#fresh, ifAbsent, request: this.#request('write', path, signal) });
  }

  async *read(path: string, options: ReadOptions = {}): AsyncIterable<Buffer> {
    yield* readObject(this.#target, this.#request('read', path, options.signal), options);
  }

  // biome-ignore lint/correctness/useYield: there is nothing to yield
  async *list(): AsyncIterable<StoredObject> {
    throw new PgPierError('httpNoListing', { location: this.location });
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    discard(await send(this.#target, this.#request('delete', path, signal), {}, { accepted: [404, 410] }));
  }

  /** What a broken upload left, the server alone knows. */
  async removePartial(): Promise<number> {
    return 0;
  }

  async close(): Promise<void> {
    this.#target.egress.close();
    this.#fresh.egress.close();
  }

  #request(operation: HttpOperation['operation'], path: string, signal: AbortSignal | undefined): HttpOperation {
    return { operation, path: checkObjectPath(path), location: this.location, endpoint: this.#target.uri.origin, signal };
  }
}
