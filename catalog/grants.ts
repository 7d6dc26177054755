/** The rows behind GRANT and REVOKE. Who may change them is asked in `privileges.ts`. */
import { randomUUID } from 'node:crypto';
import { PgPierError } from '../errors.ts';
import type { ExternalConnection } from './connections.ts';
import { grant, noPrivileges, objectPrivileges, type PrivilegeSet, revoke, systemPrivileges } from './privilegeSet.ts';
import type { Roles } from './roles.ts';
import { exists, pendingElsewhere } from './settle.ts';
import type { Store } from './transaction.ts';

/** What a right is held on. `lockName` of the connection comes before a change. */
export type GrantTarget = { readonly kind: 'system' } | { readonly kind: 'connection'; readonly connection: ExternalConnection };

export interface GrantChange {
  readonly target: GrantTarget;
  /** Role oid; 0 is PUBLIC. */
  readonly grantee: number;
  /** Words from `privilegeSet.ts`, or `ALL`. */
  readonly privileges: readonly string[];
}

/** One line of SHOW GRANTS. */
export interface Grant {
  readonly grantee: string;
  readonly oid: number;
  readonly privilege: string;
  readonly grantable: boolean;
}

interface Row {
  privilege_id: string;
  privilege: string;
  grant_option: boolean;
}

export class Grants {
  readonly #store: Store;
  readonly #roles: Roles;

  constructor(store: Store, roles: Roles) {
    this.#store = store;
    this.#roles = roles;
  }

  /** Throws `changePending` while another session changes the rights of that grantee on that object. */
  async grant(change: GrantChange & { readonly withGrantOption: boolean }): Promise<void> {
    await this.#change(change, (set) => grant(set, change.privileges, change.withGrantOption));
  }

  /** Throws `changePending`, as `grant`. */
  async revoke(change: GrantChange & { readonly grantOptionFor: boolean }): Promise<void> {
    const every = change.target.kind === 'system' ? systemPrivileges : objectPrivileges;
    await this.#change(change, (set) => revoke(set, change.privileges, change.grantOptionFor, every));
  }

  /** Each grantee's rights, by name; those of dropped roles are not seen. Where ALL is held, single ones appear only if they alone are grantable. */
  async list(target: GrantTarget): Promise<readonly Grant[]> {
    const rows = await this.#store.read<{ grantee: number; privilege: string; grant_option: boolean }>(
      `select p.grantee, p.privilege, p.grant_option from pgpier.privilege p
       where p.connection_id is not distinct from $4::pg_catalog.uuid and ${exists('p')}`,
      [idOf(target)],
    );
    const names = await this.#roles.namesOf([...new Set(rows.map((row) => row.grantee))]);
    return [...Map.groupBy(rows, (row) => row.grantee)].flatMap(([oid, held]) => {
      const grantee = names.get(oid);
      return grantee === undefined ? [] : linesOf(setOf(held)).map((line) => ({ grantee, oid, ...line }));
    });
  }

  async #change(change: GrantChange, next: (set: PrivilegeSet) => PrivilegeSet): Promise<void> {
    const { target, grantee } = change;
    const { stamp } = this.#store.view;
    if (target.kind === 'system') await this.#store.lock('system', 'the system privileges');
    await this.#refusePending(target, grantee);
    const rows = await this.#store.read<Row>(
      `select p.privilege_id, p.privilege, p.grant_option from pgpier.privilege p
       where p.connection_id is not distinct from $4::pg_catalog.uuid and p.grantee = $5 and ${exists('p')}`,
      [idOf(target), grantee],
    );
    const wanted = rowsOf(next(setOf(rows)));
    const present = new Set(rows.map(keyOf));
    const surplus = rows.filter((row) => !wanted.has(keyOf(row))).map((row) => row.privilege_id);
    if (surplus.length > 0) await this.#remove(surplus);
    const { oid: grantor } = await this.#roles.asker();
    const marker = stamp.kind === 'transaction' ? [stamp.xid, this.#store.view.session] : [null, null];
    for (const [key, row] of wanted) {
      if (present.has(key)) continue;
      await this.#store.write(
        `insert into pgpier.privilege (privilege_id, connection_id, grantee, privilege, grant_option, grantor, created_xid, created_session)
         values ($1, $2, $3, $4, $5, $6, $7, $8)`,
        [randomUUID(), idOf(target), grantee, row.privilege, row.grant_option, grantor, ...marker],
      );
    }
  }

  async #remove(ids: readonly string[]): Promise<void> {
    const { stamp, session } = this.#store.view;
    if (stamp.kind === 'immediate') {
      await this.#store.write('delete from pgpier.privilege where privilege_id = any($1::pg_catalog.uuid[])', [ids]);
    } else {
      const text = 'update pgpier.privilege set dropped_xid = $2, dropped_session = $3 where privilege_id = any($1::pg_catalog.uuid[])';
      await this.#store.write(text, [ids, stamp.xid, session]);
    }
  }

  async #refusePending(target: GrantTarget, grantee: number): Promise<void> {
    const rows = await this.#store.read(
      `select from pgpier.privilege p where p.connection_id is not distinct from $4::pg_catalog.uuid and p.grantee = $5
       and ${pendingElsewhere('p', this.#store.view.stamp.kind === 'immediate')}`,
      [idOf(target), grantee],
    );
    const on = target.kind === 'system' ? 'the system privileges' : `the privileges on external_connection ${target.connection.name}`;
    if (rows.length > 0) throw new PgPierError('changePending', { what: on });
  }
}

function idOf(target: GrantTarget): string | null {
  return target.kind === 'system' ? null : target.connection.id;
}

type Held = Pick<Row, 'privilege' | 'grant_option'>;

function keyOf(row: Held): string {
  return `${row.privilege} ${row.grant_option}`;
}

function setOf(rows: readonly Held[]): PrivilegeSet {
  const words = (option: boolean) => new Set(rows.filter((row) => row.grant_option === option).map((row) => row.privilege));
  return rows.length === 0 ? noPrivileges : { held: words(false), grantable: words(true) };
}

function rowsOf({ held, grantable }: PrivilegeSet): Map<string, Held> {
  const rows = [
    ...[...held].map((privilege) => ({ privilege, grant_option: false })),
    ...[...grantable].map((privilege) => ({ privilege, grant_option: true })),
  ];
  return new Map(rows.map((row) => [keyOf(row), row]));
}

function linesOf({ held, grantable }: PrivilegeSet): readonly Omit<Grant, 'grantee' | 'oid'>[] {
  const lines = [...held].map((privilege) => ({ privilege, grantable: grantable.has('ALL') || grantable.has(privilege) }));
  const single = [...grantable].filter((privilege) => privilege !== 'ALL' && !held.has(privilege));
  return [...lines, ...single.map((privilege) => ({ privilege, grantable: true }))];
}
