import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';
import { privileges, roles } from './roles.ts';

/**
 * As with GRANT, a second word makes it ours. `REVOKE system OPTION FOR x FROM bob` is PostgreSQL's from 16 on: its grammar takes
 * any word in the place of ADMIN.
 */
export function isRevokeSystem(reader: TokenReader): boolean {
  const first = reader.word(1) === 'grant' && reader.word(2) === 'option' && reader.word(3) === 'for' ? 4 : 1;
  return reader.word(first) === 'system' && !['', 'from', 'on', 'option'].includes(reader.word(first + 1));
}

/** `REVOKE [GRANT OPTION FOR] SYSTEM {ALL [PRIVILEGES] | privilege {, …}} FROM role {, …}` */
export function revokeSystem(reader: TokenReader): StatementOf<'revokeSystem'> {
  reader.expect('revoke');
  const grantOptionFor = reader.accept('grant option for');
  reader.expect('system');
  const list = privileges(reader);
  reader.expect('from');
  const grantees = roles(reader);
  reader.expectEnd();
  return { kind: 'revokeSystem', privileges: list, grantees, grantOptionFor };
}
