/** The data of a backup into tables that are there: rows by COPY, sequences, large objects. */
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { BackedUpDatabase, BackedUpSequence, BackedUpTable, DataFile } from '../backup/manifest.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';
import { readBackupFile } from './backupFile.ts';
import { copyIn } from './copyIn.ts';
import { about, type RestoreSession } from './restoreSession.ts';

export interface LoadSource {
  readonly storage: Storage;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** Raw bytes and rows of a file that was loaded. */
  readonly onLoaded: (file: DataFile) => void;
}

const qualified = ({ schema, name }: { readonly schema: string; readonly name: string }): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`;

/**
 * One file, in a COPY of its own.
 * @param frozen the table is empty and nobody else's: emptied once more in the same transaction, it takes its rows frozen, which spares the first VACUUM
 */
export async function loadFile(
  session: RestoreSession,
  table: BackedUpTable,
  file: DataFile,
  source: LoadSource,
  frozen: boolean,
): Promise<void> {
  const columns = table.columns.length === 0 ? '' : ` (${table.columns.map(quoteIdentifier).join(', ')})`;
  try {
    if (frozen) {
      await session.query('begin');
      await session.query(`truncate only ${qualified(table)}`);
    }
    await copyFile(session, `copy ${qualified(table)}${columns} from stdin${frozen ? ' (freeze)' : ''}`, file, source);
    if (frozen) await session.query('commit');
  } catch (error) {
    throw about(`table ${table.schema}.${table.name}`, error);
  }
}

async function copyFile(session: RestoreSession, text: string, file: DataFile, source: LoadSource): Promise<void> {
  const { storage, folder, signal } = source;
  const rows = await copyIn(session, text, readBackupFile(storage, folder, file, signal)).catch((error) => {
    signal.throwIfAborted();
    throw error;
  });
  if (rows !== file.rows) {
    throw new PgPierError('damagedFile', {
      path: `${folder}/${file.path}`,
      reason: `it holds ${rows} rows, and the manifest says ${file.rows}`,
    });
  }
  source.onLoaded(file);
}

export async function setSequences(session: RestoreSession, sequences: readonly BackedUpSequence[]): Promise<void> {
  for (const sequence of sequences) {
    await session
      .query('select pg_catalog.setval($1::pg_catalog.regclass, $2::pg_catalog.int8, $3::pg_catalog.bool)', [
        qualified(sequence),
        sequence.lastValue,
        sequence.isCalled,
      ])
      .catch((error) => {
        throw about(`sequence ${sequence.schema}.${sequence.name}`, error);
      });
  }
}

/** Rows of (oid, offset, bytes) by way of a temporary table, file by file. */
export async function loadLargeObjects(
  session: RestoreSession,
  largeObjects: BackedUpDatabase['largeObjects'],
  source: LoadSource,
): Promise<void> {
  if (largeObjects === undefined) return;
  await session.asAsker(
    'create temporary table pgpier_large_object (id pg_catalog.oid not null, position pg_catalog.int8 not null, data pg_catalog.bytea not null)',
  );
  for (const file of largeObjects.files) {
    await copyFile(session, 'copy pg_temp.pgpier_large_object (id, position, data) from stdin', file, source);
    await session.asAsker(`select pg_catalog.lo_create(l.id) from (select distinct id from pg_temp.pgpier_large_object) l
      where not exists (select from pg_catalog.pg_largeobject_metadata m where m.oid operator(pg_catalog.=) l.id)`);
    await session.asAsker(
      'select pg_catalog.count(pg_catalog.lo_put(id, position, data)) from (select * from pg_temp.pgpier_large_object order by id, position) l',
    );
    await session.asAsker('truncate pg_temp.pgpier_large_object');
  }
  await session.asAsker('drop table pg_temp.pgpier_large_object');
}
