import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `DROP EXTERNAL CONNECTION name [RESTRICT]` */
export function dropExternalConnection(reader: TokenReader): StatementOf<'dropExternalConnection'> {
  reader.expect('drop external connection');
  const name = reader.stringOrParameter();
  const restrict = reader.accept('restrict');
  reader.expectEnd();
  return { kind: 'dropExternalConnection', name, restrict };
}
