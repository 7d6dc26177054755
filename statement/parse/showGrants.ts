import type { StatementOf } from '../statement.ts';
import { onConnection } from './onExternalConnection.ts';
import type { TokenReader } from './reader.ts';
import { optionalFor } from './roles.ts';

/** `SHOW GRANTS ON [EXTERNAL] CONNECTION name {, …} [FOR role {, …}]` */
export function showGrantsOnExternalConnection(reader: TokenReader): StatementOf<'showGrantsOnExternalConnection'> {
  reader.expect('show grants');
  onConnection(reader);
  const connections = reader.list(() => reader.identifierOrString());
  return { kind: 'showGrantsOnExternalConnection', connections, ...optionalFor(reader) };
}

/** `SHOW SYSTEM GRANTS [FOR role {, …}]` */
export function showSystemGrants(reader: TokenReader): StatementOf<'showSystemGrants'> {
  reader.expect('show system grants');
  return { kind: 'showSystemGrants', ...optionalFor(reader) };
}
