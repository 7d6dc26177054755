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

/** A piece of the client's text that PostgreSQL itself is to read. */
export interface EmbeddedQuery {
  readonly text: string;
  /** Characters before it in the client's text; added to positions in PostgreSQL's errors. */
  readonly offset: number;
}

export type Statement =
  | {
      readonly kind: 'createExternalConnection';
      readonly ifNotExists: boolean;
      readonly name: StringOrParameter;
      readonly uri: StringOrParameter;
    }
  | { readonly kind: 'dropExternalConnection'; readonly name: StringOrParameter }
  | { readonly kind: 'showExternalConnections' }
  | { readonly kind: 'showExternalConnection'; readonly name: StringOrParameter }
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
