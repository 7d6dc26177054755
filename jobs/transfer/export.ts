/**
 * EXPORT in a worker: logs in as the short-lived job role, becomes the asker, runs `COPY (query) TO STDOUT` in one read-only snapshot and writes
 * the rows to files. All or nothing: on failure or cancel the files of this run are taken back.
 */
import { randomBytes } from 'node:crypto';
import type { Notice } from '../../commands/command.ts';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { type BackendSession, openBackendSession } from '../backendLogin.ts';
import type { ExportedFile, ExportTask, StorageTarget } from '../task.ts';
import { startCopyOut } from './copyOutSession.ts';
import { ExportFiles } from './exportFiles.ts';
import { type CopyText, copyText, declaredTypes, readExportQuery } from './exportQuery.ts';
import { quoteIdentifier } from './quoteLiteral.ts';

/** What a task is given beside itself. */
export interface TaskRun {
  readonly signal: AbortSignal;
  readonly nodeId: number;
  openStorage(target: StorageTarget): Promise<Storage>;
  notice(notice: Notice): void;
}

/** What is waited for taking back files, after which a warning names those that may be left. */
const REMOVAL_MS = 30_000;
/** What a write that is under way is given to end once the run has failed. */
const LAST_WRITE_MS = 5_000;

/** @throws PgPierError; when the signal aborts, its reason */
export async function runExport(task: ExportTask, run: TaskRun): Promise<readonly ExportedFile[]> {
  const { signal } = run;
  const query = await readExportQuery(task.query.text, task.query.offset, task.settings.standard_conforming_strings !== 'off');
  const storage = await run.openStorage(task.target);
  // Whatever fails first stops the other side: the storage the query, the query the storage.
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const nullToken = task.csv.nullas === undefined ? unguessable(task.csv.delimiter) : undefined;
  const pressure: { onChange: (high: boolean) => void } = { onChange: () => {} };
  const files = new ExportFiles({
    storage,
    name: (chunk) => exportFileName(task, run.nodeId, chunk),
    compression: task.compression,
    chunkRows: task.chunkRows,
    chunkSize: task.chunkSize,
    signal: either,
    onPressure: (high) => pressure.onChange(high),
    ...(nullToken === undefined ? {} : { nullToken: Buffer.from(nullToken) }),
  });
  let session: BackendSession | undefined;
  try {
    session = await openBackendSession(task.login, 'EXPORT', signal);
    const abandon = () => session?.abandon();
    either.addEventListener('abort', abandon, { once: true });
    signal.throwIfAborted();
    await enterAsAsker(session, task);
    const text = copyText(query, task.parameters, await typeNames(session, task), {
      delimiter: task.csv.delimiter,
      nullString: task.csv.nullas ?? nullToken!,
    });
    await copy(session, text, files, pressure, run, stop);
    await session.query('commit');
    either.removeEventListener('abort', abandon);
    await session.close();
    return files.finished;
  } catch (error) {
    stop.abort(error);
    session?.abandon();
    await takeBack(files, run);
    signal.throwIfAborted();
    throw error;
  } finally {
    await storage.close().catch(() => {});
  }
}

/** What stands for NULL where NULL is an error. COPY refuses one that holds the delimiter; its rare first byte makes the search for it fast. */
function unguessable(delimiter: string): string {
  const hex = randomBytes(24).toString('hex');
  return `${delimiter === '\x01' ? '\x02' : '\x01'}${hex.replaceAll(delimiter, 'x')}`;
}

/** `export<id>-n<node>.<chunk>.csv[.gz]`, as CockroachDB names them. */
function exportFileName(task: Pick<ExportTask, 'exportId' | 'compression'>, nodeId: number, chunk: number): string {
  return `export${task.exportId}-n${nodeId}.${chunk}.csv${task.compression === 'gzip' ? '.gz' : ''}`;
}

/** Limits that the relay keeps itself (the signal), and which a server's defaults must not impose on a job. */
const unlimited = ['statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout', 'idle_session_timeout'];
/** Settings that are this code's to decide. */
const ours = new Set([...unlimited, 'client_encoding', 'role', 'session_authorization', 'transaction_read_only', 'transaction_isolation']);

const setWhereKnown =
  'select pg_catalog.set_config(name, $2, false) from pg_catalog.pg_settings where name operator(pg_catalog.=) any ($1::pg_catalog.text[])';

/** One read-only snapshot, under the asker's name, with the settings of the client's session. */
async function enterAsAsker(session: BackendSession, task: ExportTask): Promise<void> {
  await session.query(setWhereKnown, [unlimited, '0']);
  // Where the server can, it looks every few seconds whether this process still lives, and ends the query if not.
  await session.query(setWhereKnown, [['client_connection_check_interval'], '5s']).catch((error) => {
    if (!(error instanceof PgPierError) || error.data.sqlstate !== '22023') throw error;
  });
  await session.query('begin isolation level repeatable read read only');
  await session.query(`set local role ${quoteIdentifier(task.role)}`);
  // What the query was read by must be what PostgreSQL reads it by, whatever the server's default.
  const settings = Object.entries({ standard_conforming_strings: 'on', ...task.settings }).filter(
    ([name]) => !ours.has(name.toLowerCase()),
  );
  await session.query(
    'select pg_catalog.set_config(s.name, s.value, false) ' +
      'from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) as s (name, value)',
    [settings.map(([name]) => name), settings.map(([, value]) => value)],
  );
}

async function typeNames(session: BackendSession, task: ExportTask): Promise<Map<number, string>> {
  const oids = declaredTypes(task.parameters);
  if (oids.length === 0) return new Map();
  const { rows } = await session.query(
    'select t.oid::pg_catalog.int8::pg_catalog.text as oid, pg_catalog.format_type(t.oid, -1) as name ' +
      'from pg_catalog.pg_type t where t.oid operator(pg_catalog.=) any ($1::pg_catalog.oid[])',
    [oids],
  );
  return new Map(rows.map(({ oid, name }: { oid: string; name: string }) => [Number(oid), name]));
}

/** Runs the COPY and writes its rows until both are done, or one fails. */
async function copy(
  session: BackendSession,
  text: CopyText,
  files: ExportFiles,
  pressure: { onChange: (high: boolean) => void },
  run: TaskRun,
  stop: AbortController,
): Promise<void> {
  const reading = startCopyOut(session, text.text, files, run.notice);
  pressure.onChange = (high) => (high ? reading.pause() : reading.resume());
  const read = async () => {
    try {
      const { rows, reported } = await Promise.race([reading.done, session.lost]);
      if (rows !== reported) throw new PgPierError('exportIncomplete', { received: rows, expected: reported });
      files.end();
    } catch (error) {
      throw withClientPosition(error, text);
    }
  };
  const failed = (error: unknown) => stop.abort(error);
  const both = Promise.all([read().catch(failed), files.write().catch(failed)]);
  await Promise.race([both, abandonedStorage(AbortSignal.any([run.signal, stop.signal]))]);
  // The first failure is the cause; the other side only followed it.
  stop.signal.throwIfAborted();
  run.signal.throwIfAborted();
}

/** Resolves some seconds after `signal` aborts: a storage that does not answer is not waited for longer. */
function abandonedStorage(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, LAST_WRITE_MS).unref(), { once: true }));
}

/** PostgreSQL counts positions in the COPY text; the client knows its own. */
function withClientPosition(error: unknown, text: CopyText): unknown {
  if (!(error instanceof PgPierError) || error.data.position === undefined) return error;
  const { position, ...rest } = error.data;
  const mapped = text.clientPosition(position);
  return PgPierError.from({ ...rest, ...(mapped === undefined ? {} : { position: mapped }) });
}

async function takeBack(files: ExportFiles, run: TaskRun): Promise<void> {
  const left = await files.remove(AbortSignal.timeout(REMOVAL_MS));
  if (left.length > 0) run.notice(leftBehind(left));
}

/** The warning that names files which could not be taken back. */
function leftBehind(names: readonly string[]): Notice {
  const shown = names.slice(0, 5).join(', ');
  return {
    severity: 'WARNING',
    sqlstate: '01000',
    message: `EXPORT could not remove what it had written: ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`,
    hint: 'Remove these files by hand.',
  };
}
