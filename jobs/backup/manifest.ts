/**
 * The manifest of a backup: `BACKUP_MANIFEST`, JSON, written last; a backup without one does not exist. Format: docs/backup-format.md.
 * A manifest is untrusted input: `readManifest` checks every field before anything is done with it. `finishBackup` writes it, and no other one.
 */

export interface Manifest {
  readonly format: 'pgpier-backup';
  readonly version: 1;
  /** UUID of this backup. */
  readonly id: string;
  /** PgPier's version, of `package.json`. */
  readonly writtenBy: string;
  readonly server: {
    /** As `SHOW server_version` says. */
    readonly version: string;
    /** `server_version_num`: 180004. */
    readonly versionNumber: number;
  };
  /** ISO 8601 with microseconds, UTC, the server's clock: when the snapshot was taken, and when all data was read. */
  readonly startTime: string;
  readonly endTime: string;
  /** What the statement named. */
  readonly targets:
    | { readonly kind: 'database'; readonly databases: readonly string[] }
    | { readonly kind: 'table'; readonly patterns: readonly string[] };
  readonly databases: readonly BackedUpDatabase[];
}

export interface BackedUpDatabase {
  readonly name: string;
  readonly owner: string;
  readonly encoding: string;
  readonly localeProvider: 'libc' | 'icu' | 'builtin';
  readonly collate: string;
  readonly ctype: string;
  readonly locale?: string;
  readonly icuRules?: string;
  readonly connectionLimit: number;
  /** ACL, comment and ALTER DATABASE … SET, as SQL statements that name the database as `name`. */
  readonly properties: readonly string[];
  /** pg_dump's pre-data and post-data sections, plain SQL, zstd frames. */
  readonly preData: StoredFile;
  readonly postData: StoredFile;
  /** Every table with data of its own: ordinary tables, partitions, the data of configuration tables of extensions. Not views. */
  readonly tables: readonly BackedUpTable[];
  readonly sequences: readonly BackedUpSequence[];
  /** COPY text of (oid, offset, bytes); absent without large objects. */
  readonly largeObjects?: { readonly count: number; readonly files: readonly DataFile[] };
  /** What SHOW BACKUP lists, in its order. */
  readonly objects: readonly BackedUpObject[];
  /** A psql script that restores the database from the files beside it. */
  readonly script: StoredFile;
}

export interface BackedUpTable {
  readonly schema: string;
  readonly name: string;
  /** In the order of the COPY files' fields; without generated columns. */
  readonly columns: readonly string[];
  readonly rows: number;
  readonly files: readonly DataFile[];
}

export interface BackedUpSequence {
  readonly schema: string;
  readonly name: string;
  /** Decimal int8. */
  readonly lastValue: string;
  readonly isCalled: boolean;
}

export interface StoredFile {
  /** Relative to the backup's folder. */
  readonly path: string;
  /** As stored. */
  readonly bytes: number;
  /** Of the stored bytes, hex. */
  readonly sha256: string;
}

/** COPY text in zstd frames (`formats/zstdFrames.ts`). Each file begins and ends at a row. */
export interface DataFile extends StoredFile {
  readonly rows: number;
  /** Before compression. */
  readonly rawBytes: number;
}

export interface BackedUpObject {
  /** Empty for a database and a schema itself, as SHOW BACKUP prints NULL there. */
  readonly schema: string;
  readonly name: string;
  readonly type: 'database' | 'schema' | 'table' | 'type' | 'function';
  readonly owner: string;
  /** `aclitem[]` as text items; absent: the defaults of the type. */
  readonly privileges?: readonly string[];
  /** The entry of pg_dump, comments and all. */
  readonly createStatement?: string;
  readonly bytes: number;
  readonly rows: number;
}
