/** The options of EXPORT INTO CSV (CockroachDB's names, defaults and words). Pure. */
import { PgPierError } from '../errors.ts';
import type { StatementOption, StringOrParameter } from '../statement/statement.ts';
import { readByteSize } from './byteSize.ts';

export interface CsvExportOptions {
  readonly delimiter: string;
  /** Absent: a NULL in the result is an error. */
  readonly nullas?: string;
  readonly compression: 'none' | 'gzip';
  readonly chunkRows: number;
  /** Bytes before compression. */
  readonly chunkSize: number;
}

const DEFAULTS = { delimiter: ',', compression: 'none', chunkRows: 100_000, chunkSize: 32 * 1024 * 1024 } as const;
const NAMES = ['delimiter', 'nullas', 'compression', 'chunk_rows', 'chunk_size'] as const;
type Name = (typeof NAMES)[number];

/**
 * @param text the value of a string or parameter
 * @throws PgPierError 42601 (unknown, repeated, without value), 22023 (bad value), 0A000 (another format's compression); with position
 */
export function csvExportOptions(options: readonly StatementOption[], text: (value: StringOrParameter) => string): CsvExportOptions {
  const values = new Map<Name, { readonly value: string; readonly position: number }>();
  for (const { name, value, position } of options) {
    if (!isName(name)) throw new PgPierError('unknownOption', { option: name }, { position });
    if (values.has(name)) throw new PgPierError('repeatedOption', { option: name }, { position });
    if (value === undefined) throw new PgPierError('optionRequiresValue', { option: name }, { position });
    values.set(name, { value: text(value), position });
  }
  const read = <T>(name: Name, parse: (value: string) => T): T | undefined => {
    const given = values.get(name);
    if (given === undefined) return undefined;
    try {
      return parse(given.value);
    } catch (error) {
      if (error instanceof BadValue)
        throw new PgPierError('invalidOptionValue', { option: name, reason: error.message }, { position: given.position });
      if (error instanceof PgPierError) throw PgPierError.from({ ...error.data, position: given.position });
      throw error;
    }
  };
  const delimiter = read('delimiter', readDelimiter) ?? DEFAULTS.delimiter;
  const nullas = read('nullas', (value) => readNullas(value, delimiter));
  return {
    delimiter,
    ...(nullas === undefined ? {} : { nullas }),
    compression: read('compression', readCompression) ?? DEFAULTS.compression,
    chunkRows: read('chunk_rows', readRows) ?? DEFAULTS.chunkRows,
    chunkSize: read('chunk_size', readSize) ?? DEFAULTS.chunkSize,
  };
}

class BadValue extends Error {}

function isName(name: string): name is Name {
  return (NAMES as readonly string[]).includes(name);
}

function readDelimiter(value: string): string {
  if (value.length !== 1 || value < '\x01' || value > '\x7f') throw new BadValue('it must be a single ASCII character');
  if (value === '"' || value === '\n' || value === '\r') throw new BadValue('it must not be a double quote or a line break');
  return value;
}

function readNullas(value: string, delimiter: string): string {
  if (/["\r\n\0]/.test(value)) throw new BadValue('it must not hold a double quote, a line break or a zero byte');
  if (value.includes(delimiter)) throw new BadValue('it must not hold the delimiter');
  return value;
}

function readCompression(value: string): 'none' | 'gzip' {
  const word = value.toLowerCase();
  if (word === 'gzip' || word === 'none') return word;
  if (word === 'snappy') throw new PgPierError('notSupported', { what: 'compression snappy, which belongs to PARQUET,' });
  throw new BadValue('it must be gzip or none');
}

function readRows(value: string): number {
  const rows = /^\s*\+?\d+\s*$/.test(value) ? Number(value) : Number.NaN;
  if (!(rows >= 1 && rows <= Number.MAX_SAFE_INTEGER)) throw new BadValue('it must be a whole number greater than 0');
  return rows;
}

function readSize(value: string): number {
  const bytes = readByteSize(value);
  if (bytes === undefined) throw new BadValue("it must be a size such as '32MB', '1 GiB' or a number of bytes");
  return bytes;
}
