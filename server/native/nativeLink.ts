/** Link over the addon's sockets. All of a thread's links share one read buffer, so that an idle one costs next to nothing. */
import type { Link } from '../link/link.ts';
import { type Addon, event, type RawLeftPath } from './addon.ts';

/** Read at once: larger reads spare nothing (docs/performance.md). */
const readBytes = 64 * 1024;

/** What a client's link tells its session's fast path. */
export interface PathEvents {
  left(raw: RawLeftPath): void;
  onParameters(messages: Buffer): void;
}

export class NativeLink implements Link {
  onBytes: Link['onBytes'] = () => false;
  onEnd: Link['onEnd'] = () => {};
  onClose: Link['onClose'] = () => {};
  onDrain: Link['onDrain'] = () => {};
  readonly encrypted = false;
  path: PathEvents | undefined;
  readonly #addon: Addon;
  readonly #gone: () => void;

  /** @param gone called once, after `onClose` */
  constructor(addon: Addon, gone: () => void) {
    this.#addon = addon;
    this.#gone = gone;
  }

  write(chunk: Uint8Array): boolean {
    return this.#addon.write(this, chunk);
  }

  pause(): void {
    this.#addon.setReading(this, false);
  }

  resume(): void {
    this.#addon.setReading(this, true);
  }

  end(): void {
    this.#addon.end(this);
  }

  destroy(): void {
    this.#addon.destroy(this);
  }

  /** For the addon's event alone. */
  closed(): void {
    this.onClose();
    this.#gone();
  }

  get bytesRead(): number {
    return this.#addon.bytesRead(this);
  }
}

/** Gives the addon what it shares among a thread's links. */
export function initialize(addon: Addon, candidates: readonly [Uint8Array, Int32Array]): void {
  const shared = Buffer.allocUnsafeSlow(readBytes);
  const onEvent = function (this: NativeLink, kind: number, first: number | Buffer | RawLeftPath, second: number): void {
    switch (kind) {
      case event.bytes:
        if (!this.onBytes(shared.subarray(first as number, (first as number) + second))) this.pause();
        return;
      case event.ended:
        return this.onEnd();
      case event.drained:
        return this.onDrain();
      case event.closed:
        return this.closed();
      case event.left:
        return this.path?.left(first as RawLeftPath);
      case event.parameters:
        return this.path?.onParameters(first as Buffer);
    }
  };
  addon.initialize(shared, onEvent, candidates);
}
