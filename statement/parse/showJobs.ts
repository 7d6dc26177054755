import type { Statement, StatementOf } from '../statement.ts';
import { isQueryNext, jobId, jobIds } from './jobId.ts';
import type { TokenReader } from './reader.ts';

const later = (what: string): StatementOf<'notYet'> => ({ kind: 'notYet', what });

/**
 * `SHOW JOBS`, `SHOW JOB id`, `SHOW {JOB | JOBS} WHEN COMPLETE id {, …}`. Known by their words alone: SHOW JOBS with a query, FOR SCHEDULE, WITH
 * EXECUTION DETAILS or RESOLVED TIMESTAMP.
 */
export function showJobs(reader: TokenReader): Statement {
  reader.expect('show');
  const one = reader.accept('job');
  if (!one) reader.expect('jobs');
  if (reader.accept('when')) {
    reader.expect('complete');
    if (isQueryNext(reader)) return later('SHOW JOBS WHEN COMPLETE with a query');
    const jobs = jobIds(reader);
    reader.expectEnd();
    return { kind: 'showJobWhenComplete', jobs };
  }
  if (one) return showJob(reader);
  if (isQueryNext(reader) && reader.word() !== 'with') return later('SHOW JOBS with a query');
  if (reader.accept('for')) {
    if (!reader.accept('schedule')) reader.expect('schedules');
    return later('SHOW JOBS FOR SCHEDULES');
  }
  const details = executionDetails(reader);
  reader.expectEnd();
  return details === undefined ? { kind: 'showJobs' } : later(`SHOW JOBS ${details}`);
}

function showJob(reader: TokenReader): Statement {
  const job = jobId(reader);
  const details = executionDetails(reader);
  reader.expectEnd();
  return details === undefined ? { kind: 'showJob', job } : later(`SHOW JOB ${details}`);
}

function executionDetails(reader: TokenReader): string | undefined {
  if (!reader.accept('with')) return undefined;
  if (reader.accept('resolved timestamp')) return 'WITH RESOLVED TIMESTAMP';
  reader.expect('execution details');
  return 'WITH EXECUTION DETAILS';
}
