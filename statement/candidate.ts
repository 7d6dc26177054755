/**
 * The hot-path test: might this text hold a statement of ours? Looks at bytes alone, so that no ordinary statement is decoded.
 *
 * Every statement of ours begins at the start of the text or behind a `;`, with nothing but blanks and comments between; one in the place of a table,
 * `SELECT … FROM [SHOW JOBS]`, behind a `[`. So those places are looked at, whether the `;` or `[` stands in a literal or not. A wrong yes costs a run of the
 * lexer; a wrong no is a defect.
 */
import { statementHeads } from './parse/statements.ts';

const SEMICOLON = 59;
const BRACKET = 91;
/** From this length on a native search for `;` and `[` pays. */
const longText = 256;
/** Comments longer than that are the lexer's to read: a cap, or a text full of `;/*` would cost its square. */
const longestComment = 256;

const LETTER = 1;
const BLANK = 2;
const FIRST_LETTER = 4;
const classes = new Uint8Array(256);
for (let byte = 0; byte < 256; byte++) {
  const isWordByte = byte >= 128 || /[A-Za-z0-9_$]/.test(String.fromCharCode(byte));
  classes[byte] = isWordByte ? LETTER : /[ \t\n\r\f\v]/.test(String.fromCharCode(byte)) ? BLANK : 0;
}
for (const { head } of statementHeads) {
  classes[head.charCodeAt(0)]! |= FIRST_LETTER;
  classes[head.charCodeAt(0) - 32]! |= FIRST_LETTER;
}

/** Letters alone differ by case in bit 32; what else that bit merges only makes a wrong yes likelier. 30 bits stay a small integer. */
const mix = (hash: number, byte: number): number => (Math.imul(hash, 31) + (byte | 32)) & 0x3fffffff;
const hashOf = (word: string): number => [...word].reduce((hash, letter) => mix(hash, letter.charCodeAt(0)), 0);

/** First word → hashes of the second words of ours; empty if the first word is enough. */
const secondWords = new Map<number, readonly number[]>();
for (const [first, heads] of Map.groupBy(statementHeads, ({ head }) => head.split(' ')[0]!)) {
  const seconds = new Set(heads.map(({ head }) => head.split(' ')[1]));
  secondWords.set(hashOf(first), seconds.has(undefined) ? [] : [...seconds].map((word) => hashOf(word!)));
}

/** The same tables for the native forward path: the bits of each byte; then for each first word its hash, the count of its second words, and their hashes. */
export const candidateTables: readonly [Uint8Array, Int32Array] = [
  classes,
  Int32Array.from([...secondWords].flatMap(([first, seconds]) => [first, seconds.length, ...seconds])),
];

/** The index behind blanks and comments from `at` on; -1 if a comment is too long to be looked at here. */
function skipBlanks(bytes: Uint8Array, at: number, end: number): number {
  for (; at < end; at++) {
    const byte = bytes[at]!;
    if ((classes[byte]! & BLANK) !== 0) continue;
    const isComment = (byte === 47 && bytes[at + 1] === 42) || (byte === 45 && bytes[at + 1] === 45);
    return isComment && at + 1 < end ? skipComments(bytes, at, end) : at;
  }
  return end;
}

function skipComments(bytes: Uint8Array, from: number, end: number): number {
  const limit = Math.min(end, from + longestComment);
  let depth = 0;
  let inLine = false;
  for (let at = from; at < limit; at++) {
    const byte = bytes[at]!;
    const next = at + 1 < end ? bytes[at + 1]! : 0;
    if (inLine) inLine = byte !== 10 && byte !== 13;
    else if (byte === 47 && next === 42) {
      depth++;
      at++;
    } else if (depth > 0) {
      if (byte === 42 && next === 47) {
        depth--;
        at++;
      }
    } else if (byte === 45 && next === 45) {
      inLine = true;
    } else if ((classes[byte]! & BLANK) === 0) return at;
  }
  return limit < end ? -1 : end;
}

/** Whether a statement of ours may begin at `at`, blanks and comments first. */
function beginsOwn(bytes: Uint8Array, from: number, end: number): boolean {
  let at = skipBlanks(bytes, from, end);
  if (at < 0) return true;
  if (at >= end || (classes[bytes[at]!]! & FIRST_LETTER) === 0) return false;
  let hash = 0;
  for (; at < end && (classes[bytes[at]!]! & LETTER) !== 0; at++) hash = mix(hash, bytes[at]!);
  const seconds = secondWords.get(hash);
  if (seconds === undefined) return false;
  if (seconds.length === 0) return true;
  at = skipBlanks(bytes, at, end);
  if (at < 0) return true;
  hash = 0;
  for (; at < end && (classes[bytes[at]!]! & LETTER) !== 0; at++) hash = mix(hash, bytes[at]!);
  return seconds.includes(hash);
}

const show = hashOf('show');

/** Whether SHOW may stand at `at`, blanks and comments first. */
function beginsShow(bytes: Uint8Array, from: number, end: number): boolean {
  let at = skipBlanks(bytes, from, end);
  if (at < 0) return true;
  let hash = 0;
  for (const last = Math.min(end, at + 5); at < last && (classes[bytes[at]!]! & LETTER) !== 0; at++) hash = mix(hash, bytes[at]!);
  return hash === show;
}

/**
 * Whether `bytes` from `start` to `end` (exclusive, without the closing NUL) may hold a statement of ours. Never false for a text that
 * `classify` calls own, mixed or malformed. Needs an encoding in which the bytes below 128 are ASCII.
 */
export function mayBeOwn(bytes: Uint8Array, start: number, end: number): boolean {
  if (beginsOwn(bytes, start, end)) return true;
  if (end - start < longText) {
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      if (byte !== SEMICOLON && byte !== BRACKET) continue;
      if (byte === SEMICOLON ? beginsOwn(bytes, at + 1, end) : beginsShow(bytes, at + 1, end)) return true;
    }
    return false;
  }
  const text = bytes.subarray(start, end);
  for (let at = text.indexOf(SEMICOLON); at >= 0; at = text.indexOf(SEMICOLON, at + 1)) {
    if (beginsOwn(text, at + 1, text.length)) return true;
  }
  for (let at = text.indexOf(BRACKET); at >= 0; at = text.indexOf(BRACKET, at + 1)) {
    if (beginsShow(text, at + 1, text.length)) return true;
  }
  return false;
}
