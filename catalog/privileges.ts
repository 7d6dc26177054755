/**
 * The one gate. Every command asks it, and nothing else decides what an asker may do. Rights belong to role oids; an asker has those of
 * PUBLIC, of itself and of every role it inherits from; superusers and members of the admin role have all.
 */
import { PgPierError } from '../errors.ts';
import type { ExternalConnection } from './connections.ts';
import type { Job } from './jobs.ts';
import { has, type ObjectPrivilege, type SystemPrivilege } from './privilegeSet.ts';
import type { Roles } from './roles.ts';
import { exists } from './settle.ts';
import type { Store } from './transaction.ts';

export class Privileges {
  readonly #store: Store;
  readonly #roles: Roles;
  readonly #namedOnly: boolean;

  /** @param namedOnly whether others than admins may name places by external connections alone */
  constructor(store: Store, roles: Roles, namedOnly: boolean) {
    this.#store = store;
    this.#roles = roles;
    this.#namedOnly = namedOnly;
  }

  async isAdmin(): Promise<boolean> {
    return (await this.#roles.asker()).admin;
  }

  /** Whether a statement of the asker's may hold a URI of the outside, rather than the name of a connection. */
  async mayWriteUris(): Promise<boolean> {
    return !this.#namedOnly || (await this.isAdmin());
  }

  async hasSystem(privilege: SystemPrivilege): Promise<boolean> {
    return (await this.isAdmin()) || has(await this.#words(null, false), privilege);
  }

  /** Being the owner gives no right to use: the creator was granted ALL, which can be revoked. */
  async hasOn(connection: ExternalConnection, privilege: ObjectPrivilege): Promise<boolean> {
    return (await this.isAdmin()) || has(await this.#words(connection.id, false), privilege);
  }

  /** Whether any right at all is held on it, or it is the asker's own. */
  async hasAnyOn(connection: ExternalConnection): Promise<boolean> {
    return (await this.isOwner(connection)) || (await this.#words(connection.id, false)).size > 0;
  }

  /** Those that the asker may see: with USAGE, or its own. Two questions, however many there are. */
  async visible(connections: readonly ExternalConnection[]): Promise<readonly ExternalConnection[]> {
    if (await this.isAdmin()) return connections;
    const rows = await this.#store.read<{ connection_id: string; grantee: number }>(
      `select p.connection_id, p.grantee from pgpier.privilege p
       where p.connection_id is not null and p.privilege in ('ALL', 'USAGE') and not p.grant_option and ${exists('p')}`,
    );
    const held = await this.#roles.heldByAsker([...rows.map((row) => row.grantee), ...connections.map(({ owner }) => owner)]);
    const usable = new Set(rows.filter((row) => held.has(row.grantee)).map((row) => row.connection_id));
    return connections.filter(({ id, owner }) => usable.has(id) || held.has(owner));
  }

  /** The role that made it, a member of that role, or an admin. */
  async isOwner(connection: ExternalConnection): Promise<boolean> {
    return (await this.isAdmin()) || (await this.#roles.heldByAsker([connection.owner])).size > 0;
  }

  /**
   * Throws `privilegeMissing`; also for a name that does not exist, so that names cannot be probed. For an admin and a missing name it
   * does not throw.
   */
  async require(privilege: ObjectPrivilege, name: string, connection: ExternalConnection | undefined): Promise<void> {
    const allowed = connection === undefined ? await this.isAdmin() : await this.hasOn(connection, privilege);
    if (allowed) return;
    const { name: role } = await this.#roles.asker();
    throw new PgPierError('privilegeMissing', { role, privilege, connection: name });
  }

  /** Those that the asker may see: its own, or all with VIEWJOB or CONTROLJOB. */
  async visibleJobs(jobs: readonly Job[]): Promise<readonly Job[]> {
    if (await this.seesAllWork()) return jobs;
    const roles = await this.#roles.heldByAsker(jobs.map(({ owner }) => owner));
    return jobs.filter(({ owner }) => roles.has(owner));
  }

  /** Whether jobs of others, and what others use connections for, may be seen: an admin, VIEWJOB, CONTROLJOB. */
  async seesAllWork(): Promise<boolean> {
    if (await this.isAdmin()) return true;
    const held = await this.#words(null, false);
    return has(held, 'VIEWJOB') || has(held, 'CONTROLJOB');
  }

  /** Its own, or with CONTROLJOB; those of admins only as an admin, whatever was granted. Throws `jobControlDenied`. */
  async requireJobControl(job: Job): Promise<void> {
    if (await this.isAdmin()) return;
    if ((await this.#roles.heldByAsker([job.owner])).size > 0) return;
    if (has(await this.#words(null, false), 'CONTROLJOB') && !(await this.#roles.isAdminRole(job.owner))) return;
    const { name: role } = await this.#roles.asker();
    throw new PgPierError('jobControlDenied', { role, id: job.id });
  }

  /** Who may GRANT and REVOKE these on a connection: its owner, admins, holders of the grant option. Throws `grantOptionMissing`. */
  async requireGrantOptionOn(connection: ExternalConnection, privileges: readonly string[]): Promise<void> {
    if (await this.isOwner(connection)) return;
    await this.#requireGrantOption(await this.#words(connection.id, true), privileges);
  }

  /** As `requireGrantOptionOn`, for system privileges, which have no owner. */
  async requireSystemGrantOption(privileges: readonly string[]): Promise<void> {
    if (await this.isAdmin()) return;
    await this.#requireGrantOption(await this.#words(null, true), privileges);
  }

  async #requireGrantOption(grantable: ReadonlySet<string>, privileges: readonly string[]): Promise<void> {
    if (privileges.every((privilege) => has(grantable, privilege))) return;
    const { name: role } = await this.#roles.asker();
    throw new PgPierError('grantOptionMissing', { role, privileges: privileges.join(', ') });
  }

  /** The words that the asker holds by any of its roles, as rights or as grant options. */
  async #words(connectionId: string | null, grantOption: boolean): Promise<ReadonlySet<string>> {
    const rows = await this.#store.read<{ grantee: number; privilege: string }>(
      `select p.grantee, p.privilege from pgpier.privilege p
       where p.connection_id is not distinct from $4::pg_catalog.uuid and p.grant_option = $5 and ${exists('p')}`,
      [connectionId, grantOption],
    );
    const held = await this.#roles.heldByAsker([...new Set(rows.map((row) => row.grantee))]);
    return new Set(rows.filter((row) => held.has(row.grantee)).map((row) => row.privilege));
  }
}
