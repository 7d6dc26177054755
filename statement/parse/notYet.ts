import type { StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** A statement known by its head alone: these words, or fewer if its registry entry has fewer. They name it; the text is not repeated. */
export function notYet(what: string, words = ''): (reader: TokenReader) => StatementOf<'notYet'> {
  return (reader) => {
    if (words !== '') reader.expect(words);
    return { kind: 'notYet', what };
  };
}
