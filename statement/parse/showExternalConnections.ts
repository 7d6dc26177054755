import type { Statement } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `SHOW EXTERNAL CONNECTIONS [USAGE]` and `SHOW EXTERNAL CONNECTION name [USAGE]` */
export function showExternalConnections(reader: TokenReader): Statement {
  reader.expect('show external');
  if (reader.accept('connections')) {
    const usage = reader.accept('usage');
    reader.expectEnd();
    return { kind: usage ? 'showConnectionUsage' : 'showExternalConnections' };
  }
  reader.expect('connection');
  const name = reader.stringOrParameter();
  const usage = reader.accept('usage');
  reader.expectEnd();
  return { kind: usage ? 'showConnectionUsage' : 'showExternalConnection', name };
}
