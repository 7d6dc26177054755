/** Cuts a Query string into its statements at the `;` of the top level, as PostgreSQL's grammar does. */
import { Lexer, type LexerOptions } from './lexer.ts';

export interface StatementRange {
  /** UTF-16 offsets: from the first token's start to the last token's end, without the `;`. */
  readonly start: number;
  readonly end: number;
  /** Where its `;` stands; undefined at the end of the text. */
  readonly semicolon?: number;
}

/**
 * How far into `CREATE [OR REPLACE] {FUNCTION | PROCEDURE} … BEGIN ATOMIC` a statement has come. Only there can a body hold `;`
 * outside of parentheses: the column named begin with the label atomic of `create view v as select begin atomic` opens nothing.
 */
type Routine = 'start' | 'create' | 'or' | 'replace' | 'routine' | 'begin' | 'no';

const afterWord: Readonly<Record<Routine, Readonly<Record<string, Routine>>>> = {
  start: { create: 'create' },
  create: { or: 'or', function: 'routine', procedure: 'routine' },
  or: { replace: 'replace' },
  replace: { function: 'routine', procedure: 'routine' },
  routine: { begin: 'begin' },
  begin: { begin: 'begin' },
  no: {},
};

/** A routine body, or the text itself: parentheses are counted anew in each. */
interface Level {
  parentheses: number;
  routine: Routine;
}

/**
 * Statements in order; empty ones (`;;`, comments alone) are left out. A `;` in parentheses (CREATE RULE … DO (…; …)) or in a
 * BEGIN ATOMIC … END body cuts nothing. If a literal or comment never ends, the last statement runs to the end of the text.
 */
export function split(text: string, options: LexerOptions): StatementRange[] {
  const statements: StatementRange[] = [];
  const lexer = new Lexer(text, options);
  let level: Level = { parentheses: 0, routine: 'start' };
  const outer: Level[] = [];
  let start = -1;
  let end = -1;
  while (lexer.next()) {
    const code = lexer.kind === 'punctuation' ? text.charCodeAt(lexer.start) : 0;
    if (code === 59 && level.parentheses === 0) {
      level.routine = 'start';
      if (outer.length === 0) {
        if (start >= 0) statements.push({ start, end, semicolon: lexer.start });
        start = -1;
        continue;
      }
    } else if (code === 40) level.parentheses++;
    else if (code === 41) level.parentheses = Math.max(0, level.parentheses - 1);
    else if (level.parentheses === 0 && level.routine !== 'no') {
      // Words of interest have at most nine letters; longer ones need no slice.
      const isWord = lexer.kind === 'word' && lexer.end - lexer.start <= 9;
      const word = isWord ? text.slice(lexer.start, lexer.end).toLowerCase() : '';
      if (word === 'end' && level.routine === 'start' && outer.length > 0) {
        // The closing END stands where a statement would begin; the END of a CASE never does.
        level = outer.pop()!;
      } else if (word === 'atomic' && level.routine === 'begin') {
        level.routine = 'no';
        outer.push(level);
        level = { parentheses: 0, routine: 'start' };
      } else {
        const inRoutine = level.routine === 'routine' || level.routine === 'begin';
        const known = afterWord[level.routine];
        level.routine = (Object.hasOwn(known, word) ? known[word] : undefined) ?? (inRoutine ? 'routine' : 'no');
      }
    }
    if (code !== 0 && code !== 59) {
      const inRoutine = level.routine === 'routine' || level.routine === 'begin';
      level.routine = inRoutine ? 'routine' : 'no';
    }
    if (start < 0) start = lexer.start;
    end = lexer.end;
  }
  if (start >= 0) statements.push({ start, end });
  return statements;
}
