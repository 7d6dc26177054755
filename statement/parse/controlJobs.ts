import type { Statement, StatementOf } from '../statement.ts';
import { isQueryNext, jobId, jobIds } from './jobId.ts';
import type { TokenReader } from './reader.ts';

type Verb = 'pause' | 'resume' | 'cancel';

/**
 * `{PAUSE | RESUME | CANCEL} {JOB id | JOBS id {, …}}`, PAUSE also `[WITH REASON = text]`. Known by their words alone: JOBS with a query, JOBS FOR
 * SCHEDULES, ALL type JOBS.
 */
export function controlJobs(verb: Verb): (reader: TokenReader) => Statement {
  const kind = ({ pause: 'pauseJobs', resume: 'resumeJobs', cancel: 'cancelJobs' } as const)[verb];
  const later = (what: string): StatementOf<'notYet'> => ({ kind: 'notYet', what: `${verb.toUpperCase()} ${what}` });
  return (reader) => {
    reader.expect(verb);
    if (reader.accept('all')) return later('ALL JOBS');
    const one = reader.accept('job');
    if (!one) {
      reader.expect('jobs');
      if (reader.word() === 'for') return later('JOBS FOR SCHEDULES');
      if (isQueryNext(reader)) return later('JOBS with a query');
    }
    const jobs = one ? [jobId(reader)] : jobIds(reader);
    if (verb !== 'pause' || !reader.accept('with')) {
      reader.expectEnd();
      return { kind, jobs };
    }
    reader.expect('reason');
    reader.expectSymbol('=');
    const reason = reader.stringOrParameter();
    reader.expectEnd();
    return { kind, jobs, reason };
  };
}
