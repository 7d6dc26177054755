/** Moves sessions' sockets from Node's hands into the addon's. */
import { candidateTables } from '../../statement/candidate.ts';
import type { FastPath } from '../link/fastPath.ts';
import type { Link } from '../link/link.ts';
import type { SocketLink } from '../link/socketLink.ts';
import { type Addon, loadAddon } from './addon.ts';
import { initialize, NativeLink } from './nativeLink.ts';
import { NativePath } from './nativePath.ts';

/** A session's two ends; `fastPath` where both are native. */
export interface SessionLinks {
  readonly client: Link;
  readonly backend: Link;
  readonly fastPath?: FastPath;
}

/** Those of one listener. */
export class NativeLinks {
  readonly #addon: Addon;
  #open = 0;
  #waiting: (() => void)[] = [];

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /**
   * The same connections, paused; those without TLS under other links. Undefined where that cannot be, and nothing has changed: something was read or written
   * that has not gone its way. Set no handler on the old ones before.
   */
  adopt(client: SocketLink, backend: SocketLink): SessionLinks | undefined {
    const [front, back] = [this.#over(client), this.#over(backend)];
    // A plain SocketLink keeps what it is given until it is sent, and native links read into one buffer: the two cannot be neighbours.
    if ((!front && !client.encrypted) || (!back && !backend.encrypted)) {
      front?.destroy();
      back?.destroy();
      return undefined;
    }
    // The addon has descriptors of its own.
    if (front) client.release().destroy();
    if (back) backend.release().destroy();
    const links = { client: front ?? client, backend: back ?? backend };
    return front && back ? { ...links, fastPath: new NativePath(this.#addon, front, back) } : links;
  }

  /** Resolves when none is left, those included that only wait for their peer's FIN. */
  async closed(): Promise<void> {
    while (this.#open > 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #over(link: SocketLink): NativeLink | undefined {
    const { descriptor } = link;
    if (descriptor === undefined || link.encrypted || link.destroyed || !link.empty) return undefined;
    const native = new NativeLink(this.#addon, this.#gone);
    if (!this.#addon.open(native, descriptor)) return undefined;
    this.#open++;
    return native;
  }

  readonly #gone = (): void => {
    this.#open--;
    if (this.#open > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  };
}

/** This thread's. */
let addon: Addon | undefined;

/** @throws Error saying why there is no addon to be used. */
export function openNativeLinks(): NativeLinks {
  if (addon === undefined) {
    addon = loadAddon();
    initialize(addon, candidateTables);
  }
  return new NativeLinks(addon);
}
