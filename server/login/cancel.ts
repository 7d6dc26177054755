/**
 * Cancel keys. A client is given the backend's own pid (drivers use it) with a secret of ours, so that a cancel comes to us, who know whether a statement
 * of ours runs. A request with a wrong key is dropped without a word.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { CancelKey } from '../../protocol/frontend/cancelRequest.ts';
import { cancelTimeoutMs } from './forwardCancel.ts';
import type { SessionHandle } from './loggedIn.ts';
import { arrived, ownerOf, type Peers, passOn } from './peers.ts';
import type { Siblings } from './siblings.ts';
import { Turns } from './turns.ts';

/** Cancels under way at once: a burst must not use up the backend's connections. More are dropped, as a lost network packet would be. */
const most = { running: 64, waiting: 4096 };

/** As long as the backend's own key: what the client's protocol version allows. With peers the first byte is this node's number; the rest stays random. */
export function mintSecret(length: number, peers?: Peers): Buffer {
  const secret = randomBytes(length);
  if (peers) secret[0] = peers.nodeId;
  return secret;
}

/** Who else may have the session that a request means. */
export interface Elsewhere {
  readonly peers?: Peers | undefined;
  readonly siblings?: Siblings | undefined;
}

export class CancelRegistry {
  /** Several backends behind one address may use the same pid. */
  readonly #sessions = new Map<number, { readonly secret: Buffer; readonly handle: SessionHandle }[]>();
  readonly #elsewhere: Elsewhere;
  readonly #deliveries = new Turns(most);
  /** Turns of their own: two relays that each wait for the other's turns would wait in vain. */
  readonly #passing = new Turns(most);

  constructor(elsewhere: Elsewhere = {}) {
    this.#elsewhere = elsewhere;
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

  /** A client's request: resolves when the cancel has been delivered, dropped, or has taken too long. Never rejects. */
  async cancel(request: CancelKey): Promise<void> {
    const { key, byPeer } = arrived(request);
    const { peers, siblings } = this.#elsewhere;
    const handle = this.#find(key);
    const owner = !handle && !byPeer && peers && ownerOf(key, peers);
    if (handle) await this.#deliveries.run(() => handle.cancel(), cancelTimeoutMs);
    else if (owner) await this.#passing.run(() => passOn(key, owner), cancelTimeoutMs);
    else if (siblings) await this.#passing.run(() => siblings.pass(key), cancelTimeoutMs);
  }

  /** As `cancel`, for a request that a sibling passes on: it goes no further. */
  async cancelHere(key: CancelKey): Promise<void> {
    const handle = this.#find(key);
    if (handle) await this.#deliveries.run(() => handle.cancel(), cancelTimeoutMs);
  }

  #find(key: CancelKey): SessionHandle | undefined {
    let found: SessionHandle | undefined;
    for (const { secret, handle } of this.#sessions.get(key.pid) ?? []) {
      if (secret.length === key.secret.length && timingSafeEqual(secret, key.secret)) found = handle;
    }
    return found;
  }
}
