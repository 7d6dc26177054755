/**
 * How content goes away. A row that is `removed` or `abandoned` is nobody's file any more; its chunks are deleted in small steps, by whoever
 * comes by: the one that removed it, or the catalog's sweep. Readers hold an advisory lock on what they read, and writers one on what they write: a
 * lock that ends with its session, however that ends.
 */

/** First key of the advisory locks on files; the second is the file's id. ('pgUF' in ASCII.) */
const lockClass = 0x70675546;

/** SQL: the keys of the lock on the file `id`. */
export function lockKeys(id: string): string {
  return `${lockClass}, (${id} % 2147483647)::pg_catalog.int4`;
}

/** Chunks deleted in one statement. */
const chunksAtOnce = 128;

/** Runs one statement and answers with its rows; queries of the catalog and of the storage both fit. */
export type Run = (text: string, values: unknown[]) => Promise<{ readonly rows: readonly Record<string, unknown>[] }>;

/**
 * Deletes one file's chunks and its row, unless somebody still reads it. False if it is not all gone: a reader, or `mayGoOn` said no.
 * @param id decimal int8
 */
export async function purgeFile(run: Run, id: string, mayGoOn: () => boolean = () => true): Promise<boolean> {
  const held = `held as materialized (
    select f.file_id from pgpier.userfile f
    where f.file_id = $1 and case f.state when 'abandoned' then true
      when 'removed' then pg_catalog.pg_try_advisory_xact_lock(${lockKeys('f.file_id')}) else false end)`;
  for (;;) {
    const { rows } = await run(
      `with ${held}, gone as (
         delete from pgpier.userfile_chunk c using held h where c.file_id = h.file_id and c.number in (
           select d.number from pgpier.userfile_chunk d where d.file_id = $1 order by d.number limit ${chunksAtOnce})
         returning 1)
       select (select pg_catalog.count(*) from held)::pg_catalog.int4 as held, (select pg_catalog.count(*) from gone)::pg_catalog.int4 as gone`,
      [id],
    );
    const { held: mine, gone } = rows[0] as { held: number; gone: number };
    if (mine === 0) return false;
    if (gone < chunksAtOnce) break;
    if (!mayGoOn()) return false;
  }
  const { rows } = await run(
    `with ${held}
     delete from pgpier.userfile f using held h
     where f.file_id = h.file_id and not exists (select from pgpier.userfile_chunk c where c.file_id = $1)
     returning f.file_id`,
    [id],
  );
  return rows.length > 0;
}

/** Marks what writers left whose sessions have ended, so that it may be purged. */
export async function abandonDeadWriters(run: Run): Promise<void> {
  await run(
    `with writing as materialized (select f.file_id from pgpier.userfile f where f.state = 'writing'),
       dead as materialized (select w.file_id from writing w where pg_catalog.pg_try_advisory_xact_lock(${lockKeys('w.file_id')}))
     update pgpier.userfile f set state = 'abandoned' from dead d where f.file_id = d.file_id and f.state = 'writing'`,
    [],
  );
}

/** Ids of what is on its way out, oldest first. */
export async function purgeable(run: Run, most: number): Promise<readonly string[]> {
  const { rows } = await run(
    `select f.file_id::pg_catalog.text as id from pgpier.userfile f where f.state in ('removed', 'abandoned') order by f.file_id limit $1`,
    [most],
  );
  return rows.map(({ id }) => id as string);
}
