/** GRANT and REVOKE … ON EXTERNAL CONNECTION. */
import type { CatalogTransaction } from '../catalog/catalog.ts';
import type { ExternalConnection } from '../catalog/connections.ts';
import { objectPrivileges } from '../catalog/privilegeSet.ts';
import { PgPierError } from '../errors.ts';
import type { Command } from './command.ts';
import { granteeOids, privilegeWords, refuseGrantOptionToPublic } from './grantees.ts';

const privilege = 'being its owner, or holding each of the privileges WITH GRANT OPTION';

export const grantOnExternalConnection: Command<'grantOnExternalConnection'> = {
  kind: 'grantOnExternalConnection',
  statement: 'GRANT',
  columns: null,
  privilege,
  nature: 'catalogChange',
  async run({ catalog }, { privileges: list, connections: names, grantees: specified, withGrantOption }) {
    const privileges = privilegeWords(list, objectPrivileges, 'external_connection');
    const connections = await resolveAll(catalog, names, privileges);
    const grantees = await granteeOids(catalog, specified);
    refuseGrantOptionToPublic(grantees, withGrantOption);
    for (const connection of connections) {
      const target = { kind: 'connection', connection } as const;
      for (const grantee of grantees) await catalog.grants.grant({ target, grantee, privileges, withGrantOption });
    }
    return { rows: [], tag: 'GRANT' };
  },
};

export const revokeOnExternalConnection: Command<'revokeOnExternalConnection'> = {
  kind: 'revokeOnExternalConnection',
  statement: 'REVOKE',
  columns: null,
  privilege,
  nature: 'catalogChange',
  async run({ catalog }, { privileges: list, connections: names, grantees: specified, grantOptionFor }) {
    const privileges = privilegeWords(list, objectPrivileges, 'external_connection');
    const connections = await resolveAll(catalog, names, privileges);
    const grantees = await granteeOids(catalog, specified);
    for (const connection of connections) {
      const target = { kind: 'connection', connection } as const;
      for (const grantee of grantees) await catalog.grants.revoke({ target, grantee, privileges, grantOptionFor });
    }
    return { rows: [], tag: 'REVOKE' };
  },
};

/** Locked and checked; nothing is changed before all are. In the order of their names, so that two such statements do not block each other. */
async function resolveAll(
  catalog: CatalogTransaction,
  names: readonly string[],
  privileges: readonly string[],
): Promise<readonly ExternalConnection[]> {
  const connections: ExternalConnection[] = [];
  for (const name of [...new Set(names)].sort()) {
    const seen = await catalog.connections.find(name);
    if (seen === undefined) throw new PgPierError('connectionNotResolved', { name });
    await catalog.privileges.requireGrantOptionOn(seen, privileges);
    await catalog.connections.lockName(name);
    const connection = await catalog.connections.find(name);
    if (connection === undefined) throw new PgPierError('connectionNotResolved', { name });
    await catalog.privileges.requireGrantOptionOn(connection, privileges);
    connections.push(connection);
  }
  return connections;
}
