/**
 * PostgreSQL's lexer (scan.l of 15 to 18), as far as it decides where literals, comments and statements begin and end.
 * It never fails: a literal or comment that does not end is a token of kind `unterminated` up to the end of the text.
 *
 * Where PostgreSQL 15+ refuses a text in the scanner itself (`1a`, `$1a`) the tokens here are those of older versions;
 * such a text runs nothing, so that its cuts do not matter.
 */
import { isBlank, isDigit, isDollarTag, isIdentifierPart, isIdentifierStart, isOperator } from './characters.ts';

export interface LexerOptions {
  /** The session's `standard_conforming_strings`: off makes a backslash an escape in plain '…' too. */
  readonly standardConformingStrings: boolean;
}

export type TokenKind =
  /** A bare identifier or keyword. */
  | 'word'
  | 'quotedIdentifier'
  /** U&"…" */
  | 'unicodeIdentifier'
  | 'string'
  /** E'…', and '…' while standard_conforming_strings is off. */
  | 'escapeString'
  /** U&'…'; while standard_conforming_strings is off PostgreSQL refuses it, and the whole literal is of kind `other`. */
  | 'unicodeString'
  | 'dollarString'
  /** B'…' or X'…' */
  | 'bitString'
  /** $n */
  | 'parameter'
  | 'number'
  | 'operator'
  /** One of , ( ) [ ] . ; : or the two characters :: */
  | 'punctuation'
  /** A character that PostgreSQL's grammar has no use for. */
  | 'other'
  | 'unterminated';

export interface Token {
  readonly kind: TokenKind;
  /** UTF-16 offsets in the text, end exclusive. */
  readonly start: number;
  readonly end: number;
}

const prefixed = /0(?:[xX]_?[0-9a-fA-F]|[oO]_?[0-7]|[bB]_?[01])/y;
const exponent = /[eE][-+]?[0-9]/y;

const QUOTE = 39;
const DOUBLE_QUOTE = 34;
const DOLLAR = 36;
const BACKSLASH = 92;
const MINUS = 45;
const PLUS = 43;
const SLASH = 47;
const STAR = 42;
const DOT = 46;
const COLON = 58;
const LF = 10;
const CR = 13;

/** Where the `--` comment at `from` ends: before its LF or CR. */
function lineCommentEnd(text: string, from: number, to: number): number {
  let at = from + 2;
  for (; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code === LF || code === CR) break;
  }
  return at;
}

/** Where the nested comment at `from` ends, -1 if it does not. */
function blockCommentEnd(text: string, from: number, to: number): number {
  let depth = 1;
  for (let at = from + 2; at + 1 < to; at++) {
    const code = text.charCodeAt(at);
    if (code === SLASH && text.charCodeAt(at + 1) === STAR) {
      depth++;
      at++;
    } else if (code === STAR && text.charCodeAt(at + 1) === SLASH) {
      depth--;
      at++;
      if (depth === 0) return at + 1;
    }
  }
  return -1;
}

/**
 * A literal goes on after its closing quote if blanks with at least one line end, and `--` comments, stand between it and
 * the next quote. Gives the offset of that quote, -1 if there is none.
 */
export function continuationQuote(text: string, from: number, to: number): number {
  let sawLineEnd = false;
  for (let at = from; at < to; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return sawLineEnd ? at : -1;
    if (isBlank(code)) {
      sawLineEnd ||= code === LF || code === CR;
      at++;
    } else if (code === MINUS && text.charCodeAt(at + 1) === MINUS) at = lineCommentEnd(text, at, to);
    else return -1;
  }
  return -1;
}

/** `quote` is the offset of the opening quote. Gives the end of the whole literal with its continuations, -1 if unterminated. */
function literalEnd(text: string, quote: number, to: number, doubling: boolean, backslash: boolean): number {
  for (let at = quote + 1; at < to; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH && backslash) at++;
    else if (code === QUOTE) {
      if (doubling && at + 1 < to && text.charCodeAt(at + 1) === QUOTE) at++;
      else {
        const next = continuationQuote(text, at + 1, to);
        if (next < 0) return at + 1;
        at = next;
      }
    }
  }
  return -1;
}

function quotedIdentifierEnd(text: string, quote: number, to: number): number {
  for (let at = text.indexOf('"', quote + 1); at >= 0 && at < to; at = text.indexOf('"', at + 2)) {
    if (at + 1 >= to || text.charCodeAt(at + 1) !== DOUBLE_QUOTE) return at + 1;
  }
  return -1;
}

/** Reads tokens one after the other into its own fields, so that a large foreign text is cut without an object per token. */
export class Lexer implements Token {
  kind: TokenKind = 'other';
  start: number;
  end: number;
  private readonly text: string;
  private readonly to: number;
  private readonly conforming: boolean;

  /** Reads `text` from UTF-16 offset `from`, which must be where a token may begin, up to `to`. */
  constructor(text: string, options: LexerOptions, from = 0, to = text.length) {
    this.text = text;
    this.to = to;
    this.start = from;
    this.end = from;
    this.conforming = options.standardConformingStrings;
  }

  /** Moves to the next token; false at the end of the text. Blanks and comments are no tokens. */
  next(): boolean {
    const { text, to } = this;
    let at = this.end;
    for (;;) {
      if (at >= to) {
        this.start = to;
        this.end = to;
        return false;
      }
      const code = text.charCodeAt(at);
      if (isBlank(code)) at++;
      else if (code === MINUS && text.charCodeAt(at + 1) === MINUS) at = lineCommentEnd(text, at, to);
      else if (code === SLASH && text.charCodeAt(at + 1) === STAR) {
        const end = blockCommentEnd(text, at, to);
        if (end < 0) return this.found('unterminated', at, to);
        at = end;
      } else return this.token(at, code);
    }
  }

  private found(kind: TokenKind, start: number, end: number): true {
    this.kind = kind;
    this.start = start;
    this.end = end;
    return true;
  }

  private literal(kind: TokenKind, start: number, end: number): true {
    return end < 0 ? this.found('unterminated', start, this.to) : this.found(kind, start, end);
  }

  private token(at: number, code: number): true {
    const { text, to } = this;
    if (isIdentifierStart(code)) return this.identifier(at, code);
    if (code === QUOTE) {
      const kind = this.conforming ? 'string' : 'escapeString';
      return this.literal(kind, at, literalEnd(text, at, to, true, !this.conforming));
    }
    if (code === DOUBLE_QUOTE) return this.literal('quotedIdentifier', at, quotedIdentifierEnd(text, at, to));
    if (isDigit(code) || (code === DOT && isDigit(text.charCodeAt(at + 1)))) return this.number(at);
    if (code === DOLLAR) return this.dollar(at);
    if (isOperator(code)) return this.operator(at);
    if (code === COLON && at + 1 < to && text.charCodeAt(at + 1) === COLON) return this.found('punctuation', at, at + 2);
    return this.found(',()[].;:'.includes(text[at]!) ? 'punctuation' : 'other', at, at + 1);
  }

  private identifier(at: number, code: number): true {
    const { text, to } = this;
    const second = at + 1 < to ? text.charCodeAt(at + 1) : 0;
    const letter = code | 32;
    if (second === QUOTE) {
      if (letter === 101) return this.literal('escapeString', at, literalEnd(text, at + 1, to, true, true));
      if (letter === 98 || letter === 120) return this.literal('bitString', at, literalEnd(text, at + 1, to, false, false));
    } else if (letter === 117 && second === 38 && at + 2 < to) {
      const third = text.charCodeAt(at + 2);
      if (third === QUOTE) return this.literal(this.conforming ? 'unicodeString' : 'other', at, literalEnd(text, at + 2, to, true, false));
      if (third === DOUBLE_QUOTE) return this.literal('unicodeIdentifier', at, quotedIdentifierEnd(text, at + 2, to));
    }
    let end = at + 1;
    while (end < to && isIdentifierPart(text.charCodeAt(end))) end++;
    return this.found('word', at, end);
  }

  /** Decimal, hexadecimal, octal and binary forms, with _ between digits as from 16 on, fraction and exponent. */
  private number(at: number): true {
    const { text, to } = this;
    let end = at;
    const digits = (isPart: (code: number) => boolean) => {
      while (end < to && (isPart(text.charCodeAt(end)) || (text[end] === '_' && end + 1 < to && isPart(text.charCodeAt(end + 1))))) end++;
    };
    prefixed.lastIndex = at;
    if (prefixed.test(text) && prefixed.lastIndex <= to) {
      end = at + 2;
      digits((code) => isDigit(code) || ((code | 32) >= 97 && (code | 32) <= 102));
      return this.found('number', at, end);
    }
    digits(isDigit);
    // 1..2 is 1, then two dots.
    if (end < to && text.charCodeAt(end) === DOT && text.charCodeAt(end + 1) !== DOT) {
      end++;
      digits(isDigit);
    }
    exponent.lastIndex = end;
    if (exponent.test(text) && exponent.lastIndex <= to) {
      end = exponent.lastIndex;
      digits(isDigit);
    }
    return this.found('number', at, end);
  }

  private dollar(at: number): true {
    const { text, to } = this;
    let end = at + 1;
    if (isDigit(text.charCodeAt(end))) {
      while (end < to && isDigit(text.charCodeAt(end))) end++;
      return this.found('parameter', at, end);
    }
    while (end < to && isDollarTag(text.charCodeAt(end))) end++;
    if (end >= to || text.charCodeAt(end) !== DOLLAR) return this.found('other', at, at + 1);
    const tag = text.slice(at, end + 1);
    const close = text.indexOf(tag, end + 1);
    return this.literal('dollarString', at, close < 0 || close + tag.length > to ? -1 : close + tag.length);
  }

  private operator(at: number): true {
    const { text, to } = this;
    let end = at;
    let special = false;
    for (; end < to; end++) {
      const code = text.charCodeAt(end);
      if (!isOperator(code)) break;
      const next = text.charCodeAt(end + 1);
      // Comments begin inside operators too.
      if ((code === MINUS && next === MINUS) || (code === SLASH && next === STAR)) break;
      special ||= '~!@#^&|`?%'.includes(text[end]!);
    }
    // SQL wants `a=-1` to be `a = -1`: an operator ends in + or - only if it holds one of the characters above.
    if (!special) while (end - at > 1 && (text.charCodeAt(end - 1) === PLUS || text.charCodeAt(end - 1) === MINUS)) end--;
    return this.found('operator', at, end);
  }
}

/** All tokens of a text, or of a part of it that begins where a token may begin. */
export function tokenize(text: string, options: LexerOptions, from = 0, to = text.length): Token[] {
  const lexer = new Lexer(text, options, from, to);
  const tokens: Token[] = [];
  while (lexer.next()) tokens.push({ kind: lexer.kind, start: lexer.start, end: lexer.end });
  return tokens;
}
