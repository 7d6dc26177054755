import type { ConnectionChange, StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `ALTER EXTERNAL CONNECTION [IF EXISTS] name {AS uri | SET FALLBACK uri | DROP FALLBACK}` */
export function alterExternalConnection(reader: TokenReader): StatementOf<'alterExternalConnection'> {
  reader.expect('alter external connection');
  const ifExists = reader.accept('if exists');
  const name = reader.stringOrParameter();
  const change = readChange(reader);
  reader.expectEnd();
  return { kind: 'alterExternalConnection', ifExists, name, change };
}

function readChange(reader: TokenReader): ConnectionChange {
  if (reader.accept('drop fallback')) return { kind: 'dropFallback' };
  if (reader.accept('set')) {
    reader.expect('fallback');
    return { kind: 'setFallback', uri: reader.stringOrParameter() };
  }
  reader.expect('as');
  return { kind: 'uri', uri: reader.stringOrParameter() };
}
