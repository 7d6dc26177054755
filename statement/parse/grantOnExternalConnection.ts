import type { StatementOf } from '../statement.ts';
import { isOnExternalConnection, onConnection } from './onExternalConnection.ts';
import type { TokenReader } from './reader.ts';
import { privileges, roles } from './roles.ts';

/** PostgreSQL takes `ON external TO …` for a table named external; a second word behind it fits nowhere in its grammar. */
export const isGrantOnExternalConnection = (reader: TokenReader): boolean => isOnExternalConnection(reader, 'to');

/** `GRANT {ALL [PRIVILEGES] | privilege {, …}} ON [EXTERNAL] CONNECTION name {, …} TO role {, …} [WITH GRANT OPTION]` */
export function grantOnExternalConnection(reader: TokenReader): StatementOf<'grantOnExternalConnection'> {
  reader.expect('grant');
  const list = privileges(reader);
  onConnection(reader);
  const connections = reader.list(() => reader.identifierOrString());
  reader.expect('to');
  const grantees = roles(reader);
  const withGrantOption = reader.accept('with grant option');
  reader.expectEnd();
  return { kind: 'grantOnExternalConnection', privileges: list, connections, grantees, withGrantOption };
}
