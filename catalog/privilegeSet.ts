/** What one grantee holds on one object, as a value; GRANT and REVOKE on it, by CockroachDB's rules for ALL (spec: §2.2). Pure. */

/** The privileges of an external connection, beside ALL. */
export const objectPrivileges = ['USAGE', 'DROP', 'UPDATE'] as const;
export type ObjectPrivilege = (typeof objectPrivileges)[number];

/** The privileges of the system, beside ALL. */
export const systemPrivileges = [
  'BACKUP',
  'CHANGEFEED',
  'CONTROLJOB',
  'EXTERNALCONNECTION',
  'EXTERNALIOIMPLICITACCESS',
  'REPAIRCLUSTER',
  'RESTORE',
  'VIEWCLUSTERMETADATA',
  'VIEWJOB',
] as const;
export type SystemPrivilege = (typeof systemPrivileges)[number];

/** Words of privileges, `ALL` standing for every one there is now and later. */
export interface PrivilegeSet {
  readonly held: ReadonlySet<string>;
  readonly grantable: ReadonlySet<string>;
}

export const noPrivileges: PrivilegeSet = { held: new Set(), grantable: new Set() };

export function has(set: ReadonlySet<string>, privilege: string): boolean {
  return set.has('ALL') || set.has(privilege);
}

/** ALL replaces the single ones; a single one adds nothing to ALL. A grant option comes with its privilege. */
export function grant(set: PrivilegeSet, privileges: readonly string[], withGrantOption: boolean): PrivilegeSet {
  return { held: add(set.held, privileges), grantable: withGrantOption ? add(set.grantable, privileges) : set.grantable };
}

/** Taking one from ALL leaves the others, each on its own. Without the privilege there is no grant option for it. */
export function revoke(set: PrivilegeSet, privileges: readonly string[], grantOptionFor: boolean, every: readonly string[]): PrivilegeSet {
  const grantable = remove(set.grantable, privileges, every);
  return { held: grantOptionFor ? set.held : remove(set.held, privileges, every), grantable };
}

function add(to: ReadonlySet<string>, privileges: readonly string[]): ReadonlySet<string> {
  if (to.has('ALL') || privileges.includes('ALL')) return new Set(['ALL']);
  return new Set([...to, ...privileges]);
}

function remove(from: ReadonlySet<string>, privileges: readonly string[], every: readonly string[]): ReadonlySet<string> {
  if (privileges.includes('ALL')) return new Set();
  const single = from.has('ALL') ? every : [...from];
  return new Set(single.filter((privilege) => !privileges.includes(privilege)));
}
