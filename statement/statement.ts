/**
 * What a statement of ours means, as plain data. `classify` makes these from text, `commands/` carries them out.
 * Grammar: docs/statements.md.
 */

/** A place where the grammar takes 'string', identifier or $n. */
export type StringOrParameter =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'parameter'; readonly number: number };

/** A role as named in GRANT, REVOKE and SHOW GRANTS … FOR. */
export type RoleSpecification =
  | { readonly kind: 'role'; readonly name: string }
  | { readonly kind: 'public' }
  | { readonly kind: 'currentUser' }
  | { readonly kind: 'sessionUser' };

export interface StatementOption {
  /** Lower-cased unless quoted. */
  readonly name: string;
  readonly value?: StringOrParameter;
  /** 1-based, in characters, where the option's name begins. */
  readonly position: number;
}

/** `'all'` for ALL [PRIVILEGES]; else the words as written, upper-cased, in statement order. */
export type PrivilegeList = 'all' | readonly string[];

/**
 * `t`, `s.t`, `d.s.t`, `s.*`, `d.*`, `d.s.*`, `*`: names as PostgreSQL folds and cuts them, without their dots. What two of them mean (a schema, or a
 * database with its public schema) depends on what there is: the command decides.
 */
export interface TablePattern {
  /** At most three; with `all` at most two. */
  readonly names: readonly string[];
  /** Ends in `*`. */
  readonly all: boolean;
}

/** What BACKUP takes and RESTORE gives back. At least one of either. */
export type BackupTargets =
  | { readonly kind: 'database'; readonly databases: readonly string[] }
  | { readonly kind: 'table'; readonly patterns: readonly TablePattern[] };

export interface BackupStatement {
  readonly targets: BackupTargets;
  readonly uri: StringOrParameter;
}

/** Which backup of a collection: the newest finished one, or a folder as SHOW BACKUPS prints it. */
export type BackupReference = { readonly kind: 'latest' } | { readonly kind: 'subdirectory'; readonly path: StringOrParameter };

export interface RestoreOptions {
  readonly intoDb?: StringOrParameter;
  readonly newDbName?: StringOrParameter;
  readonly schemaOnly: boolean;
  readonly verifyBackupTableData: boolean;
  readonly skipMissingForeignKeys: boolean;
  readonly skipMissingSequences: boolean;
  readonly skipMissingSequenceOwners: boolean;
  readonly skipMissingViews: boolean;
  readonly skipMissingUdfs: boolean;
  /** Owners and privileges come back too. */
  readonly grants: boolean;
}

export interface RestoreStatement {
  readonly targets: BackupTargets;
  readonly from: BackupReference;
  readonly uri: StringOrParameter;
  readonly options: RestoreOptions;
}

export interface ControlJobsStatement {
  /** Numbers or strings as written, unchecked: decimal int8 if the user is right. At least one. */
  readonly jobs: readonly StringOrParameter[];
  readonly reason?: StringOrParameter;
}

/** A piece of the client's text that PostgreSQL itself is to read. */
export interface EmbeddedQuery {
  readonly text: string;
  /** Characters before it in the client's text; added to positions in PostgreSQL's errors. */
  readonly offset: number;
}

/** `key = 'value'` of CREATE CONNECTION. */
export interface ConnectionOption {
  /** Lower case. */
  readonly key: string;
  readonly value: StringOrParameter;
}

/** What ALTER EXTERNAL CONNECTION does to one. */
export type ConnectionChange =
  | { readonly kind: 'uri'; readonly uri: StringOrParameter }
  | { readonly kind: 'setFallback'; readonly uri: StringOrParameter }
  | { readonly kind: 'dropFallback' };

export type Statement =
  | {
      readonly kind: 'createExternalConnection';
      readonly ifNotExists: boolean;
      readonly name: StringOrParameter;
      readonly uri: StringOrParameter;
    }
  | {
      readonly kind: 'alterExternalConnection';
      readonly ifExists: boolean;
      readonly name: StringOrParameter;
      readonly change: ConnectionChange;
    }
  | {
      readonly kind: 'checkExternalConnection';
      readonly uri: StringOrParameter;
      readonly transfer?: StringOrParameter;
      readonly time?: StringOrParameter;
      readonly concurrently?: StringOrParameter;
    }
  | { readonly kind: 'dropExternalConnection'; readonly name: StringOrParameter; readonly restrict: boolean }
  | {
      readonly kind: 'createConnection';
      readonly orReplace: boolean;
      readonly ifNotExists: boolean;
      readonly name: StringOrParameter;
      readonly options: readonly ConnectionOption[];
    }
  | { readonly kind: 'dropConnection'; readonly ifExists: boolean; readonly name: StringOrParameter; readonly restrict: boolean }
  | { readonly kind: 'showConnections' }
  | { readonly kind: 'describeConnection'; readonly name: StringOrParameter }
  | { readonly kind: 'showExternalConnections' }
  | { readonly kind: 'showExternalConnection'; readonly name: StringOrParameter }
  /** Of all connections where no name is given. */
  | { readonly kind: 'showConnectionUsage'; readonly name?: StringOrParameter }
  | { readonly kind: 'showCreateAllExternalConnections' }
  | { readonly kind: 'showCreateExternalConnection'; readonly name: StringOrParameter }
  | {
      readonly kind: 'grantSystem';
      readonly privileges: PrivilegeList;
      readonly grantees: readonly RoleSpecification[];
      readonly withGrantOption: boolean;
    }
  | {
      readonly kind: 'revokeSystem';
      readonly privileges: PrivilegeList;
      readonly grantees: readonly RoleSpecification[];
      readonly grantOptionFor: boolean;
    }
  | {
      readonly kind: 'grantOnExternalConnection';
      readonly privileges: PrivilegeList;
      readonly connections: readonly string[];
      readonly grantees: readonly RoleSpecification[];
      readonly withGrantOption: boolean;
    }
  | {
      readonly kind: 'revokeOnExternalConnection';
      readonly privileges: PrivilegeList;
      readonly connections: readonly string[];
      readonly grantees: readonly RoleSpecification[];
      readonly grantOptionFor: boolean;
    }
  | {
      readonly kind: 'showGrantsOnExternalConnection';
      readonly connections: readonly string[];
      readonly grantees?: readonly RoleSpecification[];
    }
  | { readonly kind: 'showSystemGrants'; readonly grantees?: readonly RoleSpecification[] }
  | {
      readonly kind: 'exportIntoCsv';
      readonly uri: StringOrParameter;
      readonly options: readonly StatementOption[];
      readonly query: EmbeddedQuery;
    }
  | ({ readonly kind: 'backup' } & BackupStatement)
  | ({ readonly kind: 'backupDetached' } & BackupStatement)
  | ({ readonly kind: 'restore' } & RestoreStatement)
  | ({ readonly kind: 'restoreDetached' } & RestoreStatement)
  | {
      readonly kind: 'showBackups';
      readonly uri: StringOrParameter;
      /** Points in time or intervals, as `commands/showBackups.ts` reads them. */
      readonly newerThan?: StringOrParameter;
      readonly olderThan?: StringOrParameter;
    }
  | {
      readonly kind: 'showBackup';
      readonly from: BackupReference;
      readonly uri: StringOrParameter;
      /** SHOW BACKUP SCHEMAS: with the statements that make the objects. */
      readonly schemas: boolean;
      readonly asJson: boolean;
      readonly checkFiles: boolean;
      readonly privileges: boolean;
      readonly skipSize: boolean;
    }
  | { readonly kind: 'showJobs' }
  /** `job`, `jobs`: numbers or strings as written, unchecked. */
  | { readonly kind: 'showJob'; readonly job: StringOrParameter }
  | { readonly kind: 'showJobWhenComplete'; readonly jobs: readonly StringOrParameter[] }
  | ({ readonly kind: 'pauseJobs' } & ControlJobsStatement)
  | ({ readonly kind: 'resumeJobs' } & ControlJobsStatement)
  | ({ readonly kind: 'cancelJobs' } & ControlJobsStatement)
  /** A statement of either dialect that PgPier knows by name and does not carry out yet; answered 0A000. */
  | { readonly kind: 'notYet'; readonly what: string };

export type StatementKind = Statement['kind'];
export type StatementOf<K extends StatementKind> = Extract<Statement, { kind: K }>;

/** One statement of ours with where it stood. */
export interface OwnStatement {
  readonly statement: Statement;
  /** The highest n of any $n in its text, 0 if none. */
  readonly parameterCount: number;
}

/** What a Query or Parse text is to us. */
export type Classification =
  /** Goes to PostgreSQL unchanged. */
  | { readonly kind: 'foreign' }
  /** Every statement in the text is ours; at least one. */
  | { readonly kind: 'own'; readonly statements: readonly OwnStatement[] }
  /** Ours and PostgreSQL's in one text: nothing runs. */
  | { readonly kind: 'mixed' }
  /** Begins as one of ours does and cannot be read further: our 42601. */
  | { readonly kind: 'malformed'; readonly error: import('../errors.ts').PgPierError };
