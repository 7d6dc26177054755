/** Character classes and folding as PostgreSQL's scanner has them (scan.l, scansup.c). UTF-16 code units in, booleans out. */

const BLANK = 1;
const DIGIT = 2;
const IDENTIFIER_START = 4;
const OPERATOR = 8;

const classes = new Uint8Array(128);
// VT counts from PostgreSQL 16 on; in 15 it is a syntax error wherever it stands outside of quotes, so that nothing runs either way.
for (const character of ' \t\n\r\f\v') classes[character.charCodeAt(0)]! |= BLANK;
for (const character of '0123456789') classes[character.charCodeAt(0)]! |= DIGIT;
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_') classes[character.charCodeAt(0)]! |= IDENTIFIER_START;
for (const character of '~!@#^&|`?+-*/%<>=') classes[character.charCodeAt(0)]! |= OPERATOR;

// Past the end of a string charCodeAt gives NaN: every comparison is false, and classes[NaN] is undefined.
export const isBlank = (code: number): boolean => (classes[code]! & BLANK) !== 0;
export const isDigit = (code: number): boolean => (classes[code]! & DIGIT) !== 0;
export const isOperator = (code: number): boolean => (classes[code]! & OPERATOR) !== 0;
/** Every character beyond ASCII is a letter to PostgreSQL, also NBSP and BOM. */
export const isIdentifierStart = (code: number): boolean => code >= 128 || (classes[code]! & IDENTIFIER_START) !== 0;
export const isDollarTag = (code: number): boolean => code >= 128 || (classes[code]! & (IDENTIFIER_START | DIGIT)) !== 0;
export const isIdentifierPart = (code: number): boolean => isDollarTag(code) || code === 36;

/** An unquoted identifier as PostgreSQL stores it: A-Z alone are folded, as in every multi-byte encoding. */
export function foldIdentifier(word: string): string {
  return word.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** NAMEDATALEN - 1: PostgreSQL cuts every name to so many bytes, both where it is made and where it is used. */
const maxNameBytes = 63;

export function clipName(name: string): string {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length <= maxNameBytes) return name;
  let end = maxNameBytes;
  while ((bytes[end]! & 0xc0) === 0x80) end--;
  return new TextDecoder().decode(bytes.subarray(0, end));
}

/**
 * Characters as PostgreSQL counts them in error positions: code points, 1-based. Remembers how far it has counted: a text of
 * ten thousand statements or options is counted once, not once for each.
 */
export class CharacterCounter {
  private readonly text: string;
  private counted = 0;
  private position = 1;

  constructor(text: string) {
    this.text = text;
  }

  /** The position of the character at `offset`, in UTF-16 units, 0-based. */
  at(offset: number): number {
    if (offset < this.counted) {
      this.counted = 0;
      this.position = 1;
    }
    for (; this.counted < offset; this.counted++, this.position++) {
      const code = this.text.charCodeAt(this.counted);
      if (code >= 0xd800 && code <= 0xdbff && this.counted + 1 < this.text.length) this.counted++;
    }
    return this.position;
  }
}

export const characterPosition = (text: string, offset: number): number => new CharacterCounter(text).at(offset);
