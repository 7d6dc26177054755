import type { Statement } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `SHOW CREATE EXTERNAL CONNECTION name` and `SHOW CREATE ALL EXTERNAL CONNECTIONS` */
export function showCreateExternalConnection(reader: TokenReader): Statement {
  reader.expect('show create');
  if (reader.accept('all external connections')) {
    reader.expectEnd();
    return { kind: 'showCreateAllExternalConnections' };
  }
  reader.expect('external connection');
  const name = reader.stringOrParameter();
  reader.expectEnd();
  return { kind: 'showCreateExternalConnection', name };
}
