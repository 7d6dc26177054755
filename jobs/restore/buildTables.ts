/**
 * Tables from empty to ready, over several sessions: rows, then keys, then indexes side by side, then statistics; each step of a table when the
 * one before is done, and the largest piece of work first, whichever table it is of.
 */
import type { BackedUpTable, DataFile } from '../backup/manifest.ts';
import { together } from '../together.ts';
import { quoteIdentifier } from '../transfer/quoteLiteral.ts';
import { type LoadSource, loadFile } from './loadData.ts';
import { replay } from './replay.ts';
import type { RestoreSession } from './restoreSession.ts';
import type { SchemaEntry } from './schema.ts';

export interface TableToBuild {
  readonly table: BackedUpTable;
  readonly files: readonly DataFile[];
  /** Post-data entries of type CONSTRAINT and INDEX of this table. */
  readonly keys: readonly SchemaEntry[];
  readonly indexes: readonly SchemaEntry[];
  /** Made by this restore, and empty: it may be truncated, and its rows frozen as they come. */
  readonly fresh: boolean;
  readonly analyze: boolean;
}

interface Task {
  /** Bytes, about. */
  readonly size: number;
  readonly run: (session: RestoreSession) => Promise<void>;
  readonly done: () => void;
}

/** An index reads a part of the row and sorts it. */
const INDEX_SHARE = 0.5;

export async function buildTables(sessions: readonly RestoreSession[], tables: readonly TableToBuild[], source: LoadSource): Promise<void> {
  const queue = new TaskQueue();
  for (const table of tables) begin(queue, table, source);
  await together(
    source.signal,
    sessions.map((session) => async (signal: AbortSignal) => {
      signal.addEventListener('abort', () => queue.stop(), { once: true });
      for (let task = await queue.next(); task !== undefined; task = await queue.next()) {
        await task.run(session);
        task.done();
      }
    }),
  );
}

/** Enters the first step of a table; each step enters the next. */
function begin(queue: TaskQueue, { table, files, keys, indexes, fresh, analyze }: TableToBuild, source: LoadSource): void {
  const bytes = files.reduce((sum, { rawBytes }) => sum + rawBytes, 0);
  const name = `${quoteIdentifier(table.schema)}.${quoteIdentifier(table.name)}`;
  const step = (tasks: readonly Omit<Task, 'done'>[], then: () => void): void => {
    let left = tasks.length;
    if (left === 0) return then();
    for (const task of tasks) {
      queue.add({
        ...task,
        done() {
          if (--left === 0) then();
          queue.finished();
        },
      });
    }
  };
  const statistics = analyze ? [{ size: 1, run: async (session: RestoreSession) => void (await session.query(`analyze ${name}`)) }] : [];
  const making = (entries: readonly SchemaEntry[]) => ({
    size: bytes * INDEX_SHARE,
    run: (session: RestoreSession) => replay(session, entries),
  });
  const frozen = fresh && files.length === 1;
  const loading = files.map((file) => ({
    size: file.rawBytes,
    run: (session: RestoreSession) => loadFile(session, table, file, source, frozen),
  }));
  step(loading, () =>
    // A key takes its table for itself: several of one table come one after the other, in one session.
    step(keys.length === 0 ? [] : [making(keys)], () =>
      step(
        indexes.map((index) => making([index])),
        () => step(statistics, () => {}),
      ),
    ),
  );
}

/** Tasks that are ready, largest first. One that is under way may make others ready. */
class TaskQueue {
  #ready: Task[] = [];
  #running = 0;
  #stopped = false;
  #waiting: (() => void)[] = [];

  add(task: Task): void {
    this.#ready.push(task);
  }

  finished(): void {
    this.#running--;
    this.#wake();
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  /** Undefined when nothing is left to do, or after `stop`. */
  async next(): Promise<Task | undefined> {
    for (;;) {
      if (this.#stopped) return undefined;
      if (this.#ready.length > 0) {
        this.#ready.sort((a, b) => a.size - b.size);
        this.#running++;
        return this.#ready.pop();
      }
      if (this.#running === 0) return undefined;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
