/** Options of statements that know all of theirs: what each takes, read and checked at once. */
import { PgPierError } from '../../errors.ts';
import type { StatementOption, StringOrParameter } from '../statement.ts';
import { options } from './options.ts';
import type { TokenReader } from './reader.ts';

/**
 * `flag`: alone, or `= true | false`. `value`: needs one. `later…`: known by name and not carried out yet; a flag that is set to false asks for
 * nothing, and so for nothing that is missing.
 */
export type OptionShape = 'flag' | 'value' | 'laterFlag' | 'later';

export interface OptionSet<N extends string> {
  flag(name: N): boolean;
  value(name: N): StringOrParameter | undefined;
  /** The first option that is known by name alone. */
  readonly later: string | undefined;
}

const flagWords: Readonly<Record<string, boolean>> = {
  true: true,
  on: true,
  yes: true,
  1: true,
  false: false,
  off: false,
  no: false,
  0: false,
};

/**
 * `[WITH …]` up to the end of the statement. `shapes` names all options in lower case, some of several words.
 * @throws PgPierError 42601 (syntax; unknown, repeated, without its value), 22023 (a flag that is neither true nor false), with position. An
 *   unknown name is told only when the whole statement has been read: else it may be a piece of a secret whose quote ended too early.
 */
export function optionSet<N extends string>(reader: TokenReader, shapes: Readonly<Record<N, OptionShape>>): OptionSet<N> {
  const names = Object.keys(shapes);
  // As phrases: some are several words, some reserved ones (concurrently).
  const list = options(reader, names);
  reader.expectEnd();
  const values = new Map<string, StringOrParameter | boolean>();
  let later: string | undefined;
  for (const option of list) {
    const { name, position } = option;
    if (!names.includes(name)) throw new PgPierError('unknownOption', { option: shown(name) }, { position });
    if (values.has(name)) throw new PgPierError('repeatedOption', { option: name }, { position });
    const shape = shapes[name as N];
    const value = shape.toLowerCase().endsWith('flag') ? flag(option) : required(option, shape);
    values.set(name, value);
    if (shape.startsWith('later') && value !== false) later ??= name;
  }
  return {
    flag: (name) => values.get(name) === true,
    value: (name) => {
      const value = values.get(name);
      return typeof value === 'object' ? value : undefined;
    },
    later,
  };
}

const shown = (name: string): string => (/^\w{1,40}$/.test(name) ? name : '...');

function flag({ name, value, position }: StatementOption): boolean {
  if (value === undefined) return true;
  const set = value.kind === 'string' ? flagWords[value.value.toLowerCase()] : undefined;
  if (set === undefined) throw new PgPierError('invalidOptionValue', { option: name, reason: 'it must be true or false' }, { position });
  return set;
}

function required({ name, value, position }: StatementOption, shape: OptionShape): StringOrParameter | boolean {
  if (value !== undefined) return value;
  if (shape === 'later') return true;
  throw new PgPierError('optionRequiresValue', { option: name }, { position });
}
