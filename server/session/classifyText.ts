/** Text of a Query or Parse, as the session's settings read it, to a Classification (SPLIT-5, SPLIT-6). */
import { mayBeOwn } from '../../statement/candidate.ts';
import { classify } from '../../statement/classify.ts';
import type { Classification } from '../../statement/statement.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const nonAscii = /[\u0080-\uffff]/;

/** `later`: it depends on a setting that a statement still under way may change. */
export function classifyText(text: Buffer, parameters: ReadonlyMap<string, string>, settled: boolean): Classification | 'later' {
  if (!mayBeOwn(text, 0, text.length)) return { kind: 'foreign' };
  const bytes = text.toString('latin1');
  if (!settled && (bytes.includes('\\') || nonAscii.test(bytes))) return 'later';
  const decoded = decode(text, bytes, parameters.get('client_encoding') ?? 'UTF8');
  if (decoded === null) return { kind: 'foreign' };
  return classify(decoded, { standardConformingStrings: parameters.get('standard_conforming_strings') !== 'off' });
}

/** Null where the bytes cannot be told: PostgreSQL is to judge them. In SJIS, BIG5, … a trailing byte may look like `\` or `;`, so there only plain ASCII is read. */
function decode(text: Buffer, bytes: string, encoding: string): string | null {
  if (!nonAscii.test(bytes)) return bytes;
  if (encoding === 'LATIN1') return bytes;
  if (encoding !== 'UTF8' && encoding !== 'SQL_ASCII') return null;
  try {
    return utf8.decode(text);
  } catch {
    return null;
  }
}
