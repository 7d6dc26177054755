/** What has been started, in order; stopped in the reverse order, once, each part even where one before it failed. */
import type { Log } from './log.ts';

interface Part {
  readonly name: string;
  stop(): Promise<void> | void;
}

export class Lifecycle {
  readonly #parts: Part[] = [];
  readonly #log: Log;
  #stopping: Promise<void> | undefined;

  constructor(log: Log) {
    this.#log = log;
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  add(name: string, stop: Part['stop']): void {
    this.#parts.push({ name, stop });
  }

  /** Resolves when everything is stopped; never rejects. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll();
    return this.#stopping;
  }

  /** Stops what is left all at once, without waiting for one part before the next: the sessions end with the server behind them. */
  async stopNow(): Promise<void> {
    await Promise.allSettled(this.#parts.splice(0).map(async (part) => part.stop()));
  }

  async #stopAll(): Promise<void> {
    for (let part = this.#parts.pop(); part !== undefined; part = this.#parts.pop()) {
      try {
        await part.stop();
        this.#log.debug({}, `stopped: ${part.name}`);
      } catch (err) {
        this.#log.error({ err }, `could not stop: ${part.name}`);
      }
    }
  }
}
