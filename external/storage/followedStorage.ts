/**
 * A storage that follows its connection: work of hours goes on with the credentials that ALTER EXTERNAL CONNECTION gives meanwhile, and with the
 * connection's second set where the first is refused. Before an operation, and now and then within one, the connection is looked at again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { samePlace } from './place.ts';
import { refusesCredentials } from './refusedCredentials.ts';
import type { OtherCredentials, ReadOptions, Storage, StorageSettings, StorageWriter, StoredObject, WriteOptions } from './storage.ts';
import { openStorage } from './storages.ts';

export interface Follower {
  /**
   * What the connection leads to now; the asker's rights are asked again. Rejects with the PgPierError of class 22 or 42 that ends the work; with any other
   * where it cannot be told at the moment.
   */
  readonly resolve: () => Promise<StorageTarget>;
  readonly notice: (change: Change) => void;
  /** Least time between two looks, in milliseconds. */
  readonly lookMilliseconds?: number;
}

/** What the user of the storage is told: a notice of PostgreSQL's shape. */
export interface Change {
  readonly severity: 'NOTICE' | 'WARNING';
  readonly sqlstate: string;
  readonly message: string;
  readonly hint?: string;
}

/** Which of a connection's credentials are in use. */
export type CredentialSet = 'first' | 'second';

export interface FollowedStorage extends Storage {
  readonly credentials: CredentialSet;
}

const defaultLook = 3_000;
const patience = 2_000;

/** A target without a connection has nothing to follow: it is opened as it is. */
export async function openFollowed(target: StorageTarget, settings: StorageSettings, follower: Follower): Promise<FollowedStorage> {
  const following = new Following(target, settings, follower);
  await following.open();
  return following;
}

type Signal = { readonly signal?: AbortSignal };

class Following implements FollowedStorage {
  readonly #settings: StorageSettings;
  readonly #follower: Follower;
  /** As it was resolved last; what is open is its first or its second URI. */
  #target: StorageTarget;
  #version: string | undefined;
  #credentials: CredentialSet = 'first';
  #storage!: Storage;
  /** Replaced ones, in which something may be under way. */
  readonly #replaced: Storage[] = [];
  #looked = performance.now();
  #looking: Promise<void> | undefined;
  #asking: Promise<boolean> | undefined;
  #closed = false;
  /** The right to go on was taken away. */
  #ended: PgPierError | undefined;

  constructor(target: StorageTarget, settings: StorageSettings, follower: Follower) {
    this.#target = target;
    this.#version = target.connection?.version;
    this.#settings = settings;
    this.#follower = follower;
  }

  get location(): string {
    return this.#storage.location;
  }

  get credentials(): CredentialSet {
    return this.#credentials;
  }

  async open(): Promise<void> {
    this.#storage = await openStorage(this.#target, this.#settings, this.#others);
  }

  async write(path: string, options?: WriteOptions): Promise<StorageWriter> {
    const writer = await this.#run((storage) => storage.write(path, options));
    return {
      write: async (chunk) => {
        this.#glance();
        await writer.write(chunk);
      },
      finish: async () => {
        await this.#look();
        await writer.finish();
      },
      abort: () => writer.abort(),
    };
  }

  async *read(path: string, options: ReadOptions = {}): AsyncIterable<Buffer> {
    let begun = false;
    yield* this.#stream(
      (storage) => storage.read(path, options),
      () => {
        begun = true;
      },
      // What comes of another opening may be another object.
      () => !begun,
    );
  }

  async *list(prefix: string, options: Signal & { readonly after?: string } = {}): AsyncIterable<StoredObject> {
    let after = options.after;
    yield* this.#stream(
      (storage) => storage.list(prefix, { ...options, ...(after === undefined ? {} : { after }) }),
      ({ path }) => {
        after = path;
      },
      () => true,
    );
  }

  delete(path: string, options?: Signal): Promise<void> {
    return this.#run((storage) => storage.delete(path, options));
  }

  removePartial(prefix: string, options?: Signal & { readonly before?: Date }): Promise<number> {
    return this.#run((storage) => storage.removePartial(prefix, options));
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#storage, ...this.#replaced].map((storage) => storage.close()));
  }

  async #run<T>(operation: (storage: Storage) => Promise<T>): Promise<T> {
    await this.#look();
    const storage = this.#storage;
    try {
      return await operation(storage);
    } catch (error) {
      if (!(await this.#again(storage, error))) throw error;
      return await operation(this.#storage);
    }
  }

  async *#stream<T>(begin: (storage: Storage) => AsyncIterable<T>, came: (item: T) => void, mayRepeat: () => boolean): AsyncIterable<T> {
    await this.#look();
    for (let tries = 2; ; tries--) {
      const storage = this.#storage;
      try {
        for await (const item of begin(storage)) {
          this.#glance();
          came(item);
          yield item;
        }
        return;
      } catch (error) {
        if (tries === 0 || !mayRepeat() || !(await this.#again(storage, error))) throw error;
      }
    }
  }

  /** Whether it is worth another try. A storage with `renew` has asked and tried by itself. */
  async #again(storage: Storage, error: unknown): Promise<boolean> {
    if (!refusesCredentials(error) || storage.renew !== undefined) return false;
    return storage !== this.#storage || (await this.#others());
  }

  /** Throws where the work must not go on. */
  async #look(): Promise<void> {
    // A catalog that does not answer does not hold up what needs nothing of it.
    if (this.#isDue()) await Promise.race([this.#lookNow(), sleep(patience, undefined, { ref: false })]);
    if (this.#ended !== undefined) throw this.#ended;
  }

  /** As `#look`, without waiting: bytes are flowing. */
  #glance(): void {
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#isDue()) void this.#lookNow();
  }

  #isDue(): boolean {
    const { connection } = this.#target;
    return connection !== undefined && performance.now() - this.#looked >= (this.#follower.lookMilliseconds ?? defaultLook);
  }

  #lookNow(): Promise<void> {
    this.#looking ??= this.#resolve().finally(() => {
      this.#looked = performance.now();
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** Never rejects. A right or a connection that is gone ends the work; a catalog that is away changes nothing: the next look may tell. */
  async #resolve(): Promise<void> {
    try {
      const next = await this.#follower.resolve();
      if (next.connection?.version !== this.#version) await this.#take(next);
    } catch (error) {
      if (error instanceof PgPierError && /^(22|42)/.test(error.data.sqlstate)) this.#ended = error;
    }
  }

  async #take(next: StorageTarget): Promise<void> {
    const { connection } = next;
    if (connection === undefined || this.#closed) return;
    this.#version = connection.version;
    if (!samePlace(next, this.#target)) {
      this.#follower.notice({
        severity: 'WARNING',
        sqlstate: '01000',
        message: `external connection ${connection.name} leads to another place now: what is under way goes on at the old one, with the old credentials`,
      });
      return;
    }
    this.#target = next;
    this.#credentials = 'first';
    await this.#use(next);
    this.#follower.notice({
      severity: 'NOTICE',
      sqlstate: '00000',
      message: `external connection ${connection.name} was altered: its present credentials are used from now on`,
    });
  }

  async #use(target: StorageTarget): Promise<void> {
    if (this.#storage.renew !== undefined) return this.#storage.renew(target);
    const opened = await openStorage(target, this.#settings);
    this.#replaced.push(this.#storage);
    this.#storage = opened;
  }

  /** Many requests may be refused at once: one of them asks. */
  readonly #others: OtherCredentials = () => {
    this.#asking ??= this.#other().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  };

  /** Those that the connection has been given meanwhile; else its second set. */
  async #other(): Promise<boolean> {
    const { connection } = this.#target;
    if (connection === undefined) return false;
    const before = this.#target;
    await this.#lookNow();
    if (this.#ended !== undefined) throw this.#ended;
    if (this.#target !== before) return true;
    const { fallback } = this.#target;
    if (fallback === undefined || this.#credentials === 'second') return false;
    this.#credentials = 'second';
    await this.#use({ ...this.#target, ...fallback });
    this.#follower.notice({
      severity: 'WARNING',
      sqlstate: '01000',
      message: `the credentials of external connection ${connection.name} were refused: its second set is used`,
      hint: `Give it others: ALTER EXTERNAL CONNECTION … AS '…'.`,
    });
    return true;
  }
}
