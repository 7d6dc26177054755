/** Workers of two nodes killed again and again at random moments, with kill -9: every job ends, and no step is done by two attempts. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pick, seededRandom } from '../../statement/eachPostgres.ts';
import { QueueLab } from './queueLab.ts';

/** One less than what makes a job be given up. */
const KILLS = 4;

let lab: QueueLab;
before(async () => {
  lab = await QueueLab.start(18);
});
after(() => lab.stop());

test('jobs under a storm of kill -9', async (t) => {
  const seed = Number(process.env.PGPIER_CHAOS_SEED ?? Date.now() % 100_000);
  t.diagnostic(`PGPIER_CHAOS_SEED=${seed}`);
  const random = seededRandom(seed);
  const workers = [lab.worker(1, 3), lab.worker(2, 3)];
  const specs = Array.from({ length: 4 }, (_, index) =>
    lab.spec({ steps: 40, stepMs: 60 + 10 * index, ...(index === 3 && { failsAt: 30 }) }),
  );
  const ids = await Promise.all(specs.map((spec) => lab.detached(spec)));
  let killed = 0;
  while (killed < KILLS) {
    await sleep(200 + random() * 1_500);
    const { pid } = pick(random, workers);
    if (pid === undefined) continue;
    process.kill(pid, 'SIGKILL');
    killed++;
  }
  const jobs = await Promise.all(ids.map((id) => lab.reaches(id, 'succeeded', 'failed', 'revert-failed')));
  assert.deepEqual(
    jobs.map(({ state }) => state),
    ['succeeded', 'succeeded', 'succeeded', 'failed'],
  );
  for (const { file } of specs) {
    const steps = lab.happened(file).filter((what) => what.startsWith('step:'));
    assert.equal(new Set(steps).size, steps.length, `a step was done twice: ${lab.lines(file).join('; ')}`);
    assert.deepEqual(
      steps,
      [...steps].sort((a, b) => Number(a.slice(5)) - Number(b.slice(5))),
    );
  }
  assert.equal(lab.happened(specs[3]!.file).at(-1), 'reverted:29');
});
