import type { Statement } from '../statement.ts';
import { options } from './options.ts';
import type { TokenReader } from './reader.ts';

/**
 * `EXPORT INTO {CSV | PARQUET} uri [WITH option {, …} | WITH OPTIONS (option {, …})] FROM query`; the query is PostgreSQL's to read.
 * PARQUET is read in full, so that a mistake in it is told now and not in a later version, and not carried out yet.
 */
export function exportInto(reader: TokenReader): Statement {
  reader.expect('export into');
  const isParquet = reader.accept('parquet');
  if (!isParquet) reader.expect('csv');
  const uri = reader.stringOrParameter();
  const list = options(reader);
  reader.expect('from');
  const query = reader.embeddedQuery();
  return isParquet ? { kind: 'notYet', what: 'EXPORT INTO PARQUET' } : { kind: 'exportIntoCsv', uri, options: list, query };
}
