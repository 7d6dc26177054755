/** Workers that die or freeze: another carries on within ten seconds, and the old one can write nothing more. */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import pg from 'pg';
import { pidOf, QueueLab, TAKEN_OVER_MS } from './queueLab.ts';

describe('a job whose worker is lost', () => {
  let lab: QueueLab;
  const frozen = new Set<number>();
  before(async () => {
    lab = await QueueLab.start(18);
  });
  afterEach(async () => {
    for (const pid of frozen) process.kill(pid, 'SIGCONT');
    frozen.clear();
    await lab.stopWorkers();
  });
  after(() => lab.stop());

  test('is carried on from its checkpoint by the process that takes its place after kill -9', async () => {
    const own = lab.worker();
    const spec = lab.spec({ steps: 30, stepMs: 100 });
    const id = await lab.detached(spec);
    const first = pidOf(await lab.until(spec.file, 'step:3'));
    assert.equal(first, own.pid);
    process.kill(first, 'SIGKILL');
    const { line, ms } = await lab.takenOver(spec.file);
    assert.ok(ms < TAKEN_OVER_MS, `${ms} ms`);
    assert.notEqual(pidOf(line), first);
    assert.match(line, /^begin:[34] /);
    assert.equal((await lab.reaches(id, 'succeeded')).state, 'succeeded');
    const steps = lab.happened(spec.file).filter((what) => what.startsWith('step:'));
    assert.equal(new Set(steps).size, 30);
  });

  test('goes to another node when its own freezes, and what wakes up again is refused', async () => {
    const first = lab.worker(1);
    const spec = lab.spec({ steps: 20, stepMs: 100, deaf: true });
    const id = await lab.detached(spec);
    const pid = pidOf(await lab.until(spec.file, 'step:2'));
    assert.equal(pid, first.pid);
    lab.worker(2);
    process.kill(pid, 'SIGSTOP');
    frozen.add(pid);
    const { line, ms } = await lab.takenOver(spec.file);
    assert.ok(ms < TAKEN_OVER_MS, `${ms} ms`);
    assert.notEqual(pidOf(line), pid);
    process.kill(pid, 'SIGCONT');
    frozen.delete(pid);
    assert.equal(pidOf(await lab.until(spec.file, 'refused')), pid);
    const job = await lab.reaches(id, 'succeeded');
    assert.equal(job.coordinator, 2n);
    const after = lab.lines(spec.file);
    const wokenAt = after.findIndex((each) => each.startsWith('refused'));
    assert.ok(!after.slice(wokenAt).some((each) => each.startsWith('step:') && pidOf(each) === pid), 'the old one goes no further');
  });

  test('whose workers die again and again is given up and taken back', async () => {
    const spec = lab.spec({ steps: 3, stepMs: 10, diesAt: 2 });
    const id = await lab.detached(spec);
    const catalog = new pg.Client(lab.lab.server.connectionString('pgpier'));
    await catalog.connect();
    // As after four such deaths.
    await catalog.query('update pgpier.job set deaths = 4 where job_id = $1', [id]);
    await catalog.end();
    lab.worker();
    const job = await lab.reaches(id, 'failed');
    assert.match(job.error!.message, /its worker process was lost 5 times/);
    assert.deepEqual(lab.happened(spec.file), ['begin:0', 'step:1', 'revert', 'reverted:1']);
  });
});
