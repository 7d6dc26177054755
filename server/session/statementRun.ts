/** Carries statements of ours out: a context for the handlers, one catalog transaction around them, limits, notices. */
import type { Catalog, Stamp } from '../../catalog/catalog.ts';
import type { CommandContext, CommandResult, JobLogins, Notice } from '../../commands/command.ts';
import { commandFor, natureOf } from '../../commands/commands.ts';
import { type ErrorData, PgPierError, toErrorData } from '../../errors.ts';
import type { Jobs, StatementOfJob } from '../../jobs/job.ts';
import type { Workers } from '../../jobs/task.ts';
import type { Statement } from '../../statement/statement.ts';
import type { SessionState } from './askerQuery.ts';

export interface Services {
  readonly catalog: Catalog;
  readonly workers: Workers;
  readonly jobs: (statement: StatementOfJob) => Jobs;
  readonly logins: JobLogins;
  readonly log: { error(fields: object, message: string): void };
}

export interface Run {
  readonly statements: readonly Statement[];
  readonly parameters: CommandContext['parameters'];
  readonly state: SessionState;
  /** The client session's id in the catalog. */
  readonly session: string;
  readonly stamp: Stamp;
  readonly abort: AbortController;
  readonly notice: (notice: Notice) => void;
}

export type Outcome =
  | { readonly kind: 'done'; readonly results: readonly CommandResult[] }
  /** `results`: of the statements before the one that failed. PostgreSQL sends them too, although nothing of them remains. */
  | { readonly kind: 'failed'; readonly error: ErrorData; readonly results: readonly CommandResult[] };

/** One catalog transaction for all of a string's statements: all count, or none. */
export async function runStatements(services: Services, run: Run): Promise<Outcome> {
  const { abort, state } = run;
  const timer = limit(abort, state.statementTimeout);
  const view = { session: run.session, role: state.asker.role, sessionUser: state.asker.sessionUser, stamp: run.stamp };
  const results: CommandResult[] = [];
  try {
    await services.catalog.transaction(view, async (catalog) => {
      const context: CommandContext = {
        asker: state.asker,
        catalog,
        apart: (work) => services.catalog.transaction({ ...view, stamp: { kind: 'immediate' } }, work),
        uses: services.catalog.uses,
        workers: services.workers,
        jobs: services.jobs({ asker: state.asker, catalog, notice: run.notice, signal: abort.signal }),
        logins: services.logins,
        parameters: run.parameters,
        text: (value) => (value.kind === 'string' ? value.value : parameterText(run.parameters, value.number)),
        notice: run.notice,
        signal: abort.signal,
      };
      for (const statement of run.statements) {
        results.push(await commandFor(statement).run(context, statement));
        // A job stands alone in its string and has come to its end: a cancel that came too late changes nothing.
        if (natureOf(statement) !== 'job') abort.signal.throwIfAborted();
      }
    });
    return { kind: 'done', results };
  } catch (error) {
    const cause: unknown = abort.signal.aborted ? abort.signal.reason : error;
    if (!(cause instanceof PgPierError))
      services.log.error({ statements: run.statements.map(({ kind }) => kind), ...whereThrown(cause) }, 'defect');
    return { kind: 'failed', error: toErrorData(cause), results };
  } finally {
    clearTimeout(timer);
  }
}

/** A defect's kind and place. Its message stays out of the log: it may quote what a user wrote. */
function whereThrown(cause: unknown): object {
  if (!(cause instanceof Error)) return { error: typeof cause };
  const frames = (cause.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return { error: cause.name, at: frames.map((line) => line.trim()) };
}

/** statement_timeout does not run in the backend while we work: the session's value is kept here (pitfall 19). */
function limit(abort: AbortController, milliseconds: number): NodeJS.Timeout | undefined {
  if (milliseconds === 0) return undefined;
  return setTimeout(() => abort.abort(new PgPierError('statementTimeout')), Math.min(milliseconds, 0x7fff_ffff));
}

function parameterText(parameters: CommandContext['parameters'], number: number): string {
  const value = parameters[number - 1]?.value;
  if (value === undefined) throw new PgPierError('noParameter', { number });
  if (value === null) throw new PgPierError('nullParameter', { number });
  return value;
}

const severityRank = ['debug5', 'debug4', 'debug3', 'debug2', 'debug1', 'log', 'notice', 'warning', 'error'];

/** Whether the session's client_min_messages lets a notice through. */
export function noticePasses(notice: Notice, clientMinMessages: string): boolean {
  return severityRank.indexOf(notice.severity.toLowerCase()) >= severityRank.indexOf(clientMinMessages);
}
