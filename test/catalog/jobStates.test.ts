import assert from 'node:assert/strict';
import { test } from 'node:test';
import { finishedStates, type JobRequest, type JobState, requestJob } from '../../catalog/jobStates.ts';

const begun = { begun: true, ending: null } as const;
/** State, and what becomes of it where a worker has the job and where none has: `-` nothing, `!` refused. */
const table: Readonly<Record<JobRequest, readonly (readonly [JobState, held: string, free: string])[]>> = {
  pause: [
    ['pending', 'pause-requested', 'paused'],
    ['running', 'pause-requested', 'paused'],
    ['reverting', 'pause-requested', 'paused'],
    ['pause-requested', '-', 'paused'],
    ['paused', '-', '-'],
    ['cancel-requested', '!', '!'],
  ],
  resume: [
    ['paused', 'pending', 'pending'],
    ['pending', '-', '-'],
    ['running', '-', '-'],
    ['reverting', '-', '-'],
    ['pause-requested', '!', '!'],
    ['cancel-requested', '!', '!'],
  ],
  cancel: [
    ['pending', 'cancel-requested', 'reverting'],
    ['running', 'cancel-requested', 'reverting'],
    ['pause-requested', 'cancel-requested', 'reverting'],
    ['paused', 'cancel-requested', 'reverting'],
    ['cancel-requested', '-', '-'],
    ['canceled', '-', '-'],
    ['reverting', '!', '!'],
  ],
};

for (const [request, rows] of Object.entries(table) as [JobRequest, (typeof table)[JobRequest]][]) {
  test(`${request.toUpperCase()} makes of each state what the table says`, () => {
    for (const [state, ...expected] of rows) {
      const found = [true, false].map((held) => {
        const change = requestJob(request, { state, held, ...begun, ending: state === 'reverting' ? 'failed' : null });
        return change.kind === 'to' ? change.state : change.kind === 'none' ? '-' : '!';
      });
      assert.deepEqual(found, expected, state);
    }
  });

  test(`${request.toUpperCase()} refuses a job that has ended`, () => {
    for (const state of finishedStates) {
      if (request === 'cancel' && state === 'canceled') continue;
      assert.equal(requestJob(request, { state, held: false, ...begun }).kind, 'refused', state);
    }
  });
}

test('what never began is cancelled at once, and what is taken back stays so through a pause', () => {
  const change = requestJob('cancel', { state: 'pending', held: false, begun: false, ending: null });
  assert.deepEqual(change, { kind: 'to', state: 'canceled', ending: 'canceled' });
  const paused = { state: 'paused', held: false, begun: true, ending: 'failed' } as const;
  assert.deepEqual(requestJob('resume', paused), { kind: 'to', state: 'reverting' });
  assert.equal(requestJob('cancel', paused).kind, 'refused');
});
