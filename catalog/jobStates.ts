/** What PAUSE, RESUME and CANCEL make of a job (spec: cockroachdb §7). Pure; the workers' own steps are in `jobLeases.ts`. */

/** CockroachDB's words, as SHOW JOBS tells them. */
export type JobState =
  | 'pending'
  | 'running'
  | 'pause-requested'
  | 'paused'
  | 'cancel-requested'
  | 'reverting'
  | 'succeeded'
  | 'failed'
  | 'canceled'
  | 'revert-failed';

export const finishedStates: ReadonlySet<JobState> = new Set(['succeeded', 'failed', 'canceled', 'revert-failed']);

export type JobRequest = 'pause' | 'resume' | 'cancel';

export interface JobSituation {
  readonly state: JobState;
  /** A worker holds it and gives signs of life: it is asked. Otherwise there is nobody to ask, and the request is carried out at once. */
  readonly held: boolean;
  /** Whether an attempt has ever begun, so that there may be something to take back. */
  readonly begun: boolean;
  /** Set when it is being taken back. */
  readonly ending: 'failed' | 'canceled' | null;
}

export type JobChange =
  | { readonly kind: 'none' }
  | { readonly kind: 'to'; readonly state: JobState; readonly ending?: 'canceled' }
  | { readonly kind: 'refused' };

const none: JobChange = { kind: 'none' };
const refused: JobChange = { kind: 'refused' };
const to = (state: JobState): JobChange => ({ kind: 'to', state });

/** A request that repeats what was asked before changes nothing. */
export function requestJob(request: JobRequest, job: JobSituation): JobChange {
  switch (request) {
    case 'pause':
      return pause(job);
    case 'resume':
      return resume(job);
    case 'cancel':
      return cancel(job);
  }
}

function pause({ state, held }: JobSituation): JobChange {
  if (state === 'paused') return none;
  if (state === 'pause-requested') return held ? none : to('paused');
  if (state === 'pending' || state === 'running' || state === 'reverting') return to(held ? 'pause-requested' : 'paused');
  return refused;
}

function resume({ state, ending }: JobSituation): JobChange {
  if (state === 'paused') return to(ending === null ? 'pending' : 'reverting');
  return state === 'pending' || state === 'running' || state === 'reverting' ? none : refused;
}

function cancel({ state, held, begun, ending }: JobSituation): JobChange {
  if (state === 'canceled' || state === 'cancel-requested') return none;
  if (ending !== null || !['pending', 'running', 'pause-requested', 'paused'].includes(state)) return refused;
  if (held) return to('cancel-requested');
  return begun ? { kind: 'to', state: 'reverting', ending: 'canceled' } : { kind: 'to', state: 'canceled', ending: 'canceled' };
}
