import { PgPierError } from '../../errors.ts';
import type { ConnectionOption, StatementOf } from '../statement.ts';
import type { TokenReader } from './reader.ts';

/** `CREATE [OR REPLACE] CONNECTION [IF NOT EXISTS] name STORAGE_TYPE = 'type' {key = 'value'}`, with or without commas between. */
export function createConnection(reader: TokenReader): StatementOf<'createConnection'> {
  reader.expect('create');
  const orReplace = reader.accept('or replace');
  reader.expect('connection');
  const { position } = reader;
  const ifNotExists = reader.accept('if not exists');
  if (orReplace && ifNotExists) throw new PgPierError('replaceIfNotExists', {}, { position });
  const name = reader.stringOrParameter();
  const options: ConnectionOption[] = [];
  while (!reader.atEnd) {
    if (options.length > 0) reader.acceptSymbol(',');
    const key = reader.anyWord();
    reader.expectSymbol('=');
    const value = reader.stringOrParameter(() => bareFlag(reader));
    options.push({ key, value });
  }
  return { kind: 'createConnection', orReplace, ifNotExists, name, options };
}

/** `ENABLE_VIRTUAL_HOST_STYLE = true`, without quotes. */
function bareFlag(reader: TokenReader): ConnectionOption['value'] | undefined {
  return ['true', 'false'].includes(reader.word()) ? { kind: 'string', value: reader.anyWord() } : undefined;
}
