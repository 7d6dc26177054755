/** What the relay asks of worker processes. Tasks and results are plain data: they cross a process boundary. */
import type { Notice } from '../commands/command.ts';

/** A storage URI with its secrets, resolved: never `external://`. */
export interface StorageTarget {
  readonly uri: string;
  /** Whether loopback and private addresses may be reached (superusers and members of the admin role; others by the allow-list alone). */
  readonly trusted: boolean;
}

/** Writes, lists and reads the marker file `crdb_external_storage_location` (spec: cockroachdb §1.3). */
export interface CheckStorageTask {
  readonly kind: 'checkStorage';
  readonly target: StorageTarget;
}

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

export interface TaskResults {
  checkStorage: null;
  export: readonly ExportedFile[];
}

export type Task = CheckStorageTask | ExportTask;

export interface TaskOptions {
  readonly signal: AbortSignal;
  readonly onNotice?: (notice: Notice) => void;
}

/** The worker processes, as the relay sees them. Rejects with PgPierError. */
export interface Workers {
  run<T extends Task>(task: T, options: TaskOptions): Promise<TaskResults[T['kind']]>;
  /** Refuses new tasks, waits for running ones until the signal aborts, ends the processes. */
  stop(deadline: AbortSignal): Promise<void>;
}
