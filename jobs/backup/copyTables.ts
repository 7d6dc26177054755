/** The data of a database: COPY over several sessions in the leader's snapshot, compressed here, to files of the backup. */
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { BackendSession } from '../backendLogin.ts';
import { together } from '../together.ts';
import { startCopyOut } from '../transfer/copyOutSession.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';
import { enterSnapshot, openAsAsker } from './backupSession.ts';
import type { SourceTable } from './contents.ts';
import { CopyBlocks } from './copyBlocks.ts';
import { type Leader, quoted } from './leader.ts';
import type { BackedUpTable, DataFile } from './manifest.ts';
import { type PlannedCopy, planCopies } from './plan.ts';
import { BlockWriter } from './storedFile.ts';

export interface CopyTarget {
  readonly storage: Storage;
  /** The backup's folder, and below it the database's. */
  readonly folder: string;
  readonly prefix: string;
  readonly signal: AbortSignal;
  readonly onCopied: (rows: number, rawBytes: number) => void;
}

/**
 * Copies all rows of the leader's tables.
 * @param leaderFree resolves when nobody else uses the leader's session any more
 * @returns the tables with rows of their own, with their files in order
 */
export async function copyTables(
  leader: Leader,
  connections: number,
  leaderFree: Promise<void>,
  target: CopyTarget,
): Promise<BackedUpTable[]> {
  const tables = leader.tables.filter(({ kind }) => kind === 'r');
  const planned = tables.map(({ bytes, blocks, divisible, condition }) => ({
    size: bytes,
    blocks,
    divisible: divisible && condition === undefined,
  }));
  const queue = planCopies(planned, connections);
  const files = new Map<number, { readonly from: number; readonly file: DataFile }[]>();
  const keep = (copy: PlannedCopy, written: readonly DataFile[]): void => {
    const list = files.get(copy.table) ?? [];
    list.push(...written.map((file) => ({ from: copy.range?.from ?? 0, file })));
    files.set(copy.table, list);
  };
  /** Copies that only the leader can make: who wants to change such a table waits for the leader, and everybody else waits behind that one. */
  const contended: PlannedCopy[] = [];
  const work = async (signal: AbortSignal): Promise<void> => {
    if (queue.length === 0) return;
    const session = await openAsAsker(leader.access, signal);
    const abandon = (): void => session.abandon();
    signal.addEventListener('abort', abandon, { once: true });
    try {
      await enterSnapshot(session, leader.snapshot);
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
        signal.throwIfAborted();
        const table = tables[next.table]!;
        if (await lockNow(session, table)) keep(next, await copyOne(session, table, next, { ...target, signal }));
        else contended.push(next);
      }
      await session.query('commit');
      await session.close();
    } catch (error) {
      session.abandon();
      throw error;
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  };
  await together(
    target.signal,
    Array.from({ length: connections }, () => work),
  );
  if (contended.length > 0) {
    await leaderFree;
    target.signal.throwIfAborted();
    for (const copy of contended) keep(copy, await copyOne(leader.session, tables[copy.table]!, copy, target));
  }
  return tables.map(({ schema, name, columns }, index) => {
    const own = (files.get(index) ?? []).sort((a, b) => a.from - b.from).map(({ file }) => file);
    return { schema, name, columns, rows: own.reduce((sum, { rows }) => sum + rows, 0), files: own };
  });
}

/**
 * False when somebody waits for a lock that excludes ours. He waits for the leader, and to wait behind him would be a deadlock that PostgreSQL cannot see.
 */
async function lockNow(session: BackendSession, table: SourceTable): Promise<boolean> {
  try {
    await session.query(`savepoint pgpier; lock table only ${quoted(table)} in access share mode nowait; release savepoint pgpier`);
    return true;
  } catch (error) {
    if (!(error instanceof PgPierError) || error.data.sqlstate !== '55P03') throw error;
    await session.query('rollback to savepoint pgpier');
    return false;
  }
}

async function copyOne(session: BackendSession, table: SourceTable, copy: PlannedCopy, target: CopyTarget): Promise<DataFile[]> {
  const part = copy.range === undefined ? '1' : String(copy.range.from + 1);
  try {
    return await copyToFiles(
      session,
      copyText(table, copy.range),
      (file) => `${target.prefix}/data/${copy.table + 1}-${part}${file === 0 ? '' : `-${file + 1}`}.copy.zst`,
      target,
    );
  } catch (error) {
    if (!(error instanceof PgPierError) || !/^(42|55|22|XX)/.test(error.data.sqlstate)) throw error;
    throw PgPierError.from({ ...error.data, message: `table ${table.schema}.${table.name}: ${error.data.message}` });
  }
}

function copyText(table: SourceTable, range: PlannedCopy['range']): string {
  const columns = table.columns.map(quoteIdentifier).join(', ');
  if (table.condition !== undefined && table.condition !== '')
    return `copy (select ${columns} from only ${quoted(table)} ${table.condition}) to stdout`;
  if (range === undefined) return `copy ${quoted(table)}${columns === '' ? '' : ` (${columns})`} to stdout`;
  const upper = range.to === undefined ? '' : ` and ctid < '(${range.to},0)'`;
  return `copy (select ${columns} from only ${quoted(table)} where ctid >= '(${range.from},0)'${upper}) to stdout`;
}

/** One COPY into one or more files. No rows, no file. */
export async function copyToFiles(
  session: BackendSession,
  text: string,
  path: (file: number) => string,
  target: CopyTarget,
): Promise<DataFile[]> {
  const { storage, folder, signal } = target;
  const files: DataFile[] = [];
  const stop = Promise.withResolvers<never>();
  stop.promise.catch(() => {});
  let reading: ReturnType<typeof startCopyOut> | undefined;
  let opened = 0;
  const writer = new BlockWriter(
    () => storage.write(`${folder}/${path(opened++)}`, { signal }),
    (high) => (high ? reading?.pause() : reading?.resume()),
  );
  writer.onFailure = stop.reject;
  let file = 0;
  const blocks = new CopyBlocks({
    block: (bytes) => writer.write(bytes),
    endFile(summary) {
      const own = path(file++);
      writer.endFile(() => {
        files.push({ path: own, ...summary });
        target.onCopied(summary.rows, summary.rawBytes);
      });
    },
  });
  try {
    reading = startCopyOut(session, text, blocks, () => {});
    const { rows, reported } = await Promise.race([reading.done, session.lost, stop.promise]);
    if (rows !== reported) throw new PgPierError('backupIncomplete', { received: rows, expected: reported });
    blocks.end();
    await writer.settled();
    return files;
  } catch (error) {
    session.abandon();
    await writer.abort().catch(() => {});
    signal.throwIfAborted();
    throw error;
  }
}
