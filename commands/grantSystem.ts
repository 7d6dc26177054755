/** GRANT SYSTEM and REVOKE SYSTEM. */
import { systemPrivileges } from '../catalog/privilegeSet.ts';
import type { Command } from './command.ts';
import { granteeOids, privilegeWords, refuseGrantOptionToPublic } from './grantees.ts';

const privilege = 'holding each of the privileges WITH GRANT OPTION';

export const grantSystem: Command<'grantSystem'> = {
  kind: 'grantSystem',
  statement: 'GRANT',
  columns: null,
  privilege,
  nature: 'catalogChange',
  async run({ catalog }, { privileges: list, grantees: specified, withGrantOption }) {
    const privileges = privilegeWords(list, systemPrivileges, 'system');
    await catalog.privileges.requireSystemGrantOption(privileges);
    const grantees = await granteeOids(catalog, specified);
    refuseGrantOptionToPublic(grantees, withGrantOption);
    for (const grantee of grantees) await catalog.grants.grant({ target: { kind: 'system' }, grantee, privileges, withGrantOption });
    return { rows: [], tag: 'GRANT' };
  },
};

export const revokeSystem: Command<'revokeSystem'> = {
  kind: 'revokeSystem',
  statement: 'REVOKE',
  columns: null,
  privilege,
  nature: 'catalogChange',
  async run({ catalog }, { privileges: list, grantees: specified, grantOptionFor }) {
    const privileges = privilegeWords(list, systemPrivileges, 'system');
    await catalog.privileges.requireSystemGrantOption(privileges);
    const grantees = await granteeOids(catalog, specified);
    for (const grantee of grantees) await catalog.grants.revoke({ target: { kind: 'system' }, grantee, privileges, grantOptionFor });
    return { rows: [], tag: 'REVOKE' };
  },
};
