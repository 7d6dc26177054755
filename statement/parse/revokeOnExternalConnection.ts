import type { StatementOf } from '../statement.ts';
import { isOnExternalConnection, onConnection } from './onExternalConnection.ts';
import type { TokenReader } from './reader.ts';
import { privileges, roles } from './roles.ts';

export const isRevokeOnExternalConnection = (reader: TokenReader): boolean => isOnExternalConnection(reader, 'from');

/** `REVOKE [GRANT OPTION FOR] {ALL [PRIVILEGES] | privilege {, …}} ON [EXTERNAL] CONNECTION name {, …} FROM role {, …}` */
export function revokeOnExternalConnection(reader: TokenReader): StatementOf<'revokeOnExternalConnection'> {
  reader.expect('revoke');
  const grantOptionFor = reader.accept('grant option for');
  const list = privileges(reader);
  onConnection(reader);
  const connections = reader.list(() => reader.identifierOrString());
  reader.expect('from');
  const grantees = roles(reader);
  reader.expectEnd();
  return { kind: 'revokeOnExternalConnection', privileges: list, connections, grantees, grantOptionFor };
}
