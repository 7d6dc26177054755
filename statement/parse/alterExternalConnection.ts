import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `ALTER EXTERNAL CONNECTION [IF EXISTS] name AS uri` */
export function alterExternalConnection(reader: TokenReader): StatementOf<'alterExternalConnection'> {
  reader.expect('alter external connection');
  const ifExists = reader.accept('if exists');
  const name = reader.stringOrParameter();
  reader.expect('as');
  const uri = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'alterExternalConnection', ifExists, name, uri };
}
