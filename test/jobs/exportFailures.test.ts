import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { Storage, StorageWriter } from '../../external/storage/storage.ts';
import type { ExportTask } from '../../jobs/task.ts';
import { runExport } from '../../jobs/transfer/export.ts';
import { missingPostgres, type PostgresVersion } from '../servers/postgres.ts';
import { type ExportLab, failure, startExportLab } from './exportLab.ts';

for (const version of [15, 18] as const) describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => suite(version));

/** Long enough to be interrupted anywhere: files of 1 MB, some hundred of them. */
const long = `select n, repeat(md5(n::text), 10) from generate_series(1, 1000000) n`;
const canceled = () => PgPierError.from({ sqlstate: '57014', message: 'canceling statement due to user request' });

function suite(version: PostgresVersion) {
  let lab: ExportLab;
  before(async () => {
    lab = await startExportLab({ version });
    // The first export pays for the start of a process.
    await lab.export('select 1 where false');
  });
  after(() => lab?.stop());
  beforeEach(() => lab.notices.splice(0));

  async function nothingLeft(): Promise<void> {
    assert.deepEqual(lab.leftovers(), []);
    assert.deepEqual(lab.notices, []);
    const sessions = `select query from pg_stat_activity where usename like 'pgpier%' or query like 'COPY%'`;
    for (let tries = 0; tries < 50 && (await lab.admin.query(sessions)).rows.length > 0; tries++) await sleep(20);
    assert.deepEqual((await lab.admin.query(sessions)).rows, []);
    assert.deepEqual((await lab.admin.query(`select rolname from pg_roles where rolname like 'pgpier%'`)).rows, []);
  }

  test('a cancel at any moment ends the query and leaves no file', async () => {
    for (const delay of [0, 5, 15, 30, 50, 80, 120, 200, 350, 500]) {
      const abort = new AbortController();
      const reason = canceled();
      const compression = delay % 3 === 0 ? 'gzip' : 'none';
      const running = lab.export(long, { signal: abort.signal, chunkSize: 1_000_000, compression });
      setTimeout(() => abort.abort(reason), delay);
      await assert.rejects(running, (error) => error === reason, `after ${delay} ms`);
      await nothingLeft();
    }
  });

  test('a cancel ends a query that has not sent a row yet', async () => {
    const abort = new AbortController();
    const begun = performance.now();
    const running = lab.export('select pg_sleep(60)', { signal: abort.signal });
    setTimeout(() => abort.abort(canceled()), 300);
    assert.equal((await failure(running)).sqlstate, '57014');
    assert.ok(performance.now() - begun < 3000);
    await nothingLeft();
  });

  test('a killed backend is a clear error and leaves no file', async () => {
    for (const delay of [50, 200, 500]) {
      const running = failure(lab.export(long, { chunkSize: 1_000_000 }));
      await sleep(delay);
      const kill = `select pg_terminate_backend(pid) from pg_stat_activity where usename like 'pgpier%'`;
      while ((await lab.admin.query(kill)).rows.length === 0) await sleep(5);
      const error = await running;
      assert.ok(['57P01', '58000'].includes(error.sqlstate), `${error.sqlstate} ${error.message}`);
      await nothingLeft();
    }
  });

  test('a worker killed with SIGKILL at any moment is 58000, its files go away, and the next export works', async () => {
    for (const delay of [30, 150, 400]) {
      const known = new Set(lab.logged);
      const running = failure(lab.export(long, { chunkSize: 1_000_000 }));
      await sleep(delay);
      for (const pid of livePids(lab)) process.kill(pid, 'SIGKILL');
      const error = await running;
      assert.equal(error.sqlstate, '58000');
      assert.match(error.message, /^the worker process ended while it ran EXPORT/);
      assert.ok(lab.logged.some((entry) => !known.has(entry) && 'how' in entry && entry.how === 'SIGKILL'));
      await nothingLeft();
    }
    assert.equal((await lab.export('select 1')).length, 1);
    for (const name of lab.leftovers()) assert.match(name, /\.0\.csv$/);
  });

  test('a query nested too deeply retires its worker, and others take over', async () => {
    assert.equal((await failure(lab.export(`select ${'1+'.repeat(200_000)}1`))).sqlstate, '54001');
    assert.equal((await lab.export('select 1')).length, 1);
  });

  const task = async (query: string, fields: Partial<ExportTask> = {}): Promise<[ExportTask, () => Promise<void>]> => {
    const { login, close } = await lab.logins.open('postgres', 'postgres');
    return [
      {
        kind: 'export',
        target: { uri: 'test:', trusted: true },
        login,
        role: 'postgres',
        settings: {},
        query: { text: query, offset: 0 },
        parameters: [],
        exportId: 'ab',
        csv: { delimiter: ',', nullas: '' },
        compression: 'none',
        chunkRows: 100_000,
        chunkSize: 32 * 1024 * 1024,
        ...fields,
      },
      close,
    ];
  };

  async function exportTo(storage: TestStorage, query: string, fields: Partial<ExportTask> = {}, signal = new AbortController().signal) {
    const [given, close] = await task(query, fields);
    try {
      return await runExport(given, { signal, nodeId: 7, openStorage: async () => storage, notice: (notice) => lab.notices.push(notice) });
    } finally {
      await close();
    }
  }

  test('300 MB through a slow storage never fill the memory', async () => {
    const storage = new TestStorage({ delay: 1 });
    const watch = watchMemory();
    const files = await exportTo(storage, `select repeat('x', 999) from generate_series(1, 300000)`);
    const grown = watch.stop();
    assert.equal(storage.bytes, 300_000_000);
    assert.equal(
      files.reduce((sum, { rows }) => sum + rows, 0),
      300_000,
    );
    assert.ok(grown < 130e6, `grew by ${Math.round(grown / 1e6)} MB`);
  });

  test('a row of 200 MB streams through', async () => {
    const storage = new TestStorage({});
    const watch = watchMemory();
    const files = await exportTo(storage, `select repeat('x', 200000000)`);
    const grown = watch.stop();
    assert.deepEqual([files.length, storage.bytes], [1, 200_000_001]);
    assert.ok(grown < 130e6, `grew by ${Math.round(grown / 1e6)} MB`);
  });

  test('a storage that fails in mid-export ends the query; what is finished is deleted', async () => {
    for (const at of ['write', 'finish', 'create'] as const) {
      const storage = new TestStorage({ fail: at, after: 3 });
      const error = await failure(exportTo(storage, long, { chunkSize: 1_000_000 }));
      assert.deepEqual([error.sqlstate, error.message], ['58030', `cannot ${at}`]);
      assert.deepEqual([...storage.visible], []);
      assert.equal(storage.open, 0);
    }
    await nothingLeftInServer();
  });

  test('files that cannot be deleted are named in a warning', async () => {
    const storage = new TestStorage({ fail: 'write', after: 20, keep: true });
    await failure(exportTo(storage, long, { chunkSize: 1_000_000 }));
    assert.equal(lab.notices.length, 1);
    assert.equal(lab.notices[0]!.severity, 'WARNING');
    for (const name of storage.visible) assert.ok(lab.notices[0]!.message.includes(name), name);
    assert.ok(storage.visible.size >= 2);
  });

  test('a storage that hangs does not hold a cancel', async () => {
    const storage = new TestStorage({ hang: true });
    const abort = new AbortController();
    setTimeout(() => abort.abort(canceled()), 200);
    const begun = performance.now();
    assert.equal((await failure(exportTo(storage, long, {}, abort.signal))).sqlstate, '57014');
    assert.ok(performance.now() - begun < 8000);
    await nothingLeftInServer();
  });

  async function nothingLeftInServer(): Promise<void> {
    const sessions = `select query from pg_stat_activity where usename like 'pgpier%' or query like 'COPY%'`;
    for (let tries = 0; tries < 50 && (await lab.admin.query(sessions)).rows.length > 0; tries++) await sleep(20);
    assert.deepEqual((await lab.admin.query(sessions)).rows, []);
  }
}

/** Bytes by which heap and buffers, garbage included, grow at most. Not the resident size: Node's own reading of TypeScript takes more. */
function watchMemory(): { stop(): number } {
  const used = () => {
    const { heapUsed, external } = process.memoryUsage();
    return heapUsed + external;
  };
  const before = used();
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, used());
  }, 5);
  return {
    stop() {
      clearInterval(timer);
      return peak - before;
    },
  };
}

function livePids(lab: ExportLab): number[] {
  const ended = new Set(lab.logged.flatMap((entry) => ('how' in entry && 'pid' in entry ? [entry.pid] : [])));
  return lab.logged.flatMap((entry) => ('pid' in entry && !('how' in entry) && !ended.has(entry.pid) ? [entry.pid as number] : []));
}

interface Faults {
  /** ms that each write takes. */
  readonly delay?: number;
  readonly fail?: 'create' | 'write' | 'finish';
  /** How many of these succeed. */
  readonly after?: number;
  /** Deletes fail. */
  readonly keep?: boolean;
  readonly hang?: boolean;
}

/** Keeps names and counts only. */
class TestStorage implements Storage {
  readonly location = 'test:';
  readonly visible = new Set<string>();
  bytes = 0;
  open = 0;
  #left: number;
  readonly #faults: Faults;

  constructor(faults: Faults) {
    this.#faults = faults;
    this.#left = faults.after ?? 0;
  }

  #step(step: Faults['fail']): void {
    if (this.#faults.fail === step && this.#left-- <= 0) throw PgPierError.from({ sqlstate: '58030', message: `cannot ${step}` });
  }

  async write(path: string): Promise<StorageWriter> {
    this.#step('create');
    this.open++;
    let over = false;
    const end = () => {
      if (!over) this.open--;
      over = true;
    };
    return {
      write: async (chunk) => {
        if (this.#faults.hang) await new Promise(() => {});
        if (this.#faults.delay !== undefined) await sleep(this.#faults.delay);
        this.#step('write');
        this.bytes += chunk.length;
      },
      finish: async () => {
        this.#step('finish');
        this.visible.add(path);
        end();
      },
      abort: async () => end(),
    };
  }

  async delete(path: string): Promise<void> {
    if (this.#faults.keep) throw PgPierError.from({ sqlstate: '42501', message: 'no' });
    this.visible.delete(path);
  }

  async *read(): AsyncIterable<Buffer> {}

  async *list(): AsyncIterable<never> {}
  async removePartial(): Promise<number> {
    return 0;
  }
  async close(): Promise<void> {}
}
