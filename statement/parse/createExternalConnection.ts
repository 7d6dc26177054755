import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `CREATE EXTERNAL CONNECTION [IF NOT EXISTS] name AS uri` */
export function createExternalConnection(reader: TokenReader): StatementOf<'createExternalConnection'> {
  reader.expect('create external connection');
  const ifNotExists = reader.accept('if not exists');
  const name = reader.stringOrParameter();
  reader.expect('as');
  const uri = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'createExternalConnection', ifNotExists, name, uri };
}
