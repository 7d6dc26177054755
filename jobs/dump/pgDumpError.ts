import { PgPierError } from '../../errors.ts';

/** pg_dump's complaint as an error of ours; it tells no password. WebAssembly's comes without line ends, behind a complaint about the program's path. */
export function pgDumpError(stderr: string): PgPierError {
  const lines = stderr
    .replace(/^invalid binary "[^"]*"(: [A-Z][a-z ]+)?/, '')
    .split(/\r?\n|(?=pg_dump: )/)
    .map((line) => line.trim().replace(/^pg_dump: (error: |detail: |hint: )?/, ''))
    .filter((line) => line !== '');
  return new PgPierError('pgDumpFailed', { reason: lines.length === 0 ? 'it said nothing' : lines.join('; ') });
}
