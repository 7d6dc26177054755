/** How statements name jobs: `123`, `'123'`, `$1`, with commas between; a query that finds them is not carried out yet. */
import { isString } from '../literal.ts';
import type { StringOrParameter } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** Also in parentheses and with casts, as drivers write values. A name is no number. */
export function jobId(reader: TokenReader): StringOrParameter {
  return reader.stringOrParameter(() => {
    const token = reader.token();
    if (token?.kind === 'parameter' || (token !== undefined && isString(token))) return undefined;
    if (token?.kind !== 'number') reader.fail();
    const value = reader.text.slice(token.start, token.end);
    if (!/^\d+$/.test(value)) reader.fail();
    reader.skip();
    return { kind: 'string', value };
  });
}

export const jobIds = (reader: TokenReader): StringOrParameter[] => reader.list(() => jobId(reader));

/** Whether a SELECT, VALUES, TABLE or WITH comes next, in parentheses or not. */
export function isQueryNext(reader: TokenReader): boolean {
  let ahead = 0;
  while (reader.symbol(ahead) === '(') ahead++;
  return ['select', 'values', 'table', 'with'].includes(reader.word(ahead));
}
