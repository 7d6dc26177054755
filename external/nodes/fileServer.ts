/** The files of this node, for the other PgPiers of its catalog: the operations of a storage, carried out here by the same code as for this node's own work. */
import * as http from 'node:http';
import { PgPierError, toErrorData } from '../../errors.ts';
import { requireAllowedLocation } from '../allowedLocations.ts';
import { type NodelocalStorage, openNodelocal } from '../storage/nodelocal.ts';
import { parseNodelocalUri } from '../storage/nodelocalUri.ts';
import type { ReadOptions, Storage, StorageSettings, StoredObject } from '../storage/storage.ts';
import { requireStorage } from '../storage/storages.ts';
import { ends, endTrailer, errorTrailer } from './messages.ts';

/** Names may have 222 bytes each, in any number of folders, and three characters a byte. */
const maxHeadBytes = 64 * 1024;
const idleMilliseconds = 60_000;
/** Lines of a listing that go together. */
const listBytes = 32 * 1024;
/** How often a node that works on an answer says so: syncing a large file or walking a deep folder takes its time. */
const workingMilliseconds = 15_000;

interface Call {
  readonly values: URLSearchParams;
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly signal: AbortSignal;
}

/** Serves the connections that it is given (`emit('connection', socket)`); it listens nowhere. Who has a connection may do everything below the external directory. */
export function nodeFileServer(settings: StorageSettings): http.Server {
  const server = http.createServer({ maxHeaderSize: maxHeadBytes, requestTimeout: 0, keepAliveTimeout: idleMilliseconds });
  const handle = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const abort = new AbortController();
    response.once('close', () => abort.abort());
    response.on('error', () => {});
    const working = setInterval(() => {
      if (!response.headersSent && !response.destroyed) response.writeProcessing();
    }, workingMilliseconds);
    response.once('close', () => clearInterval(working));
    answer({ request, response, signal: abort.signal }, settings).catch((error) => refuse(request, response, error));
  };
  server.on('request', handle).on('checkContinue', handle);
  return server;
}

async function answer(connection: Omit<Call, 'values'>, settings: StorageSettings): Promise<void> {
  const { request, response, signal } = connection;
  const { pathname, searchParams: values } = new URL(request.url ?? '', 'http://node');
  const operation = `${request.method} ${pathname}`;
  const call = { ...connection, values };
  const node = Number(values.get('node'));
  if (node !== settings.nodeId) throw new PgPierError('nodelocalOtherNode', { node, here: settings.nodeId });
  if (operation === 'GET /node') return void response.end();
  const path = values.get('base') ?? '';
  const uri = { scheme: 'nodelocal', host: String(node), path, query: '', parameters: [] };
  requireAllowedLocation(requireStorage('nodelocal'), uri, settings);
  const storage = await openNodelocal(parseNodelocalUri(uri, settings), settings);
  switch (operation) {
    case 'PUT /object':
      return receive(storage, call);
    case 'GET /object': {
      const [start, end] = [values.get('start'), values.get('end')];
      const range = { ...(start !== null && { start: Number(start) }), ...(end !== null && { end: Number(end) }) };
      return give(storage, { ...range, signal }, call);
    }
    case 'GET /list': {
      const after = values.get('after');
      return send(lines(storage.list(values.get('prefix') ?? '', { ...(after !== null && { after }), signal })), call);
    }
    case 'DELETE /object':
      await storage.delete(values.get('path') ?? '');
      return void response.end();
    case 'DELETE /partial': {
      const before = values.get('before');
      const removed = await storage.removePartial(values.get('prefix') ?? '', {
        ...(before !== null && { before: new Date(before) }),
        signal,
      });
      return void response.end(String(removed));
    }
    default:
      throw new PgPierError('internal', { detail: 'an operation that nodes do not know' });
  }
}

/** An object from the other node. Unless the end says that it is whole, no trace stays. */
async function receive(storage: Storage, { values, request, response, signal }: Call): Promise<void> {
  // Not by the signal: what a broken connection began is taken back all the same.
  const writer = await storage.write(values.get('path') ?? '', { ifAbsent: values.has('ifAbsent') });
  try {
    response.writeContinue();
    for await (const chunk of request) await writer.write(chunk as Buffer);
    if (request.trailers[endTrailer] === ends.finish && !signal.aborted) await writer.finish();
    else await writer.abort();
  } catch (error) {
    await writer.abort();
    throw error;
  }
  response.end();
}

/** An object for the other node; of one that it has read a part of, the same and no other. */
async function give(storage: NodelocalStorage, options: ReadOptions, call: Call): Promise<void> {
  const path = call.values.get('path') ?? '';
  const { version, chunks, close } = await storage.openToRead(path, options);
  if ((call.values.get('version') ?? version) === version) return send(chunks(), call, version);
  await close();
  throw new PgPierError('storageChanged', { path });
}

/** The first chunk decides between an answer and a refusal; what fails later is told at the end. */
async function send(chunks: AsyncIterable<Buffer>, { response, signal }: Call, version?: string): Promise<void> {
  const iterator = chunks[Symbol.asyncIterator]();
  let next = await iterator.next();
  response.writeHead(200, { 'transfer-encoding': 'chunked', trailer: endTrailer, ...(version !== undefined && { etag: version }) });
  let end: string = ends.whole;
  try {
    for (; !next.done && !signal.aborted; next = await iterator.next()) if (!response.write(next.value)) await drained(response);
  } catch (error) {
    end = errorTrailer(toErrorData(error));
  } finally {
    await iterator.return?.();
  }
  response.addTrailers({ [endTrailer]: end });
  response.end();
}

async function* lines(objects: AsyncIterable<StoredObject>): AsyncIterable<Buffer> {
  let text = '';
  for await (const object of objects) {
    text += `${JSON.stringify(object)}\n`;
    if (text.length < listBytes) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(text);
}

function refuse(request: http.IncomingMessage, response: http.ServerResponse, error: unknown): void {
  if (response.headersSent || response.destroyed) return void response.destroy();
  // The rest of an upload is read, so that its sender reads this; it then closes the connection.
  request.resume();
  response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify(toErrorData(error)));
}

function drained(response: http.ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      response.off('drain', go).off('close', go);
      resolve();
    };
    response.once('drain', go).once('close', go);
    if (response.destroyed) go();
  });
}
