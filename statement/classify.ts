/** What a Query or Parse text is to us. Only texts that `mayBeOwn` let through need to come here. */
import { PgPierError } from '../errors.ts';
import { CharacterCounter, foldIdentifier } from './characters.ts';
import { Lexer, type LexerOptions, tokenize } from './lexer.ts';
import { TokenReader } from './parse/reader.ts';
import { findHead, findShowInBrackets, isFirstWord, type StatementHead } from './parse/statements.ts';
import { type StatementRange, split } from './split.ts';
import type { Classification, OwnStatement } from './statement.ts';

const foreign: Classification = { kind: 'foreign' };
const longestFirstWord = 12;

interface OwnRange {
  readonly reader: TokenReader;
  readonly head: StatementHead;
}

function ownRange(
  text: string,
  { start, end, semicolon }: StatementRange,
  options: LexerOptions,
  characters: CharacterCounter,
  hasBracket: boolean,
): OwnRange | undefined {
  const first = new Lexer(text, options, start, end);
  first.next();
  const mayHaveHead =
    first.kind === 'word' && first.end - first.start <= longestFirstWord && isFirstWord(foldIdentifier(text.slice(first.start, first.end)));
  if (!mayHaveHead && !hasBracket) return undefined;
  const reader = new TokenReader(text, tokenize(text, options, start, end), semicolon, characters);
  const head = (mayHaveHead ? findHead(reader) : undefined) ?? findShowInBrackets(reader);
  return head && { reader, head };
}

function parse({ reader, head }: OwnRange): OwnStatement {
  const statement = head.parse(reader);
  reader.expectTerminated();
  return { statement, parameterCount: reader.parameterCount() };
}

/**
 * Reads a whole text, which may hold several statements. `options.standardConformingStrings` is the session's setting at that
 * moment: if it may be on its way to change, do not ask, forward.
 *
 * Foreign unless certainly ours: PostgreSQL tells about everything else. One malformed statement of ours makes the text
 * `malformed` even if foreign ones stand beside it, as PostgreSQL finds syntax errors before it runs anything.
 */
export function classify(text: string, options: LexerOptions): Classification {
  const ranges = split(text, options);
  const characters = new CharacterCounter(text);
  // Searched for once for the whole text, however many statements it has.
  let bracket = text.indexOf('[');
  const own = ranges
    .map((range) => {
      if (bracket >= 0 && bracket < range.start) bracket = text.indexOf('[', range.start);
      return ownRange(text, range, options, characters, bracket >= 0 && bracket < range.end);
    })
    .filter((range) => range !== undefined);
  if (own.length === 0) return foreign;
  try {
    const statements = own.map(parse);
    return own.length < ranges.length ? { kind: 'mixed' } : { kind: 'own', statements };
  } catch (error) {
    if (error instanceof PgPierError) return { kind: 'malformed', error };
    throw error;
  }
}
