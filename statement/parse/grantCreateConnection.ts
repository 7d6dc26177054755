/** Databend's spelling of the system privilege EXTERNALCONNECTION. */
import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';
import { roles } from './roles.ts';

const privileges = ['EXTERNALCONNECTION'];

/** `GRANT CREATE CONNECTION ON *.* TO role {, …}` */
export function grantCreateConnection(reader: TokenReader): StatementOf<'grantSystem'> {
  reader.expect('grant create connection');
  onEverything(reader);
  reader.expect('to');
  const grantees = roles(reader);
  reader.expectEnd();
  return { kind: 'grantSystem', privileges, grantees, withGrantOption: false };
}

/** `REVOKE CREATE CONNECTION ON *.* FROM role {, …}` */
export function revokeCreateConnection(reader: TokenReader): StatementOf<'revokeSystem'> {
  reader.expect('revoke create connection');
  onEverything(reader);
  reader.expect('from');
  const grantees = roles(reader);
  reader.expectEnd();
  return { kind: 'revokeSystem', privileges, grantees, grantOptionFor: false };
}

function onEverything(reader: TokenReader): void {
  reader.expect('on');
  for (const symbol of ['*', '.', '*']) reader.expectSymbol(symbol);
}
