/** What a literal or identifier token says: quotes taken off, escapes resolved. */
import { PgPierError } from '../errors.ts';
import { characterPosition, foldIdentifier, isBlank } from './characters.ts';
import { continuationQuote, type Token } from './lexer.ts';

const simpleEscapes: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t' };

function fail(name: 'invalidUnicodeEscape' | 'invalidByteSequence', text: string, offset: number): never {
  throw new PgPierError(name, {}, { position: characterPosition(text, offset) });
}

/**
 * The characters between the quotes of '…', E'…' and U&'…', continuations joined, doubled quotes made single; escapes are left as
 * they are, except that in E'…' a backslash protects the quote behind it.
 */
function body(text: string, quote: number, end: number, backslash: boolean): string {
  let characters = '';
  let from = quote + 1;
  for (let at = from; at < end; at++) {
    const character = text[at];
    if (character === '\\' && backslash) at++;
    else if (character === "'") {
      characters += text.slice(from, at);
      if (at + 1 === end) return characters;
      // A doubled quote: the second one is the first character of what follows. Else the literal goes on behind blanks.
      if (text[at + 1] === "'") at++;
      else {
        at = continuationQuote(text, at + 1, end);
        from = at + 1;
        continue;
      }
      from = at;
    }
  }
  return characters;
}

/** Joins surrogate pairs that were written as two escapes; gives undefined for a code that is no character. */
class CharacterSink {
  text = '';
  private high = 0;
  private bytes: number[] = [];

  characters(characters: string): boolean {
    if (!this.settled()) return false;
    this.text += characters;
    return true;
  }

  /** \377 and \xFF are bytes of the encoding, here UTF-8: a character may take several of them. */
  byte(value: number): boolean {
    if (this.high !== 0 || value === 0 || value > 255) return false;
    this.bytes.push(value);
    return true;
  }

  codePoint(value: number): boolean {
    if (this.bytes.length > 0 && !this.settled()) return false;
    if (value >= 0xdc00 && value <= 0xdfff) {
      if (this.high === 0) return false;
      this.text += String.fromCharCode(this.high, value);
      this.high = 0;
      return true;
    }
    if (this.high !== 0 || value === 0 || value > 0x10ffff) return false;
    if (value >= 0xd800 && value <= 0xdbff) this.high = value;
    else this.text += String.fromCodePoint(value);
    return true;
  }

  /** False if half a surrogate pair or half a character is left over. */
  settled(): boolean {
    if (this.high !== 0) return false;
    if (this.bytes.length === 0) return true;
    try {
      this.text += new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(this.bytes));
    } catch {
      return false;
    }
    this.bytes = [];
    return true;
  }
}

function escapeString(text: string, start: number, raw: string): string {
  const sink = new CharacterSink();
  const escapes = /\\(?:([0-7]{1,3})|x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([\s\S]))|[^\\]+/g;
  for (const [match, octal, hex, unicode4, unicode8, other] of raw.matchAll(escapes)) {
    const byte = octal !== undefined ? Number.parseInt(octal, 8) & 255 : hex !== undefined ? Number.parseInt(hex, 16) : undefined;
    const unicode = unicode4 ?? unicode8;
    // \u and \U want all their digits; \x without any is the letter x.
    if (other === 'u' || other === 'U') fail('invalidUnicodeEscape', text, start);
    if (byte !== undefined) {
      if (!sink.byte(byte)) fail('invalidByteSequence', text, start);
    } else if (unicode !== undefined) {
      if (!sink.codePoint(Number.parseInt(unicode, 16))) fail('invalidUnicodeEscape', text, start);
    } else if (!sink.characters(other === undefined ? match : (simpleEscapes[other] ?? other))) fail('invalidByteSequence', text, start);
  }
  if (!sink.settled()) fail('invalidByteSequence', text, start);
  return sink.text;
}

/** Resolves \XXXX and \+XXXXXX of U&'…' and U&"…"; `escapeCharacter` is the character that UESCAPE names. */
function unicodeEscapes(text: string, start: number, raw: string, escapeCharacter: string): string {
  const sink = new CharacterSink();
  for (let at = 0; at < raw.length; at++) {
    let isFine: boolean;
    if (raw[at] !== escapeCharacter) isFine = sink.characters(raw[at]!);
    else if (raw[at + 1] === escapeCharacter) {
      isFine = sink.characters(escapeCharacter);
      at++;
    } else {
      const digits = /^(?:[0-9a-fA-F]{4}|\+[0-9a-fA-F]{6})/.exec(raw.slice(at + 1, at + 8))?.[0];
      if (digits === undefined) return fail('invalidUnicodeEscape', text, start);
      isFine = sink.codePoint(Number.parseInt(digits.replace('+', ''), 16));
      at += digits.length;
    }
    if (!isFine) fail('invalidUnicodeEscape', text, start);
  }
  if (!sink.settled()) fail('invalidUnicodeEscape', text, start);
  return sink.text;
}

/** Whether a token is a string constant that has a text value (a bit string has none). */
export function isString(token: Token): boolean {
  const { kind } = token;
  return kind === 'string' || kind === 'escapeString' || kind === 'unicodeString' || kind === 'dollarString';
}

export function isIdentifier(token: Token): boolean {
  return token.kind === 'word' || token.kind === 'quotedIdentifier' || token.kind === 'unicodeIdentifier';
}

/**
 * The value of a string or identifier token; bare identifiers are folded. `escapeCharacter` is for the U& forms alone.
 * @throws PgPierError 22025 or 22021 for escapes that are no character; it tells the token's position, never its text.
 */
export function tokenValue(text: string, token: Token, escapeCharacter = '\\'): string {
  const { start, end } = token;
  switch (token.kind) {
    case 'string':
      return body(text, start, end, false);
    case 'escapeString':
      return escapeString(text, start, body(text, text.indexOf("'", start), end, true));
    case 'unicodeString':
      return unicodeEscapes(text, start, body(text, start + 2, end, false), escapeCharacter);
    case 'dollarString': {
      const tag = text.indexOf('$', start + 1) + 1 - start;
      return text.slice(start + tag, end - tag);
    }
    case 'quotedIdentifier':
      return text.slice(start + 1, end - 1).replaceAll('""', '"');
    case 'unicodeIdentifier':
      return unicodeEscapes(text, start, text.slice(start + 3, end - 1).replaceAll('""', '"'), escapeCharacter);
    default:
      return foldIdentifier(text.slice(start, end));
  }
}

/** Whether UESCAPE may name this character. */
export function isUnicodeEscapeCharacter(character: string): boolean {
  return character.length === 1 && !/[0-9a-fA-F+'"]/.test(character) && !isBlank(character.charCodeAt(0));
}
