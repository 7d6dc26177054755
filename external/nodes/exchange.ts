/** Requests to the PgPier of another node: connections that are kept and used again, deadlines, and errors in our words. */
import * as http from 'node:http';
import type { Duplex } from 'node:stream';
import { PgPierError } from '../../errors.ts';
import { dialNode, type NodeAddress, nodeError, shownNode } from './channel.ts';
import { type NodeOperation, type NodeValues, readError, requestTarget } from './messages.ts';

/** A node that says and takes nothing for so long is given up. */
export const silentMilliseconds = 60_000;
const largestError = 256 * 1024;

export interface Sent {
  readonly outgoing: http.ClientRequest;
  /** The head of what the node answers. */
  readonly answer: Promise<http.IncomingMessage>;
}

export class Exchange {
  readonly address: NodeAddress;
  readonly #agent: NodeAgent;

  constructor(address: NodeAddress, key: Buffer) {
    this.address = address;
    this.#agent = new NodeAgent(address, key);
  }

  /** Begins a request. Its body, if it has one, is the caller's to write and to end. */
  begin(operation: NodeOperation, values: Omit<NodeValues, 'node'>, headers: http.OutgoingHttpHeaders = {}): Sent {
    const target = requestTarget(operation, { node: this.address.node, ...values });
    const outgoing = http.request({ ...target, agent: this.#agent, headers });
    const answer = new Promise<http.IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.on('error', reject);
      outgoing.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
    });
    answer.catch(() => {});
    return { outgoing, answer };
  }

  /**
   * A request without a body. A kept connection that turns out to be closed is replaced by a new one.
   * @throws PgPierError: the other node's, or why there is no answer
   */
  async ask(operation: NodeOperation, values: Omit<NodeValues, 'node'>, signal: AbortSignal | undefined): Promise<http.IncomingMessage> {
    for (;;) {
      const { outgoing, answer } = this.begin(operation, values);
      outgoing.end();
      try {
        return await this.accepted(await this.wait(outgoing, answer, signal));
      } catch (error) {
        if (!isStale(outgoing, error)) throw this.told(error, signal);
      }
    }
  }

  /** Waits for something on the other node's part; a silence that is too long, or a cancel, ends the request. */
  async wait<T>(outgoing: http.ClientRequest, wait: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    let giveUp: (error: Error) => void = () => {};
    const givenUp = new Promise<never>((_, reject) => {
      // A request that has no connection yet would tell of its end when it gets one.
      giveUp = (error) => {
        outgoing.destroy(error);
        reject(error);
      };
    });
    const cancel = () => giveUp(new Error('canceled'));
    const silent = setTimeout(() => giveUp(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' })), silentMilliseconds);
    const working = () => silent.refresh();
    outgoing.on('information', working);
    signal?.addEventListener('abort', cancel, { once: true });
    if (signal?.aborted) cancel();
    try {
      return await Promise.race([wait, givenUp]);
    } finally {
      clearTimeout(silent);
      outgoing.off('information', working);
      signal?.removeEventListener('abort', cancel);
    }
  }

  /** @throws PgPierError, which the other node sent instead of an answer */
  async accepted(response: http.IncomingMessage): Promise<http.IncomingMessage> {
    if (response.statusCode === 200) return response;
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) {
      text += chunk;
      if (text.length > largestError) break;
    }
    throw readError(text);
  }

  /** Of what was thrown while the node was asked. */
  told(error: unknown, signal: AbortSignal | undefined): PgPierError {
    const endpoint = shownNode(this.address);
    if (error instanceof PgPierError) return error;
    if (!signal?.aborted) return nodeError(error, this.address);
    const late = signal.reason instanceof Error && signal.reason.name === 'TimeoutError';
    return late ? new PgPierError('storageTimeout', { endpoint }) : new PgPierError('storageCanceled', { location: endpoint });
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** The other side closed a connection that we had kept, in the moment in which we took it up again: nothing of the request was read. */
export function isStale({ reusedSocket }: http.ClientRequest, error: unknown): boolean {
  return reusedSocket && ['ECONNRESET', 'EPIPE'].includes(String((error as NodeJS.ErrnoException).code));
}

class NodeAgent extends http.Agent {
  readonly #address: NodeAddress;
  readonly #key: Buffer;

  constructor(address: NodeAddress, key: Buffer) {
    super({ keepAlive: true });
    this.#address = address;
    this.#key = key;
  }

  override createConnection(_options: object, callback?: (error: Error | null, stream: Duplex) => void): undefined {
    dialNode(this.#address, this.#key).then(
      (socket) => callback?.(null, socket),
      (error: Error) => callback?.(error, undefined as never),
    );
  }
}
