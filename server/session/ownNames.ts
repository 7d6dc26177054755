/**
 * Which prepared statements and portals of a session are ours. The backend keeps the names themselves (each of ours is a shadow there); this is
 * only what it said so far, plus what is under way in the ledger (own statements: pitfalls 3, 4). Pure.
 */
import type { Bind } from '../../protocol/frontend/bind.ts';
import type { Column, Value } from '../../protocol/values.ts';
import type { OwnStatement } from '../../statement/statement.ts';

export interface Prepared {
  readonly own: OwnStatement;
  /** Null where the statement returns no rows. */
  readonly columns: readonly Column[] | null;
  /** As the shadow declares them: every parameter has a type. */
  readonly typeOids: readonly number[];
  /** As the client declared them; 0: not declared. */
  readonly declaredOids: readonly number[];
}

/** How far a portal of ours has been executed. */
export type Progress =
  | { readonly kind: 'bound' }
  /** Its statement began. Where it stays so the statement failed, and the portal is never run again, as PostgreSQL keeps it. */
  | { readonly kind: 'begun' }
  /** Rows not yet sent wait for further Executes. */
  | { readonly kind: 'executed'; readonly rows: readonly (readonly Value[])[]; readonly next: number; readonly tag: string };

export interface Portal {
  readonly prepared: Prepared;
  /** `tooLarge`: the Bind was longer than what is held. */
  readonly bind: Bind | 'tooLarge';
  progress: Progress;
}

/** The part of a ledger's notes that changes names. */
export type NameNote =
  | { readonly whole: false; readonly kind: 'parse'; readonly name: string; readonly prepared: Prepared | undefined }
  | {
      readonly whole: false;
      readonly kind: 'bind';
      readonly portal: string;
      readonly statement: string;
      readonly bind: Bind | 'tooLarge' | undefined;
    }
  | { readonly whole: false; readonly kind: 'close'; readonly of: 'statement' | 'portal'; readonly name: string }
  /** A Query drops the unnamed statement and portal. */
  | { readonly whole: false; readonly kind: 'query' };

/** `unsettled`: depends on a reply that is still to come. */
export type Ownership = 'own' | 'foreign' | 'unsettled';

type Pending = Iterable<{ readonly note: { readonly kind: string }; readonly syncAfter: boolean }>;

export class OwnNames {
  readonly #statements = new Map<string, Prepared>();
  readonly #portals = new Map<string, Portal>();

  get empty(): boolean {
    return this.#statements.size === 0 && this.#portals.size === 0;
  }

  portal(name: string): Portal | undefined {
    return this.#portals.get(name);
  }

  /** What a Bind sent now would find under `name`. */
  statementOwnership(name: string, pending: Pending): Ownership {
    for (const { note, syncAfter } of pending as Iterable<{ note: NameNote; syncAfter: boolean }>) {
      let owned: boolean | undefined;
      if (note.kind === 'parse' && note.name === name) owned = note.prepared !== undefined;
      else if (note.kind === 'close' && note.of === 'statement' && note.name === name) owned = false;
      else if (note.kind === 'query' && name === '') owned = false;
      if (owned !== undefined) return syncAfter && owned !== this.#statements.has(name) ? 'unsettled' : owned ? 'own' : 'foreign';
    }
    return this.#statements.has(name) ? 'own' : 'foreign';
  }

  /** What an Execute sent now would find under `name`. */
  portalOwnership(name: string, pending: Pending): Ownership {
    for (const { note, syncAfter } of pending as Iterable<{ note: NameNote; syncAfter: boolean }>) {
      let owned: boolean | undefined;
      if (note.kind === 'bind' && note.portal === name) owned = note.bind !== undefined;
      else if (note.kind === 'close' && note.of === 'portal' && note.name === name) owned = false;
      else if (note.kind === 'query' && name === '') owned = false;
      if (owned !== undefined) return syncAfter && owned !== this.#portals.has(name) ? 'unsettled' : owned ? 'own' : 'foreign';
    }
    return this.#portals.has(name) ? 'own' : 'foreign';
  }

  /** The backend carried the noted message out. */
  confirm(note: NameNote): void {
    switch (note.kind) {
      case 'parse':
        if (note.prepared === undefined) this.#statements.delete(note.name);
        else this.#statements.set(note.name, note.prepared);
        return;
      case 'bind': {
        const prepared = this.#statements.get(note.statement);
        if (prepared === undefined || note.bind === undefined) this.#portals.delete(note.portal);
        else this.#portals.set(note.portal, { prepared, bind: note.bind, progress: { kind: 'bound' } });
        return;
      }
      case 'close':
        if (note.of === 'statement') this.#statements.delete(note.name);
        else this.#portals.delete(note.name);
        return;
      case 'query':
        this.forgetUnnamed();
        return;
    }
  }

  /** A failed Parse of the unnamed statement, and any Query, drop it. */
  forgetUnnamed(): void {
    this.#statements.delete('');
    this.#portals.delete('');
  }

  /** The name now belongs to something of PostgreSQL's (DEALLOCATE and PREPARE in SQL). */
  forgetPortal(name: string): void {
    const portal = this.#portals.get(name);
    this.#portals.delete(name);
    for (const [statement, prepared] of this.#statements) if (prepared === portal?.prepared) this.#statements.delete(statement);
  }

  /** The transaction ended: no portal outlives it. */
  forgetPortals(): void {
    this.#portals.clear();
  }
}
