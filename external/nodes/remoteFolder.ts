/** `nodelocal://N` of another node, as a storage here. Rights were looked at here; paths, links and the external directory are the other node's to watch. */
import type { IncomingMessage } from 'node:http';
import { PgPierError } from '../../errors.ts';
import { readBody, watched } from '../storage/body.ts';
import type { NodelocalUri } from '../storage/nodelocalUri.ts';
import { checkObjectPath } from '../storage/path.ts';
import type { ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from '../storage/storage.ts';
import { Exchange, silentMilliseconds } from './exchange.ts';
import { ends, endTrailer, type NodeOperation, type NodeValues, readErrorTrailer } from './messages.ts';
import { RemoteWriter } from './remoteWriter.ts';

/** Connections that may break without a byte in between. */
const attempts = 3;

type Options = { readonly signal?: AbortSignal };

/** @throws PgPierError `nodeUnknown` */
export async function openRemoteFolder(uri: NodelocalUri, settings: StorageSettings): Promise<Storage> {
  return new RemoteFolder(uri, exchangeWith(Number(uri.host), settings));
}

/** Whether the node is there, knows the key, and is the node that it should be. Never rejects. */
export async function nodeAnswers(node: number, settings: StorageSettings): Promise<boolean> {
  const exchange = exchangeWith(node, settings);
  try {
    (await exchange.ask('GET /node', {}, AbortSignal.timeout(5_000))).resume();
    return true;
  } catch {
    return false;
  } finally {
    exchange.close();
  }
}

function exchangeWith(node: number, { peers, nodeKey }: StorageSettings): Exchange {
  const address = peers?.[node];
  if (address === undefined || nodeKey === undefined) throw new PgPierError('nodeUnknown', { node });
  return new Exchange({ node, ...address }, Buffer.from(nodeKey, 'base64'));
}

class RemoteFolder implements Storage {
  readonly location: string;
  readonly #base: string;
  readonly #exchange: Exchange;

  constructor({ host, segments }: NodelocalUri, exchange: Exchange) {
    this.#base = `/${segments.join('/')}`;
    this.location = `nodelocal://${host}${this.#base}`;
    this.#exchange = exchange;
  }

  async write(path: string, { signal, ifAbsent = false }: WriteOptions = {}): Promise<StorageWriter> {
    const object = { base: this.#base, path: checkObjectPath(path), ...(ifAbsent && { ifAbsent }) };
    return RemoteWriter.begin(this.#exchange, object, this.location, signal);
  }

  async *read(path: string, { start = 0, end, signal }: ReadOptions = {}): AsyncIterable<Buffer> {
    const object = { base: this.#base, path: checkObjectPath(path), end };
    let last: IncomingMessage | undefined;
    const get = async (from: number, version: string | undefined) => {
      last = await this.#exchange.ask('GET /object', { ...object, start: from, version }, signal);
      return { stream: last, version: last.headers.etag };
    };
    const toError = (error: unknown) => this.#exchange.told(error, signal);
    yield* readBody({ get, start, end, signal, toError, silentMilliseconds, attempts });
    this.#requireWhole(last!, signal);
  }

  async *list(prefix: string, { after, signal }: Options & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    let rest: Buffer = Buffer.alloc(0);
    for await (const chunk of this.#stream('GET /list', { prefix, after }, signal)) {
      const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      let from = 0;
      for (let end = bytes.indexOf('\n'); end >= 0; end = bytes.indexOf('\n', from)) {
        yield JSON.parse(bytes.toString('utf8', from, end)) as StoredObject;
        from = end + 1;
      }
      rest = bytes.subarray(from);
    }
  }

  async delete(path: string, { signal }: Options = {}): Promise<void> {
    await this.#text('DELETE /object', { path: checkObjectPath(path) }, signal);
  }

  async removePartial(prefix: string, { before, signal }: { readonly before?: Date; readonly signal?: AbortSignal } = {}): Promise<number> {
    return Number(await this.#text('DELETE /partial', { prefix, before: before?.toISOString() }, signal));
  }

  async close(): Promise<void> {
    this.#exchange.close();
  }

  async #text(operation: NodeOperation, values: Omit<NodeValues, 'node' | 'base'>, signal: AbortSignal | undefined): Promise<string> {
    const response = await this.#exchange.ask(operation, { base: this.#base, ...values }, signal);
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += chunk;
    return text;
  }

  /** Leaving the loop early closes the connection, which ends the work over there. */
  async *#stream(
    operation: NodeOperation,
    values: Omit<NodeValues, 'node' | 'base'>,
    signal: AbortSignal | undefined,
  ): AsyncIterable<Buffer> {
    const response = await this.#exchange.ask(operation, { base: this.#base, ...values }, signal);
    try {
      yield* watched(response, signal, silentMilliseconds);
      this.#requireWhole(response, signal);
    } catch (error) {
      throw this.#exchange.told(error, signal);
    } finally {
      response.destroy();
    }
  }

  /** A stream that came to its end may have come to it by an error over there. */
  #requireWhole({ trailers }: IncomingMessage, signal: AbortSignal | undefined): void {
    const end = trailers[endTrailer] ?? '';
    const error = readErrorTrailer(end);
    if (error !== undefined) throw error;
    if (end !== ends.whole) throw this.#exchange.told(Object.assign(new Error('cut off'), { code: 'ECONNRESET' }), signal);
  }
}
