/** What the relay asks of worker processes. Tasks and results are plain data: they cross a process boundary. */
import type { Transferred } from '../catalog/connectionUse.ts';
import type { Notice } from '../commands/command.ts';
import type { ProviderTarget } from '../external/provider.ts';
import type { SinkReport } from '../external/sinks/sink.ts';
import type { Measurement } from '../external/storage/measure.ts';
import type { BackupChoice, UnfinishedBackup } from './backup/collection.ts';
import type { BackedUpObject } from './backup/manifest.ts';

export type { Transferred } from '../catalog/connectionUse.ts';

/** A storage URI with its secrets, resolved: never `external://`. */
export interface StorageTarget extends ProviderTarget {
  /** Whose files a `userfile://` URI means (resolved, and the asker may): a role's oid (0: a dropped role's), and '' for its own or a qualified name. */
  readonly userfile?: { readonly owner: number; readonly name: string };
  /** The connection's second set of credentials for the same place. */
  readonly fallback?: { readonly uri: string; readonly trusted: boolean };
}

/** Writes, lists and reads the marker file `crdb_external_storage_location` (spec: cockroachdb §1.3). */
export interface CheckStorageTask {
  readonly kind: 'checkStorage';
  readonly target: StorageTarget;
}

/** Encrypts and decrypts a marker text (spec: cockroachdb §1.3). */
export interface CheckKeyServiceTask {
  readonly kind: 'checkKeyService';
  readonly target: ProviderTarget;
}

/** Connects to a sink and asks what it tells about itself; nothing is written. */
export interface CheckSinkTask {
  readonly kind: 'checkSink';
  readonly target: ProviderTarget;
}

/** Tries a connection out, of whatever kind (spec: cockroachdb §1.8). */
export interface CheckConnectionTask {
  readonly kind: 'checkConnection';
  readonly place: /** Writes, reads and deletes files of random bytes: `size` is one file's, and rounds begin until `milliseconds` have passed; 0: one. */
    | { readonly kind: 'storage'; readonly target: StorageTarget; readonly size: number; readonly milliseconds: number }
    | { readonly kind: 'keyService'; readonly target: ProviderTarget }
    /** Sends one message. */
    | { readonly kind: 'sink'; readonly target: ProviderTarget };
}

export type CheckedConnection =
  | ({ readonly kind: 'measured'; readonly node: number } & Measurement)
  /** Of what is no storage: bytes that were sent, and what was found, in words. */
  | { readonly kind: 'answered'; readonly node: number; readonly bytes: number; readonly found: string }
  | { readonly kind: 'failed'; readonly node: number; readonly error: string };

/** A backend login that a worker uses: the short-lived job role, never the service role. */
export interface BackendLogin {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** libpq's words; the worker uses the same TLS settings as the relay. */
  readonly sslmode: 'disable' | 'allow' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';
  readonly sslrootcert?: string;
}

export interface ExportTask {
  readonly kind: 'export';
  readonly target: StorageTarget;
  readonly login: BackendLogin;
  /** SET ROLE to this after login. */
  readonly role: string;
  /** search_path, DateStyle, … of the client's session. */
  readonly settings: Readonly<Record<string, string>>;
  readonly query: { readonly text: string; readonly offset: number };
  readonly parameters: readonly { readonly value: string | null; readonly typeOid: number }[];
  /** Hex, the same for all files of one run. */
  readonly exportId: string;
  readonly csv: { readonly delimiter: string; readonly nullas?: string };
  readonly compression: 'none' | 'gzip';
  readonly chunkRows: number;
  /** Bytes, before compression. */
  readonly chunkSize: number;
}

export interface ExportedFile {
  readonly filename: string;
  readonly rows: number;
  readonly bytes: number;
}

/** What a collection holds. */
export interface ShowBackupsTask {
  readonly kind: 'showBackups';
  readonly target: StorageTarget;
  /** Milliseconds since 1970; those that began in that very moment are neither. */
  readonly newerThan?: number;
  readonly olderThan?: number;
}

/** Folders as `backup/collection.ts` names them, oldest first. */
export interface ShownBackups {
  readonly finished: readonly string[];
  readonly unfinished: readonly UnfinishedBackup[];
}

/** What a backup holds. */
export interface ShowBackupTask {
  readonly kind: 'showBackup';
  readonly target: StorageTarget;
  readonly choice: BackupChoice;
  readonly checkFiles: boolean;
  /** The manifest as JSON, or its objects with what is asked for. */
  readonly show: { readonly kind: 'json' } | { readonly kind: 'objects'; readonly createStatements: boolean; readonly privileges: boolean };
}

export type ShownBackup =
  | { readonly kind: 'json'; readonly manifest: string }
  /** `time`: the moment whose data it holds, ISO 8601. */
  | { readonly kind: 'objects'; readonly time: string; readonly objects: readonly ShownObject[] };

export interface ShownObject {
  readonly database: string;
  /** Empty for a database and a schema. */
  readonly schema: string;
  readonly name: string;
  readonly type: BackedUpObject['type'];
  readonly bytes: number;
  readonly rows: number;
  readonly createStatement?: string;
  readonly owner?: string;
  /** GRANT statements; absent for the defaults. */
  readonly privileges?: string;
  /** Stored bytes of what is the object's own; absent where it has no files, or they were not checked. */
  readonly fileBytes?: number;
}

export interface TaskResults {
  checkStorage: null;
  checkKeyService: null;
  checkSink: SinkReport;
  checkConnection: CheckedConnection;
  export: readonly ExportedFile[];
  showBackups: ShownBackups;
  showBackup: ShownBackup;
}

export type Task =
  | CheckStorageTask
  | CheckKeyServiceTask
  | CheckSinkTask
  | CheckConnectionTask
  | ExportTask
  | ShowBackupsTask
  | ShowBackupTask;

export interface TaskOptions {
  readonly signal: AbortSignal;
  readonly onNotice?: (notice: Notice) => void;
  /** What the connection of the task's target leads to now; a task goes on with that. Rejects with the PgPierError that ends the task. */
  readonly resolve?: () => Promise<StorageTarget>;
  /** Called once, before the task settles, unless its process died. */
  readonly onTransferred?: (transferred: Transferred) => void;
}

/** The worker processes, as the relay sees them. Rejects with PgPierError. */
export interface Workers {
  run<T extends Task>(task: T, options: TaskOptions): Promise<TaskResults[T['kind']]>;
  /** Refuses new tasks, waits for running ones until the signal aborts, ends the processes. */
  stop(deadline: AbortSignal): Promise<void>;
}
