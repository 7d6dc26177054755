import type { TokenReader } from './reader.ts';

/** Whether the first ON of a GRANT or REVOKE, before any TO or FROM, is `ON EXTERNAL CONNECTION`. */
export function isOnExternalConnection(reader: TokenReader, end: 'to' | 'from'): boolean {
  for (let ahead = 1; reader.token(ahead); ahead++) {
    const word = reader.word(ahead);
    if (word === 'on') return reader.word(ahead + 1) === 'external' && reader.word(ahead + 2) === 'connection';
    if (word === end) return false;
  }
  return false;
}
