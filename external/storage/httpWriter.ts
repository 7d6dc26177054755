/**
 * One object on its way to a web server. What fits into memory goes as one PUT of known length, which is repeated where that may help. More than that goes
 * as one PUT in chunks while it comes; a stream that broke cannot be repeated.
 */
import type { ClientRequest, IncomingMessage } from 'node:http';
import { PgPierError } from '../../errors.ts';
import { answerError, type HttpOperation, httpError } from './httpErrors.ts';
import { begin, discard, type HttpTarget, send, unlessSilent } from './httpRequest.ts';
import type { StorageWriter } from './storage.ts';

/** Bytes of the largest object that is kept until its length is known. */
const inMemory = 8 * 1024 * 1024;

export interface HttpObject {
  readonly whole: HttpTarget;
  /** Connections that have served nobody. */
  readonly streamed: HttpTarget;
  /** Asked of the server; one that does not know the condition replaces what is there. */
  readonly ifAbsent: boolean;
  readonly request: HttpOperation;
}

interface Upload {
  readonly outgoing: ClientRequest;
  readonly answer: Promise<IncomingMessage>;
}

type State =
  | { readonly kind: 'collecting'; readonly chunks: Buffer[]; bytes: number }
  | ({ readonly kind: 'streaming' } & Upload)
  | { readonly kind: 'failed'; readonly error: PgPierError }
  | { readonly kind: 'finished' }
  | { readonly kind: 'aborted' };

const headersOf = ({ ifAbsent }: HttpObject) => ({
  'content-type': 'application/octet-stream',
  ...(ifAbsent && { 'if-none-match': '*' }),
});

export class HttpWriter implements StorageWriter {
  readonly #object: HttpObject;
  readonly #request: HttpOperation;
  readonly #stop = new AbortController();
  #state: State = { kind: 'collecting', chunks: [], bytes: 0 };
  /** Of the streamed request, if there is one. */
  #closed: Promise<void> = Promise.resolve();

  constructor(object: HttpObject) {
    this.#object = object;
    const { signal } = object.request;
    this.#request = { ...object.request, signal: signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal };
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#step(async (state) => {
      if (state.kind === 'streaming') return this.#pass(state, [chunk]);
      state.chunks.push(chunk);
      state.bytes += chunk.length;
      if (state.bytes <= inMemory) return;
      const upload = begin(this.#object.streamed, this.#request, { ...headersOf(this.#object), 'transfer-encoding': 'chunked' });
      this.#state = { kind: 'streaming', ...upload };
      this.#closed = new Promise((resolve) => upload.outgoing.once('close', resolve));
      await this.#pass(upload, state.chunks);
    });
  }

  async finish(): Promise<void> {
    await this.#step(async (state) => {
      if (state.kind === 'streaming') {
        state.outgoing.end();
        await this.#accepted(await unlessSilent(state.outgoing, state.answer));
      } else {
        const { chunks: body, bytes } = state;
        discard(await send(this.#object.whole, this.#request, { ...headersOf(this.#object), 'content-length': bytes }, { body }));
      }
      this.#state = { kind: 'finished' };
    });
  }

  /** The connection is closed in the middle of the body: no server takes that for the end of an object. */
  async abort(): Promise<void> {
    if (this.#state.kind === 'finished' || this.#state.kind === 'aborted') return;
    this.#state = { kind: 'aborted' };
    this.#stop.abort();
    await this.#closed;
  }

  /** Backpressure: waits until the socket has room. */
  async #pass({ outgoing, answer }: Upload, chunks: readonly Buffer[]): Promise<void> {
    for (const chunk of chunks) {
      if (chunk.length === 0 || outgoing.write(chunk)) continue;
      const drained = new Promise<void>((resolve) => outgoing.once('drain', resolve));
      // An answer before the end of the body is a refusal, or a server that does not read.
      const early = await unlessSilent(outgoing, Promise.race([drained, answer]));
      if (early) await this.#accepted(early, true);
    }
  }

  async #accepted(response: IncomingMessage, early = false): Promise<void> {
    const { statusCode = 0, headers: answered } = response;
    const { endpoint } = this.#request;
    const success = statusCode >= 200 && statusCode < 300;
    if (success && !early) return discard(response);
    response.destroy();
    if (success) throw new PgPierError('storageProtocol', { endpoint, provider: 'a web server', cause: 'an answer before the end' });
    throw answerError(statusCode, answered.location, this.#request);
  }

  async #step(work: (state: Extract<State, { kind: 'collecting' | 'streaming' }>) => Promise<void>): Promise<void> {
    const state = this.#state;
    if (state.kind === 'failed') throw state.error;
    if (state.kind === 'finished' || state.kind === 'aborted')
      throw new PgPierError('storageCanceled', { location: this.#request.location });
    try {
      if (this.#request.signal?.aborted) throw new Error('canceled');
      await work(state);
    } catch (error) {
      const told = httpError(error, this.#request);
      if (this.#state.kind !== 'aborted') this.#state = { kind: 'failed', error: told };
      throw told;
    }
  }
}
