/** A job from its statement to its end: every state and every request, carried out by a worker process of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { QueueLab } from './queueLab.ts';

describe('jobs on a worker process', () => {
  let lab: QueueLab;
  before(async () => {
    lab = await QueueLab.start(18);
    lab.worker();
  });
  after(() => lab.stop());

  test('a foreground job is carried out and its statement gets the result', async () => {
    const spec = lab.spec({ steps: 3, stepMs: 10, notice: 'by the way' });
    const { id, result, notices } = await lab.statement(async ({ jobs, notices }) => ({ ...(await jobs.run(spec)), notices }));
    assert.deepEqual(result, { rows: 30 });
    assert.deepEqual(lab.happened(spec.file), ['begin:0', 'step:1', 'step:2', 'step:3']);
    assert.deepEqual(
      notices.map(({ message }) => message),
      ['by the way'],
    );
    const job = await lab.job(id);
    assert.equal(job?.state, 'succeeded');
    assert.equal(job?.fraction, 1);
    assert.equal(job?.coordinator, 1n);
  });
});
