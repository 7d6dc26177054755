/** The storages of one piece of work: each follows its connection, and what they move is counted together. */
import { type Bytes, countBytes } from '../external/storage/countedStorage.ts';
import { type FollowedStorage, type Follower, openFollowed } from '../external/storage/followedStorage.ts';
import type { Storage, StorageSettings } from '../external/storage/storage.ts';
import type { StorageTarget, Transferred } from './task.ts';

export class OpenedStorages {
  readonly #settings: StorageSettings;
  readonly #bytes: Bytes = { written: 0, read: 0 };
  #last: FollowedStorage | undefined;

  constructor(settings: StorageSettings) {
    this.#settings = settings;
  }

  /** The caller closes it. */
  async open(target: StorageTarget, follower: Follower): Promise<Storage> {
    this.#last = await openFollowed(target, this.#settings, follower);
    return countBytes(this.#last, this.#bytes);
  }

  get transferred(): Transferred {
    return { ...this.#bytes, credentials: this.#last?.credentials ?? 'first' };
  }
}
