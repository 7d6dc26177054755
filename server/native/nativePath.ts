/** FastPath over the addon's. */
import type { TransactionStatus } from '../../protocol/backend/readyForQuery.ts';
import type { FastPath, LeftPath } from '../link/fastPath.ts';
import type { CopyIn } from '../session/ledger.ts';
import type { Addon, RawLeftPath } from './addon.ts';
import type { NativeLink, PathEvents } from './nativeLink.ts';

const copyIn: readonly CopyIn[] = ['none', 'data', 'ended'];

export class NativePath implements FastPath, PathEvents {
  onLeft: FastPath['onLeft'] = () => {};
  onParameters: FastPath['onParameters'] = () => {};
  readonly #addon: Addon;
  readonly #client: NativeLink;
  #forwarding = false;

  /** Of two open links that belong to no other session. */
  constructor(addon: Addon, client: NativeLink, backend: NativeLink) {
    this.#addon = addon;
    this.#client = client;
    client.path = this;
    addon.join(client, backend);
  }

  get forwarding(): boolean {
    return this.#forwarding;
  }

  get idle(): boolean {
    return this.#addon.idle(this.#client);
  }

  begin(status: TransactionStatus): void {
    this.#forwarding = this.#addon.begin(this.#client, status.charCodeAt(0));
  }

  leave(): LeftPath | undefined {
    const raw = this.#addon.leave(this.#client);
    if (raw === undefined) return undefined;
    this.#forwarding = false;
    return leftPath(raw);
  }

  left(raw: RawLeftPath): void {
    this.#forwarding = false;
    this.onLeft(leftPath(raw));
  }
}

function leftPath(raw: RawLeftPath): LeftPath {
  return { ...raw, copyIn: copyIn[raw.copyIn]!, status: String.fromCharCode(raw.status) as TransactionStatus };
}
