/** The roles and privilege words of GRANT, REVOKE and SHOW GRANTS, as the catalog knows them. */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import { publicOid } from '../catalog/roles.ts';
import { PgPierError } from '../errors.ts';
import type { PrivilegeList, RoleSpecification } from '../statement/statement.ts';

/** Role oids, 0 for PUBLIC. Throws `roleMissing`. */
export async function granteeOids(catalog: CatalogTransaction, grantees: readonly RoleSpecification[]): Promise<readonly number[]> {
  const oids: number[] = [];
  for (const grantee of grantees) oids.push(await granteeOid(catalog, grantee));
  return [...new Set(oids)];
}

async function granteeOid({ roles, view }: CatalogTransaction, grantee: RoleSpecification): Promise<number> {
  switch (grantee.kind) {
    case 'public':
      return publicOid;
    case 'currentUser':
      return (await roles.asker()).oid;
    case 'sessionUser':
      return roles.oidOf(view.sessionUser);
    case 'role':
      return roles.oidOf(grantee.name);
  }
}

/** In statement order. Throws `privilegeType` (0LP01) for a word that the kind of object does not know. */
export function privilegeWords(list: PrivilegeList, known: readonly string[], object: 'external_connection' | 'system'): readonly string[] {
  if (list === 'all') return ['ALL'];
  const unknown = list.find((word) => word !== 'ALL' && !known.includes(word));
  if (unknown !== undefined) throw new PgPierError('privilegeType', { privilege: unknown, object });
  return [...new Set(list)];
}

/** As PostgreSQL has it. Throws `grantOptionToPublic` (0LP01). */
export function refuseGrantOptionToPublic(grantees: readonly number[], withGrantOption: boolean): void {
  if (withGrantOption && grantees.includes(publicOid)) throw new PgPierError('grantOptionToPublic');
}
