/** A job from its statement to its end: every state and every request, carried out by a worker process. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { PgPierError } from '../../../errors.ts';
import type { JobType } from '../../../jobs/job.ts';
import { refusalOf, type Session } from '../../catalog/lab.ts';
import { missingPostgres } from '../../servers/postgres.ts';
import { QueueLab } from './queueLab.ts';

for (const version of [15, 18] as const) {
  describe(`jobs on a worker process, PostgreSQL ${version}`, { concurrency: 5, skip: missingPostgres(version) }, () => {
    let lab: QueueLab;
    let client: Session;
    before(async () => {
      lab = await QueueLab.start(version);
      lab.worker(1, 8);
      client = await lab.lab.session();
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
      assert.ok(job.created <= job.started! && job.started! <= job.finished!);
    });

    test('a statement that waits is told how far its job is, now and then', async () => {
      const spec = lab.spec({ steps: 30, stepMs: 250 });
      const { id, notices } = await lab.statement(async ({ jobs, notices }) => ({ ...(await jobs.run(spec)), notices }));
      const [first, ...more] = notices.map(({ message }) => message);
      assert.match(first ?? '', new RegExp(`^BACKUP job ${id}: \\d+% done, step \\d+$`));
      assert.deepEqual(more, []);
    });

    test('a job that fails is taken back, and its statement gets its error', async () => {
      const spec = lab.spec({ steps: 3, stepMs: 10, failsAt: 2 });
      assert.equal(await refusalOf(lab.statement(({ jobs }) => jobs.run(spec))), '22023 invalid URI: step 2 went wrong');
      assert.deepEqual(lab.happened(spec.file), ['begin:0', 'step:1', 'revert', 'reverted:1']);
    });

    test('a revert that fails is tried again', async () => {
      const spec = lab.spec({ steps: 1, stepMs: 10, failsAt: 1, revertFails: 1 });
      const job = await lab.reaches(await lab.detached(spec), 'failed', 'revert-failed');
      assert.equal(job.state, 'failed');
      assert.equal(job.error?.message, 'invalid URI: step 1 went wrong');
      assert.deepEqual(lab.happened(spec.file), ['begin:0', 'revert', 'revert', 'reverted:0']);
    });

    test('a revert that keeps failing ends as revert-failed, which tells both errors', async () => {
      const spec = lab.spec({ steps: 1, stepMs: 10, failsAt: 1, revertFails: 99 });
      const job = await lab.reaches(await lab.detached(spec), 'failed', 'revert-failed');
      assert.equal(job.state, 'revert-failed');
      assert.match(job.error!.message, /could not be taken back: invalid URI: the revert went wrong$/);
      assert.equal(job.error!.detail, 'It failed with: invalid URI: step 1 went wrong');
    });

    test('a statement that is cancelled waits until its job is taken back, and gets its own reason', async () => {
      const spec = lab.spec({ steps: 100, stepMs: 50, revertMs: 300 });
      const reason = new PgPierError('queryCanceled');
      await lab.statement(async ({ jobs, cancel }) => {
        const running = jobs.run(spec);
        await lab.until(spec.file, 'step:2');
        cancel.abort(reason);
        await assert.rejects(running, (error) => error === reason);
      });
      lab.takenBack(spec.file);
      const rows = await client.show('SHOW JOBS');
      assert.equal(rows.find((row) => row[2] === spec.description && row[5] === 'canceled')?.[1], 'BACKUP');
    });

    test('a statement that waits for a paused job is told so, and the job goes on where it was', async () => {
      const description = 'BACKUP DATABASE to_be_paused INTO ***';
      const spec = { ...lab.spec({ steps: 6, stepMs: 150 }), description };
      const waiting = refusalOf(lab.statement(({ jobs }) => jobs.run(spec)));
      await lab.until(spec.file, 'step:2');
      const rows = await client.show('SHOW JOBS');
      const id = String(rows.find((row) => row[2] === description)?.[0]);
      await client.run(`PAUSE JOB ${id}`);
      assert.equal(await waiting, `57014 job ${id} was paused before it completed`);
      const before = lab.happened(spec.file).length;
      assert.equal((await lab.reaches(id, 'paused')).state, 'paused');
      assert.equal((await client.run(`RESUME JOB ${id}`)).tag, 'RESUME JOBS 1');
      await lab.reaches(id, 'succeeded');
      assert.equal(lab.happened(spec.file)[before], `begin:${before - 1}`);
      assert.equal(lab.happened(spec.file).filter((what) => what.startsWith('step:')).length, 6);
    });

    test('CANCEL of a running job takes it back', async () => {
      const spec = lab.spec({ steps: 100, stepMs: 50 });
      const id = await lab.detached(spec);
      await lab.until(spec.file, 'step:1');
      assert.equal((await client.run(`CANCEL JOB ${id}`)).tag, 'CANCEL JOBS 1');
      assert.equal((await lab.reaches(id, 'canceled')).error, null);
      lab.takenBack(spec.file);
      assert.equal(await client.refusal(`PAUSE JOB ${id}`), '55000 job with status canceled cannot be requested to be paused');
      assert.equal(await client.refusal(`RESUME JOB ${id}`), '55000 job with status canceled cannot be resumed');
      assert.equal((await client.run(`CANCEL JOB ${id}`)).tag, 'CANCEL JOBS 1');
    });

    test('CANCEL of a paused job that had begun takes it back', async () => {
      const spec = lab.spec({ steps: 100, stepMs: 50 });
      const id = await lab.detached(spec);
      await lab.until(spec.file, 'step:1');
      await client.run(`PAUSE JOB ${id}`);
      await lab.reaches(id, 'paused');
      await client.run(`CANCEL JOB ${id}`);
      await lab.reaches(id, 'canceled');
      lab.takenBack(spec.file);
    });

    test('a revert can be paused, and goes on as a revert', async () => {
      const spec = lab.spec({ steps: 1, stepMs: 10, failsAt: 1, revertMs: 3500 });
      const id = await lab.detached(spec);
      await lab.reaches(id, 'reverting');
      assert.equal(await client.refusal(`CANCEL JOB ${id}`), '55000 job with status reverting cannot be requested to be canceled');
      await client.run(`PAUSE JOB ${id}`);
      await lab.reaches(id, 'paused');
      assert.ok(!lab.happened(spec.file).some((what) => what.startsWith('reverted')));
      assert.match(await client.refusal(`CANCEL JOB ${id}`), /^55000 job with status paused/);
      await client.run(`RESUME JOB ${id}`);
      const job = await lab.reaches(id, 'failed', 'succeeded', 'canceled');
      assert.equal(job.state, 'failed');
      assert.deepEqual(lab.happened(spec.file), ['begin:0', 'revert', 'revert', 'reverted:0']);
    });

    test('a job of a kind that the worker does not know waits for one that does', async () => {
      const id = await lab.detached({ ...lab.spec({ steps: 1, stepMs: 1 }), type: 'NO SUCH KIND' as JobType });
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.equal((await lab.job(id))?.state, 'pending');
      await client.run(`CANCEL JOB ${id}`);
    });

    test('SHOW JOB WHEN COMPLETE waits for the end and shows it', async () => {
      const spec = lab.spec({ steps: 4, stepMs: 100 });
      const id = await lab.detached(spec);
      const [row] = await client.show(`SHOW JOB WHEN COMPLETE ${id}`);
      assert.equal(row?.[5], 'succeeded');
      assert.deepEqual(await client.show('SHOW JOB WHEN COMPLETE 77'), []);
    });

    test('SHOW JOB WHEN COMPLETE ends with a cancel', async () => {
      const id = await lab.detached(lab.spec({ steps: 20, stepMs: 100 }));
      const reason = new PgPierError('queryCanceled');
      await lab.statement(async ({ jobs, cancel }) => {
        setTimeout(() => cancel.abort(reason), 100);
        await assert.rejects(jobs.ended(id), (error) => error === reason);
      });
      assert.equal((await lab.reaches(id, 'succeeded')).state, 'succeeded');
    });

    test('a detached job in a transaction begins after COMMIT and is gone after ROLLBACK', async () => {
      const session = await lab.lab.session();
      const inTransaction = async (spec: ReturnType<typeof lab.spec>) => {
        const stamp = await session.mark();
        return lab.statement(({ jobs }) => jobs.create(spec), { stamp, session: session.id });
      };
      const [kept, undone, inner, released] = [1, 2, 3, 4].map(() => lab.spec({ steps: 1, stepMs: 1 }));
      await session.foreign('begin');
      const keptId = await inTransaction(kept!);
      await session.foreign('savepoint s');
      const innerId = await inTransaction(inner!);
      assert.equal((await session.show(`SHOW JOB ${innerId}`)).length, 1, 'its own session sees it');
      assert.equal((await client.show(`SHOW JOB ${innerId}`)).length, 0, 'no other does');
      await session.foreign('rollback to s');
      await session.foreign('savepoint s2');
      const releasedId = await inTransaction(released!);
      await session.foreign('release s2');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      assert.deepEqual(
        [kept!, inner!, released!].flatMap(({ file }) => lab.lines(file)),
        [],
        'nothing begins before COMMIT',
      );
      await session.foreign('commit');
      await lab.reaches(keptId, 'succeeded');
      await lab.reaches(releasedId, 'succeeded');

      session.id = crypto.randomUUID();
      await session.foreign('begin');
      const undoneId = await inTransaction(undone!);
      await session.foreign('rollback');
      await new Promise((resolve) => setTimeout(resolve, 1500));
      for (const id of [undoneId, innerId]) {
        assert.equal((await session.show(`SHOW JOB ${id}`)).length, 0);
        assert.equal(await client.refusal(`CANCEL JOB ${id}`), `42704 job with ID ${id} does not exist`);
      }
      assert.deepEqual(
        [undone!, inner!].flatMap(({ file }) => lab.lines(file)),
        [],
      );
    });

    test('more jobs than there is room for wait their turn', async () => {
      const specs = Array.from({ length: 12 }, () => lab.spec({ steps: 2, stepMs: 100 }));
      const ids = await Promise.all(specs.map((spec) => lab.detached(spec)));
      for (const id of ids) await lab.reaches(id, 'succeeded');
      for (const { file } of specs) assert.deepEqual(lab.happened(file), ['begin:0', 'step:1', 'step:2']);
    });
  });
}

describe('jobs that nobody carries out', () => {
  let lab: QueueLab;
  let client: Session;
  before(async () => {
    lab = await QueueLab.start(18);
    client = await lab.lab.session();
  });
  after(() => lab.stop());

  test('a pending job is paused, resumed and cancelled at once', async () => {
    const spec = lab.spec({ steps: 1, stepMs: 1 });
    const id = await lab.detached(spec);
    const state = async () => (await client.show(`SHOW JOB ${id}`))[0]?.[5];
    assert.equal(await state(), 'pending');
    await client.run(`RESUME JOB ${id}`);
    assert.equal(await state(), 'pending');
    await client.run(`PAUSE JOB ${id} WITH REASON = 'later'`);
    await client.run(`PAUSE JOB ${id}`);
    assert.equal(await state(), 'paused');
    await client.run(`RESUME JOB ${id}`);
    assert.equal(await state(), 'pending');
    await client.run(`CANCEL JOB ${id}`);
    assert.equal(await state(), 'canceled');
    assert.deepEqual(lab.lines(spec.file), []);
  });

  test('ids are what PostgreSQL takes for an int8, and several may be named', async () => {
    const ids = [await lab.detached(lab.spec({ steps: 1, stepMs: 1 })), await lab.detached(lab.spec({ steps: 1, stepMs: 1 }))];
    assert.equal((await client.run(`CANCEL JOBS ${ids.join(', ')}`)).tag, 'CANCEL JOBS 2');
    assert.equal(await client.refusal("SHOW JOB 'x'"), '22P02 invalid job ID: "x"');
    assert.equal(await client.refusal('CANCEL JOB 9223372036854775808'), '22P02 invalid job ID: "9223372036854775808"');
    assert.equal(await client.refusal('CANCEL JOB 9223372036854775807'), '42704 job with ID 9223372036854775807 does not exist');
    assert.deepEqual(await client.show('SHOW JOB 1'), []);
  });

  test('where one of several may not be touched, nothing is asked of the others', async () => {
    const id = await lab.detached(lab.spec({ steps: 1, stepMs: 1 }));
    assert.equal(await client.refusal(`CANCEL JOBS ${id}, 1`), '42704 job with ID 1 does not exist');
    assert.equal((await client.show(`SHOW JOB ${id}`))[0]?.[5], 'pending');
  });

  test('a job counts for its session alone until it counts for all, in lists too', async () => {
    const session = await lab.lab.session();
    await session.foreign('begin');
    const stamp = await session.mark();
    const id = await lab.statement(({ jobs }) => jobs.create(lab.spec({ steps: 1, stepMs: 1 })), { stamp, session: session.id });
    const listed = async (who: Session) => (await who.show('SHOW JOBS')).some(([job]) => String(job) === id);
    assert.deepEqual([await listed(session), await listed(client)], [true, false]);
    await session.foreign('commit');
    assert.equal(await listed(client), true);
  });

  test('a job that needs a node waits for a worker of that node', async () => {
    const specs = [2, 1, 'self' as const, undefined].map((node) => ({ ...lab.spec({ steps: 1, stepMs: 1 }), node }));
    const ids = await Promise.all(specs.map((spec) => lab.detached(spec)));
    lab.worker(1);
    for (const id of ids.slice(1)) await lab.reaches(id, 'succeeded');
    assert.equal((await lab.job(ids[0]!))?.state, 'pending');
    lab.worker(2);
    assert.equal((await lab.reaches(ids[0]!, 'succeeded')).coordinator, 2n);
    await lab.stopWorkers();
  });

  test('a job of a prepared transaction counts with COMMIT PREPARED, whoever says it', async () => {
    const session = await lab.lab.session();
    const prepared = async (name: string) => {
      session.id = crypto.randomUUID();
      await session.foreign('begin');
      const stamp = await session.mark();
      const id = await lab.statement(({ jobs }) => jobs.create(lab.spec({ steps: 1, stepMs: 1 })), { stamp, session: session.id });
      await session.foreign(`prepare transaction '${name}'`);
      session.id = crypto.randomUUID();
      return id;
    };
    const [kept, undone] = [await prepared('kept'), await prepared('undone')];
    const seen = async (id: string) => (await client.show(`SHOW JOB ${id}`)).length;
    assert.deepEqual([await seen(kept), await seen(undone)], [0, 0]);
    await client.foreign("commit prepared 'kept'");
    await client.foreign("rollback prepared 'undone'");
    assert.deepEqual([await seen(kept), await seen(undone)], [1, 0]);
    await client.run(`CANCEL JOB ${kept}`);
  });
});
