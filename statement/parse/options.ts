/** `[ WITH option {, option} | WITH OPTIONS ( option {, option} ) ]` where `option = (name | 'name') [ = value ]`. */
import type { StatementOption, StringOrParameter } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** Reserved in PostgreSQL, but values all the same. */
const wordValues = ['true', 'false', 'on'];

/** Numbers and sizes without quotes: 100000, -1.5, 32MB. */
function bareValue(reader: TokenReader): StringOrParameter | undefined {
  if (wordValues.includes(reader.word())) return { kind: 'string', value: reader.anyWord() };
  const isSigned = reader.symbol() === '-' || reader.symbol() === '+';
  const sign = reader.symbol() === '-' ? '-' : '';
  const number = reader.token(isSigned ? 1 : 0);
  if (number?.kind !== 'number') return undefined;
  reader.skip(isSigned ? 2 : 1);
  const unit = reader.token();
  const hasUnit = unit?.kind === 'word' && unit.start === number.end;
  if (hasUnit) reader.skip();
  return { kind: 'string', value: sign + reader.text.slice(number.start, hasUnit ? unit.end : number.end) };
}

function option(reader: TokenReader, phrases: readonly string[]): StatementOption {
  const { position } = reader;
  const name = phrases.find((phrase) => reader.accept(phrase)) ?? reader.identifierOrString();
  if (!reader.acceptSymbol('=')) return { name, position };
  return { name, position, value: reader.stringOrParameterList(() => bareValue(reader))[0]! };
}

/** `phrases`: options whose name is several words or a reserved one, lower case, blanks between. Of a list of values the first is kept: nothing yet takes more. */
export function options(reader: TokenReader, phrases: readonly string[] = []): StatementOption[] {
  if (!reader.accept('with')) return [];
  if (reader.word() !== 'options' || reader.symbol(1) !== '(') return reader.list(() => option(reader, phrases));
  reader.skip(2);
  const list = reader.list(() => option(reader, phrases));
  reader.expectSymbol(')');
  return list;
}
