/**
 * Cancel keys. A client is given the backend's own pid (drivers use it) with a secret of ours, so that a cancel comes to us, who know whether a statement
 * of ours runs. A request with a wrong key is dropped without a word.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { CancelKey } from '../../protocol/frontend/cancelRequest.ts';
import { cancelTimeoutMs } from './forwardCancel.ts';
import type { SessionHandle } from './loggedIn.ts';
import { arrived, ownerOf, type Peers, passOn } from './peers.ts';

/** Cancels under way at once: a burst must not use up the backend's connections. */
const maxAtOnce = 64;
/** Cancels waiting for their turn; more are dropped, as a lost network packet would be. */
const maxWaiting = 4096;

/** As long as the backend's own key: what the client's protocol version allows. With peers the first byte is this node's number; the rest stays random. */
export function mintSecret(length: number, peers?: Peers): Buffer {
  const secret = randomBytes(length);
  if (peers) secret[0] = peers.nodeId;
  return secret;
}

export class CancelRegistry {
  /** Several backends behind one address may use the same pid. */
  readonly #sessions = new Map<number, { readonly secret: Buffer; readonly handle: SessionHandle }[]>();
  readonly #peers: Peers | undefined;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(peers?: Peers) {
    this.#peers = peers;
  }

  /** Until the session is done. */
  register(key: CancelKey, handle: SessionHandle): void {
    const entry = { secret: key.secret, handle };
    const samePid = this.#sessions.get(key.pid);
    if (samePid) samePid.push(entry);
    else this.#sessions.set(key.pid, [entry]);
    const remove = (): void => {
      const left = (this.#sessions.get(key.pid) ?? []).filter((other) => other !== entry);
      if (left.length > 0) this.#sessions.set(key.pid, left);
      else this.#sessions.delete(key.pid);
    };
    handle.done.then(remove, remove);
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** Resolves when the cancel has been delivered, dropped, or has taken too long; false: no session of this node has the key. Never rejects. */
  async cancel(request: CancelKey): Promise<boolean> {
    const { key, byPeer } = arrived(request);
    const handle = this.#find(key);
    const owner = handle || byPeer || !this.#peers ? undefined : ownerOf(key, this.#peers);
    if (!handle && !owner) return false;
    const deliver = (): Promise<void> => (owner ? passOn(key, owner) : handle!.cancel());
    if (!(await this.#turn())) return handle !== undefined;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, cancelTimeoutMs);
    });
    try {
      await Promise.race([deliver().catch(() => {}), late]);
    } finally {
      clearTimeout(timer);
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
    return handle !== undefined;
  }

  #find(key: CancelKey): SessionHandle | undefined {
    let found: SessionHandle | undefined;
    for (const { secret, handle } of this.#sessions.get(key.pid) ?? []) {
      if (secret.length === key.secret.length && timingSafeEqual(secret, key.secret)) found = handle;
    }
    return found;
  }

  /** False: too many wait already. */
  async #turn(): Promise<boolean> {
    if (this.#running < maxAtOnce) {
      this.#running++;
      return true;
    }
    if (this.#waiting.length >= maxWaiting) return false;
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return true;
  }
}
