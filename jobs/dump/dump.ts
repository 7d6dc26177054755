/**
 * The schema of a database as pg_dump writes it, in the snapshot of a backup. Two runners behind one function: a native pg_dump where
 * there is one that is new enough, else pg_dump 18 as WebAssembly. Neither moves data.
 */
import { PgPierError } from '../../errors.ts';
import type { BackendLogin } from '../task.ts';
import { findNativePgDump, runNativePgDump } from './nativePgDump.ts';
import { runWasmPgDump, wasmPgDumpMajor } from './wasmPgDump.ts';

export type Section = 'pre-data' | 'post-data';

export interface DumpRequest {
  readonly login: BackendLogin;
  /** SET ROLE to this after login. */
  readonly role: string;
  /** Exported by a transaction that stays open until this has ended. */
  readonly snapshot: string;
  readonly section: Section;
  /** 15 for PostgreSQL 15. */
  readonly serverMajor: number;
  /** Of these tables alone, with what belongs to them; absent: of the whole database. An empty list: of no table, but of all else. */
  readonly tables?: readonly { readonly schema: string; readonly name: string }[];
}

export interface DumpOptions {
  readonly signal: AbortSignal;
  /** What pg_dump said on stderr although it succeeded. */
  readonly onWarning?: (text: string) => void;
  /** Which program it was, for the log. */
  readonly onRunner?: (runner: string) => void;
  /** For tests; by default native where it is new enough. */
  readonly runner?: 'native' | 'wasm';
}

/** The backup's leader has these locks already, so what pg_dump waits for waits for the leader: somebody who wants to change the table. */
const LOCK_WAIT_MS = 5_000;

/**
 * SQL text of pg_dump, whole, UTF-8.
 * @throws PgPierError with pg_dump's own words; the signal's reason
 */
export async function dumpSchema(request: DumpRequest, options: DumpOptions): Promise<string> {
  const { signal } = options;
  signal.throwIfAborted();
  const native = options.runner === 'wasm' ? undefined : await findNativePgDump(request.serverMajor);
  if (native === undefined && (options.runner === 'native' || request.serverMajor > wasmPgDumpMajor)) {
    throw new PgPierError('pgDumpTooOld', { major: request.serverMajor });
  }
  options.onRunner?.(native === undefined ? `pg_dump ${wasmPgDumpMajor} (WebAssembly)` : native.path);
  const major = native?.major ?? wasmPgDumpMajor;
  const args = pgDumpArguments(request, major);
  const { sql, stderr } =
    native === undefined ? await runWasmPgDump(request, args, signal) : await runNativePgDump(native.path, request, args, signal);
  if (stderr !== '') options.onWarning?.(stderr);
  return sql;
}

/** Without connection parameters and output file. `major` is pg_dump's. */
function pgDumpArguments({ role, snapshot, section, tables }: DumpRequest, major: number): string[] {
  return [
    `--section=${section}`,
    `--snapshot=${snapshot}`,
    `--role=${role}`,
    `--lock-wait-timeout=${LOCK_WAIT_MS}`,
    // Large objects and their data are read by the backup itself.
    '-B',
    '--no-password',
    '--quote-all-identifiers',
    ...(major >= 18 ? ['--no-statistics'] : []),
    ...(tables === undefined ? [] : tables.length === 0 ? ['--exclude-table=*.*'] : tables.map((table) => `--table=${pattern(table)}`)),
  ];
}

/** A pattern that means this table alone: quoted, wildcards are letters; a quote is doubled. */
function pattern({ schema, name }: { readonly schema: string; readonly name: string }): string {
  return [schema, name].map((part) => `"${part.replaceAll('"', '""')}"`).join('.');
}
