/** Workers that stop, by themselves or with their proxy: what they have not finished is handed back. */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { attemptOf, pidOf, QueueLab, TAKEN_OVER_MS } from './queueLab.ts';

describe('a job whose worker stops', () => {
  let lab: QueueLab;
  before(async () => {
    lab = await QueueLab.start(18);
  });
  afterEach(() => lab.stopWorkers());
  after(() => lab.stop());

  test('is handed back by a worker that stops, and taken at once', async () => {
    const first = lab.worker(1);
    const spec = lab.spec({ steps: 40, stepMs: 100 });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:2');
    lab.worker(2);
    await first.stop(0);
    assert.equal((await lab.job(id))?.state, 'running');
    const { ms } = await lab.takenOver(spec.file);
    assert.ok(ms < 3_000, `${ms} ms`);
    await lab.reaches(id, 'succeeded');
  });

  test('is finished by a worker that is given time to stop', async () => {
    const own = lab.worker(1);
    const spec = lab.spec({ steps: 10, stepMs: 100 });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:2');
    await own.stop(5_000);
    assert.equal((await lab.job(id))?.state, 'succeeded');
    assert.ok(lab.lines(spec.file).every((line) => attemptOf(line) === 1));
  });

  test('is handed back when the proxy is killed, whose worker ends with it', async () => {
    const parent = fork(fileURLToPath(new URL('./queueParent.ts', import.meta.url)), [], { serialization: 'advanced' });
    const said = once(parent, 'message');
    parent.send(lab.settings(1));
    const [pid] = (await said) as [number];
    const spec = lab.spec({ steps: 50, stepMs: 100 });
    const id = await lab.detached(spec);
    assert.equal(pidOf(await lab.until(spec.file, 'step:1')), pid);
    parent.kill('SIGKILL');
    lab.worker(2);
    const { ms } = await lab.takenOver(spec.file);
    assert.ok(ms < TAKEN_OVER_MS, `${ms} ms`);
    await lab.reaches(id, 'succeeded');
    assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' });
  });
});
