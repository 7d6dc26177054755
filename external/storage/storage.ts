import type { StorageTarget } from '../../jobs/task.ts';

/**
 * What every storage offers, and promises. `test/external/storageContract.ts` is this page as a test, which all providers run.
 *
 * Paths are relative to the path of the URI, with `/` between segments; no segment is empty, `.` or `..`, none holds a control
 * character (22023 otherwise). They may hold anything else; a provider encodes what it must. Every failure is a PgPierError whose
 * text is safe to show (errors.ts, "Storage"); a cancelled wait is 57014.
 */
export interface Storage {
  /** Where this is, without secrets, for messages: `s3://bucket/path`. */
  readonly location: string;

  /**
   * Begins an object. Nothing is visible under its name before `finish`, and an object that is already there stays as it was until
   * it is replaced as a whole. The signal cancels waits; the caller still calls `abort`.
   */
  write(path: string, options?: WriteOptions): Promise<StorageWriter>;

  /**
   * The object's bytes from `start` (default 0) up to but without `end` (default: all), fetched as they are consumed: a slow consumer
   * slows the source down, and leaving the loop early closes it. 58P01 when the object does not exist, before the first chunk. A range that
   * begins at or behind the object's end has no bytes.
   */
  read(path: string, options?: ReadOptions): AsyncIterable<Buffer>;

  /**
   * All finished objects, at any depth, whose path begins with the text `prefix` ('' for all); ordered by the bytes of the path, in
   * pages that are fetched as they are consumed. A folder that does not exist holds nothing. With `after`, those alone that come after this text
   * in that order, and what comes before is not fetched.
   */
  list(prefix: string, options?: { readonly after?: string; readonly signal?: AbortSignal }): AsyncIterable<StoredObject>;

  /** No error if the object does not exist (S3 cannot tell). */
  delete(path: string, options?: { readonly signal?: AbortSignal }): Promise<void>;

  /**
   * Removes what writers that died left behind: incomplete multipart uploads, temporary files; of objects whose path begins with `prefix`
   * and that were begun before `before` (default: now). The caller knows that no such writer is alive. Answers how many there were;
   * 0 where the store tells nobody and ends them by itself (Google).
   */
  removePartial(prefix: string, options?: { readonly before?: Date; readonly signal?: AbortSignal }): Promise<number>;

  /**
   * Uses other credentials for the same place from the next request on, also in readers and writers that are under way. Absent where a provider
   * cannot do that: then what has begun goes on with the old ones.
   */
  renew?(target: StorageTarget): void;

  /** Frees sockets. Nothing else may be called afterwards; writers must be finished or aborted before. */
  close(): Promise<void>;
}

/** Asked by a storage that has `renew` when its credentials are refused: resolves to whether it has been given others meanwhile. */
export type OtherCredentials = () => Promise<boolean>;

export interface WriteOptions {
  readonly signal?: AbortSignal;
  /**
   * The object becomes visible only where there is none of its name in that moment, in one step with the look; else the writer rejects with 58P02
   * `storageObjectExists`, in `finish` at the latest, and what is there stays. A request that was repeated since its answer was lost may find the object
   * that it made itself: whoever gets 58P02 reads what is there. 0A000 `storageConditionUnknown` from a store that has no such condition and says so.
   */
  readonly ifAbsent?: boolean;
}

export interface StorageWriter {
  /**
   * Resolves when the writer can take more; the caller waits for it, which bounds memory. The chunk must not be changed until the
   * object is finished. After a rejection only `abort` is left.
   */
  write(chunk: Buffer): Promise<void>;

  /** Makes the object visible, durably, as a whole; zero bytes are an object too. If it rejects with 08xxx, it may have happened. */
  finish(): Promise<void>;

  /** Gives up and removes every trace of this writer. Never rejects; does nothing after a successful `finish` or when repeated. */
  abort(): Promise<void>;
}

export interface ReadOptions {
  readonly start?: number;
  readonly end?: number;
  readonly signal?: AbortSignal;
}

export interface StoredObject {
  readonly path: string;
  /** Bytes. */
  readonly size: number;
}

/** What the operator decided; plain data, since it crosses to worker processes. */
export interface StorageSettings {
  /** Root of `nodelocal://`, absolute. Without it nodelocal is off. */
  readonly externalDir?: string;
  /** Where the key files of `local-kms://` lie, absolute. Without it local-kms is off. */
  readonly kmsDir?: string;
  /** The number under which `nodelocal://<n>` means this machine. */
  readonly nodeId: number;
  /** Where the other nodes are, by number: `nodelocal://<n>` reaches them with `nodeKey`. */
  readonly peers?: Readonly<Record<number, { readonly host: string; readonly port: number }>>;
  /** By which the nodes of one catalog know each other; base64. A secret, as the catalog's login is. */
  readonly nodeKey?: string;
  /** CIDRs (or single addresses) of loopback and private networks that everybody's URIs may reach. */
  readonly allowedNetworks: readonly string[];
  /** Where `userfile://` keeps its files. Without it userfile is off. Holds a password: never printed, never in an environment or an argument. */
  readonly catalog?: CatalogLogin;
  /** Refuses http and https, and custom endpoints (`--external-io-disable-http` in CockroachDB). */
  readonly disableHttp?: boolean;
  /** Patterns of the places that may be reached (`allowedLocations.ts`); absent: all. */
  readonly allowedLocations?: readonly string[];
  /** Refuses `AUTH=implicit`. */
  readonly disableImplicitCredentials?: boolean;
}

/** A login as plain data. */
export interface CatalogLogin {
  /** A name, an address, or the directory of a Unix socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls:
    | { readonly kind: 'off' }
    /** `ca`: root certificates (PEM) beside which nothing is trusted; without it, what Node trusts. */
    | { readonly kind: 'on'; readonly verify: 'nothing' | 'chain' | 'name'; readonly ca?: string };
}
