import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `DROP CONNECTION [IF EXISTS] name [RESTRICT]` */
export function dropConnection(reader: TokenReader): StatementOf<'dropConnection'> {
  reader.expect('drop connection');
  const ifExists = reader.accept('if exists');
  const name = reader.stringOrParameter();
  const restrict = reader.accept('restrict');
  reader.expectEnd();
  return { kind: 'dropConnection', ifExists, name, restrict };
}
