import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `DROP EXTERNAL CONNECTION name` */
export function dropExternalConnection(reader: TokenReader): StatementOf<'dropExternalConnection'> {
  reader.expect('drop external connection');
  const name = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'dropExternalConnection', name };
}
