/** EXPORT INTO CSV: the rows of a query as CSV files on an external storage. */
import { randomBytes } from 'node:crypto';
import { PgPierError } from '../errors.ts';
import type { Command } from './command.ts';
import { csvExportOptions } from './exportOptions.ts';
import { recorded, storageOf, useOf } from './outside.ts';

export const exportIntoCsv: Command<'exportIntoCsv'> = {
  kind: 'exportIntoCsv',
  statement: 'EXPORT INTO CSV',
  columns: [
    { name: 'filename', type: 'text' },
    { name: 'rows', type: 'int8' },
    { name: 'bytes', type: 'int8' },
  ],
  privilege:
    'SELECT on what the query reads, as PostgreSQL says; USAGE on the connection, or EXTERNALIOIMPLICITACCESS for other URIs that need it',
  nature: 'job',
  async run(context, { uri, options, query }) {
    const { delimiter, nullas, compression, chunkRows, chunkSize } = csvExportOptions(options, (value) => context.text(value));
    const { target, resolve } = await storageOf(context, context.text(uri));
    const { asker } = context;
    const { login, close } = await context.logins.open(asker.role, asker.database);
    try {
      const files = await recorded(context, useOf('EXPORT INTO CSV', target), (options) =>
        context.workers.run(
          {
            kind: 'export',
            target,
            login,
            role: asker.role,
            settings: { ...asker.settings, search_path: asker.searchPath },
            query,
            parameters: context.parameters,
            exportId: exportId(),
            csv: { delimiter, ...(nullas === undefined ? {} : { nullas }) },
            compression,
            chunkRows,
            chunkSize,
          },
          { ...options, resolve },
        ),
      );
      return { rows: files.map(({ filename, rows, bytes }) => [filename, rows, bytes]), tag: 'EXPORT' };
    } catch (error) {
      throw withHint(error);
    } finally {
      await close();
    }
  },
};

/** 32 hex digits of which the first half is the time, so that names of later runs sort behind earlier ones. */
function exportId(): string {
  const microseconds = BigInt(Date.now()) * 1000n;
  return `${microseconds.toString(16).padStart(16, '0')}${randomBytes(8).toString('hex')}`;
}

/** The job's own session does not see the temporary tables of the client's. */
function withHint(error: unknown): unknown {
  if (!(error instanceof PgPierError) || error.data.sqlstate !== '42P01' || error.data.hint !== undefined) return error;
  const hint = 'EXPORT reads in a session of its own, which sees no temporary table: if this is one, copy it into an ordinary table first.';
  return PgPierError.from({ ...error.data, hint });
}
