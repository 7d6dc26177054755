import type { TokenReader } from './reader.ts';

/**
 * Whether the first ON of a GRANT or REVOKE, before any TO or FROM, is `ON EXTERNAL CONNECTION`, or Databend's `ON CONNECTION name`. A table of
 * PostgreSQL's may be named connection: then no second name follows.
 */
export function isOnExternalConnection(reader: TokenReader, end: 'to' | 'from'): boolean {
  for (let ahead = 1; reader.token(ahead); ahead++) {
    const word = reader.word(ahead);
    if (word === 'on') {
      if (reader.word(ahead + 1) === 'external') return reader.word(ahead + 2) === 'connection';
      return reader.word(ahead + 1) === 'connection' && isName(reader, ahead + 2, end);
    }
    if (word === end) return false;
  }
  return false;
}

/** `ON [EXTERNAL] CONNECTION` */
export function onConnection(reader: TokenReader): void {
  reader.expect('on');
  reader.accept('external');
  reader.expect('connection');
}

function isName(reader: TokenReader, ahead: number, end: 'to' | 'from'): boolean {
  const token = reader.token(ahead);
  return token !== undefined && reader.symbol(ahead) === '' && reader.word(ahead) !== end;
}
