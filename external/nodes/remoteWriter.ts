/** One object on its way to another node. It is in place over there when `finish` has been answered, and gone when `abort` has. */
import { PgPierError } from '../../errors.ts';
import type { StorageWriter } from '../storage/storage.ts';
import { type Exchange, isStale, type Sent } from './exchange.ts';
import { ends, endTrailer } from './messages.ts';

/** What the other node may take to remove what there is of an object that is given up. */
const abortMilliseconds = 10_000;

type State = { readonly kind: 'open' | 'finished' | 'aborted' } | { readonly kind: 'failed'; readonly error: PgPierError };

export class RemoteWriter implements StorageWriter {
  readonly #exchange: Exchange;
  readonly #sent: Sent;
  readonly #location: string;
  readonly #signal: AbortSignal | undefined;
  #state: State = { kind: 'open' };

  /** Resolves when the other node has made the file that it writes to. */
  static async begin(
    exchange: Exchange,
    object: { readonly base: string; readonly path: string; readonly ifAbsent?: true },
    location: string,
    signal: AbortSignal | undefined,
  ): Promise<RemoteWriter> {
    for (;;) {
      const sent = exchange.begin('PUT /object', object, { expect: '100-continue', trailer: endTrailer, 'transfer-encoding': 'chunked' });
      const begun = new Promise<undefined>((resolve) => sent.outgoing.once('continue', () => resolve(undefined)));
      try {
        const refusal = await exchange.wait(sent.outgoing, Promise.race([begun, sent.answer]), signal);
        if (refusal === undefined) return new RemoteWriter(exchange, sent, location, signal);
        await exchange.accepted(refusal);
        throw new PgPierError('internal', { detail: 'an answer before the object' });
      } catch (error) {
        sent.outgoing.destroy();
        if (!isStale(sent.outgoing, error)) throw exchange.told(error, signal);
      }
    }
  }

  private constructor(exchange: Exchange, sent: Sent, location: string, signal: AbortSignal | undefined) {
    this.#exchange = exchange;
    this.#sent = sent;
    this.#location = location;
    this.#signal = signal;
  }

  async write(chunk: Buffer): Promise<void> {
    await this.#step(async ({ outgoing, answer }) => {
      if (chunk.length === 0 || outgoing.write(chunk)) return;
      const drained = new Promise<undefined>((resolve) => outgoing.once('drain', () => resolve(undefined)));
      const refusal = await this.#unlessCanceled(Promise.race([drained, answer]));
      // Over there nothing is left of it by now.
      if (refusal) await this.#exchange.accepted(refusal).finally(() => outgoing.destroy());
    });
  }

  async finish(): Promise<void> {
    await this.#step(async ({ outgoing, answer }) => {
      outgoing.addTrailers({ [endTrailer]: ends.finish });
      outgoing.end();
      (await this.#exchange.accepted(await this.#exchange.wait(outgoing, answer, this.#signal))).resume();
      this.#state = { kind: 'finished' };
    });
  }

  async abort(): Promise<void> {
    if (this.#state.kind === 'finished' || this.#state.kind === 'aborted') return;
    this.#state = { kind: 'aborted' };
    const { outgoing, answer } = this.#sent;
    const late = setTimeout(() => outgoing.destroy(), abortMilliseconds);
    try {
      if (!outgoing.writableEnded && !outgoing.destroyed) {
        outgoing.addTrailers({ [endTrailer]: ends.abort });
        outgoing.end();
      }
      (await answer).resume();
    } catch {
      // The connection broke, and the other node takes back by itself what came by it.
      outgoing.destroy();
    } finally {
      clearTimeout(late);
    }
  }

  /** As `Exchange.wait`, but a cancel leaves the connection for `abort`. */
  async #unlessCanceled<T>(wait: Promise<T>): Promise<T> {
    const signal = this.#signal;
    let cancel = (): void => {};
    const canceled = new Promise<never>((_, reject) => {
      cancel = () => reject(new Error('canceled'));
      signal?.addEventListener('abort', cancel, { once: true });
    });
    try {
      return await this.#exchange.wait(this.#sent.outgoing, Promise.race([wait, canceled]), undefined);
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }

  async #step(work: (sent: Sent) => Promise<void>): Promise<void> {
    if (this.#state.kind === 'failed') throw this.#state.error;
    if (this.#state.kind !== 'open') throw new PgPierError('storageCanceled', { location: this.#location });
    try {
      if (this.#signal?.aborted) throw new Error('canceled');
      await work(this.#sent);
    } catch (error) {
      const told = this.#exchange.told(error, this.#signal);
      this.#state = { kind: 'failed', error: told };
      throw told;
    }
  }
}
