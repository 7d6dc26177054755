/** SHOW GRANTS ON EXTERNAL CONNECTION and SHOW SYSTEM GRANTS. */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import type { Value } from '../protocol/values.ts';
import type { RoleSpecification } from '../statement/statement.ts';
import type { Command } from './command.ts';
import { granteeOids } from './grantees.ts';

const grantColumns = [
  { name: 'grantee', type: 'text' },
  { name: 'privilege_type', type: 'text' },
  { name: 'is_grantable', type: 'bool' },
] as const;

export const showGrantsOnExternalConnection: Command<'showGrantsOnExternalConnection'> = {
  kind: 'showGrantsOnExternalConnection',
  statement: 'SHOW GRANTS ON EXTERNAL CONNECTION',
  columns: [{ name: 'connection_name', type: 'text' }, ...grantColumns],
  privilege: 'any privilege on it, being its owner, or VIEWCLUSTERMETADATA (system)',
  nature: 'read',
  async run({ catalog }, { connections: names, grantees }) {
    const { connections, privileges, grants } = catalog;
    const overseer = await privileges.hasSystem('VIEWCLUSTERMETADATA');
    const wanted = await namesOf(catalog, grantees);
    const rows: (readonly Value[])[] = [];
    for (const name of new Set(names)) {
      const connection = await connections.find(name);
      const allowed = overseer || (connection !== undefined && (await privileges.hasAnyOn(connection)));
      if (!allowed) throw new PgPierError('showConnectionDenied', { name });
      if (connection === undefined) throw new PgPierError('connectionNotResolved', { name });
      for (const { grantee, privilege, grantable } of await grants.list({ kind: 'connection', connection })) {
        if (wanted === undefined || wanted.has(grantee)) rows.push([name, grantee, privilege, grantable]);
      }
    }
    return { rows: rows.sort(byColumns), tag: 'SHOW' };
  },
};

export const showSystemGrants: Command<'showSystemGrants'> = {
  kind: 'showSystemGrants',
  statement: 'SHOW SYSTEM GRANTS',
  columns: grantColumns,
  privilege: 'none: shows those of one’s own roles and of PUBLIC; all with VIEWCLUSTERMETADATA (system)',
  nature: 'read',
  async run({ catalog }, { grantees }) {
    const overseer = await catalog.privileges.hasSystem('VIEWCLUSTERMETADATA');
    const wanted = await namesOf(catalog, grantees);
    const rows: (readonly Value[])[] = [];
    for (const { grantee, oid, privilege, grantable } of await catalog.grants.list({ kind: 'system' })) {
      const seen = overseer || (await catalog.roles.heldByAsker([oid])).has(oid);
      if (seen && (wanted === undefined || wanted.has(grantee))) rows.push([grantee, privilege, grantable]);
    }
    return { rows: rows.sort(byColumns), tag: 'SHOW' };
  },
};

/** FOR role, …: undefined without it. Throws `roleMissing`. */
async function namesOf(
  catalog: CatalogTransaction,
  grantees: readonly RoleSpecification[] | undefined,
): Promise<ReadonlySet<string> | undefined> {
  if (grantees === undefined) return undefined;
  const oids = await granteeOids(catalog, grantees);
  return new Set((await catalog.roles.namesOf(oids)).values());
}

/** By all columns, by the characters of texts, false before true. */
function byColumns(a: readonly Value[], b: readonly Value[]): number {
  for (const [index, value] of a.entries()) {
    const order = Buffer.compare(Buffer.from(String(value)), Buffer.from(String(b[index])));
    if (order !== 0) return order;
  }
  return 0;
}
