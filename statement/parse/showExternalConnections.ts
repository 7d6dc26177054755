import type { Statement } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `SHOW EXTERNAL CONNECTIONS` and `SHOW EXTERNAL CONNECTION name` */
export function showExternalConnections(reader: TokenReader): Statement {
  reader.expect('show external');
  if (reader.accept('connections')) {
    reader.expectEnd();
    return { kind: 'showExternalConnections' };
  }
  reader.expect('connection');
  const name = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'showExternalConnection', name };
}
