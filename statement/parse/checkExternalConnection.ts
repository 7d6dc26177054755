import type { StatementOf } from '../statement.ts';
import { optionSet } from './optionSet.ts';
import type { TokenReader } from './reader.ts';

const shapes = { transfer: 'value', time: 'value', concurrently: 'value' } as const;

/** `CHECK EXTERNAL CONNECTION uri [WITH option {, …} | WITH OPTIONS (option {, …})]`, options TRANSFER = size, TIME = duration, CONCURRENTLY = n */
export function checkExternalConnection(reader: TokenReader): StatementOf<'checkExternalConnection'> {
  reader.expect('check external connection');
  const uri = reader.stringOrParameter();
  const options = optionSet(reader, shapes);
  const [transfer, time, concurrently] = [options.value('transfer'), options.value('time'), options.value('concurrently')];
  return {
    kind: 'checkExternalConnection',
    uri,
    ...(transfer && { transfer }),
    ...(time && { time }),
    ...(concurrently && { concurrently }),
  };
}
