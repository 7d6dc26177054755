/**
 * SASLprep (RFC 4013) as PostgreSQL applies it to passwords (pg_saslprep): what it prohibits, or what is not UTF-8, is taken as it is. Code points that
 * Unicode 3.2 had not assigned are not told apart: their normal form is used, where PostgreSQL takes the raw bytes.
 */

/** RFC 3454 C.1.2: become a space. */
const spaces = /[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/gu;
/** B.1: vanish. */
const nothings = /\u00AD|\u034F|\u1806|[\u180B-\u180D]|[\u200B-\u200D]|\u2060|[\uFE00-\uFE0F]|\uFEFF/gu;
/** C.2.1, C.2.2, C.3 to C.9. */
const prohibited =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what C.2.1 prohibits.
  /[\u0000-\u001F\u007F-\u009F\u06DD\u070F\u180E\u200C-\u200F\u2028-\u202E\u2060-\u2063\u206A-\u206F\u2FF0-\u2FFB\uE000-\uF8FF\uFEFF\uFFF9-\uFFFD\u{1D173}-\u{1D17A}\u{E0001}\u{E0020}-\u{E007F}\u{F0000}-\u{10FFFF}]|\u0340|\u0341|\p{Noncharacter_Code_Point}|\p{Cs}/u;
/** D.1, by script and not by table. */
const rightToLeft = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\u200F]/u;
const letter = /\p{L}/u;

export function saslPrep(password: Uint8Array): Buffer {
  const raw = Buffer.from(password.buffer, password.byteOffset, password.byteLength);
  if (raw.every((byte) => byte >= 0x20 && byte < 0x7f)) return raw;
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(raw);
  } catch {
    return raw;
  }
  const prepared = text.replace(spaces, ' ').replace(nothings, '').normalize('NFKC');
  if (prepared === '' || prohibited.test(prepared) || mixesDirections(prepared)) return raw;
  return Buffer.from(prepared, 'utf8');
}

/** RFC 3454 section 6: with any right-to-left character, no left-to-right letter, and one at both ends. */
function mixesDirections(text: string): boolean {
  const characters = [...text];
  if (!characters.some((character) => rightToLeft.test(character))) return false;
  if (characters.some((character) => letter.test(character) && !rightToLeft.test(character))) return true;
  return !rightToLeft.test(characters[0]!) || !rightToLeft.test(characters.at(-1)!);
}
