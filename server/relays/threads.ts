/** The relays beside the first, each on a thread of its own, and what the main thread tells them. */
import { Worker } from 'node:worker_threads';
import type { ClientLimits } from '../login/clientLimits.ts';
import type { Figures, FromThread, ThreadSettings, ToThread } from './messages.ts';
import { countedPlaces } from './places.ts';

export interface RelayThreads {
  reload(): void;
  /** Resolves when the last session of each has ended by itself. */
  handOver(): Promise<void>;
  figures(): Promise<readonly Figures[]>;
  /** Drains all side by side. */
  stop(): Promise<void>;
}

/**
 * @param failed called when a thread ends by itself: its sessions are gone, and what it shared with others is in doubt
 * @throws Error in words for the person who starts it; those that run are stopped then
 */
export async function startRelayThreads(
  settings: readonly ThreadSettings[],
  limits: ClientLimits,
  failed: (what: string) => void,
): Promise<RelayThreads> {
  const threads = settings.map((each) => new RelayThread(each, limits, failed));
  const stop = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.stop()));
  };
  try {
    await Promise.all(threads.map(({ ready }) => ready));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    stop,
    reload: () => {
      for (const thread of threads) thread.send({ kind: 'reload' });
    },
    handOver: async () => {
      await Promise.all(threads.map((thread) => thread.handOver()));
    },
    figures: () => Promise.all(threads.map((thread) => thread.figures())),
  };
}

class RelayThread {
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  readonly #handedOver = Promise.withResolvers<void>();
  readonly #asked = new Map<number, (figures: Figures) => void>();
  #lastId = 0;
  #stopping = false;

  constructor(settings: ThreadSettings, limits: ClientLimits, failed: (what: string) => void) {
    const name = `relay ${settings.number}`;
    this.#worker = new Worker(new URL('./relayThread.ts', import.meta.url), { workerData: settings, name });
    const places = countedPlaces(limits, (message) => this.send(message));
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#worker.on('message', (message: FromThread) => {
      switch (message.kind) {
        case 'ready':
          return ready.resolve();
        case 'cannotStart':
          return ready.reject(new Error(`${name}: ${message.reason}`));
        case 'handedOver':
          return this.#handedOver.resolve();
        case 'figures':
          this.#asked.get(message.id)?.(message.figures);
          return this.#asked.delete(message.id);
        case 'place':
          return places.take(message.id, message.of);
        case 'leave':
          return places.leave(message.id);
      }
    });
    let why = '';
    this.#worker.on('error', (error) => {
      why = `: ${error.stack ?? error.message}`;
    });
    this.#ended = new Promise((resolve) => {
      this.#worker.once('exit', () => {
        resolve();
        ready.reject(new Error(`${name} ended while it started${why}`));
        if (!this.#stopping) failed(`${name} ended by itself${why}`);
      });
    });
  }

  send(message: ToThread): void {
    this.#worker.postMessage(message);
  }

  handOver(): Promise<void> {
    this.send({ kind: 'handOver' });
    return Promise.race([this.#handedOver.promise, this.#ended]);
  }

  /** Of a thread that has ended: zeros. */
  figures(): Promise<Figures> {
    const id = ++this.#lastId;
    const answer = new Promise<Figures>((resolve) => this.#asked.set(id, resolve));
    this.send({ kind: 'figures', id });
    const none = { accepted: 0, loggedIn: 0, refused: 0, cancelRequests: 0, sessions: 0 };
    return Promise.race([answer, this.#ended.then(() => none)]);
  }

  stop(): Promise<void> {
    this.#stopping = true;
    this.send({ kind: 'stop' });
    return this.#ended;
  }
}
