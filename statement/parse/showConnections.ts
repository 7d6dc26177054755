import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `SHOW CONNECTIONS` */
export function showConnections(reader: TokenReader): StatementOf<'showConnections'> {
  reader.expect('show connections');
  reader.expectEnd();
  return { kind: 'showConnections' };
}

/** `{DESC | DESCRIBE} CONNECTION name` */
export function describeConnection(reader: TokenReader): StatementOf<'describeConnection'> {
  reader.skip();
  reader.expect('connection');
  const name = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'describeConnection', name };
}
