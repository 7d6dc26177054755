/** The backing cluster's roles, asked on the service connection by oid. PgPier has no roles of its own. */
import { PgPierError } from '../errors.ts';
import type { CatalogView } from './catalog.ts';
import type { Service } from './service.ts';

/** PUBLIC, as in PostgreSQL's own access lists. */
export const publicOid = 0;

export interface AskingRole {
  readonly oid: number;
  readonly name: string;
  /** Superuser, or member of the admin role: passes every check. */
  readonly admin: boolean;
}

/** Of the row `r`; $1 is the admin role's name. */
const isAdmin = `(r.rolsuper or coalesce((select pg_catalog.pg_has_role(r.oid, a.oid, 'USAGE')
  from pg_catalog.pg_roles a where a.rolname = $1::pg_catalog.name), false))`;

/** Looks each thing up once: the answers hold for one catalog transaction. */
export class Roles {
  readonly #service: Service;
  readonly #view: CatalogView;
  readonly #adminRole: string | undefined;
  #asker: Promise<AskingRole> | undefined;
  readonly #held = new Map<number, boolean>();

  constructor(service: Service, view: CatalogView, adminRole: string | undefined) {
    this.#service = service;
    this.#view = view;
    this.#adminRole = adminRole;
  }

  /** Who asks. Throws `roleMissing` when the role was dropped, or made in a transaction that has not committed. */
  asker(): Promise<AskingRole> {
    this.#asker ??= this.#askAsker();
    return this.#asker;
  }

  async #askAsker(): Promise<AskingRole> {
    const { role } = this.#view;
    const rows = await this.#service.query<{ oid: number; admin: boolean }>(
      `select r.oid, ${isAdmin} as admin from pg_catalog.pg_roles r where r.rolname = $2::pg_catalog.name`,
      [this.#adminRole ?? null, role],
    );
    const found = rows[0];
    if (found === undefined) throw new PgPierError('roleMissing', { role });
    return { oid: found.oid, name: role, admin: found.admin };
  }

  /** Whether that role is one whose asking passes every check; false for a dropped one. */
  async isAdminRole(oid: number): Promise<boolean> {
    const text = `select ${isAdmin} as admin from pg_catalog.pg_roles r where r.oid = $2`;
    const rows = await this.#service.query<{ admin: boolean }>(text, [this.#adminRole ?? null, oid]);
    return rows[0]?.admin === true;
  }

  /** A role's oid by its name. Throws `roleMissing`. */
  async oidOf(name: string): Promise<number> {
    // A longer name would be cut to another role's.
    const fits = Buffer.byteLength(name) < 64;
    const text = 'select r.oid from pg_catalog.pg_roles r where r.rolname = $1::pg_catalog.name';
    const rows = fits ? await this.#service.query<{ oid: number }>(text, [name]) : [];
    if (rows[0] === undefined) throw new PgPierError('roleMissing', { role: name });
    return rows[0].oid;
  }

  /** Names by oid; a role that was dropped is not among them, and PUBLIC is `public`. */
  async namesOf(oids: readonly number[]): Promise<ReadonlyMap<number, string>> {
    const rows = await this.#service.query<{ oid: number; rolname: string }>(
      'select r.oid, r.rolname from pg_catalog.pg_roles r where r.oid = any($1::pg_catalog.oid[])',
      [oids],
    );
    const names = new Map(rows.map(({ oid, rolname }) => [oid, rolname]));
    return oids.includes(publicOid) ? names.set(publicOid, 'public') : names;
  }

  /** Which of these roles the asker has the rights of: PUBLIC, itself, and what it inherits from. Dropped ones are not among them. */
  async heldByAsker(oids: readonly number[]): Promise<ReadonlySet<number>> {
    const unknown = [...new Set(oids)].filter((oid) => oid !== publicOid && !this.#held.has(oid));
    if (unknown.length > 0) {
      const { oid: asker } = await this.asker();
      const rows = await this.#service.query<{ oid: number }>(
        `select r.oid from pg_catalog.pg_roles r
         where r.oid = any($2::pg_catalog.oid[]) and pg_catalog.pg_has_role($1::pg_catalog.oid, r.oid, 'USAGE')`,
        [asker, unknown],
      );
      const held = new Set(rows.map(({ oid }) => oid));
      for (const oid of unknown) this.#held.set(oid, held.has(oid));
    }
    return new Set(oids.filter((oid) => oid === publicOid || this.#held.get(oid) === true));
  }
}
