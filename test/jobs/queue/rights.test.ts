/** Who sees and controls whose jobs; what happens to the jobs of a role that is dropped; where a job's secrets are. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import type { Session } from '../../catalog/lab.ts';
import { QueueLab } from './queueLab.ts';

const SECRET = 'MARKERx7QzJob';

describe('the jobs of others', () => {
  let lab: QueueLab;
  let admin: Session;
  let alice: Session;
  let bob: Session;
  let member: Session;
  before(async () => {
    lab = await QueueLab.start(18);
    admin = await lab.lab.session();
    await admin.foreign('create role alice login; create role bob login; create role member login in role alice');
    [alice, bob, member] = await Promise.all([lab.lab.session('alice'), lab.lab.session('bob'), lab.lab.session('member')]);
  });
  after(() => lab.stop());
  const job = (role: string) => lab.detached(lab.spec({ steps: 1, stepMs: 1 }), role);
  const sees = async (who: Session, id: string) => {
    const listed = (await who.show('SHOW JOBS')).some(([each]) => String(each) === id);
    const shown = (await who.show(`SHOW JOB ${id}`)).length === 1;
    assert.equal(listed, shown);
    return shown;
  };

  test('are invisible to others, and visible to admins and to members of the role', async () => {
    const id = await job('alice');
    assert.deepEqual(await Promise.all([alice, bob, member, admin].map((who) => sees(who, id))), [true, false, true, true]);
    assert.equal(await bob.refusal(`CANCEL JOB ${id}`), `42501 user bob does not have privileges for job ${id}`);
    assert.deepEqual(await bob.show(`SHOW JOB WHEN COMPLETE ${id}`), [], 'not waited for either');
    assert.equal((await member.run(`PAUSE JOB ${id}`)).tag, 'PAUSE JOBS 1');
    assert.equal((await alice.run(`CANCEL JOB ${id}`)).tag, 'CANCEL JOBS 1');
    const [row] = await admin.show(`SHOW JOB ${id}`);
    assert.deepEqual([row?.[4], row?.[5]], ['alice', 'canceled']);
  });

  test('are seen with VIEWJOB and not controlled', async () => {
    const id = await job('alice');
    await admin.run('GRANT SYSTEM VIEWJOB TO bob');
    assert.equal(await sees(bob, id), true);
    assert.match(await bob.refusal(`PAUSE JOB ${id}`), /^42501/);
    await admin.run('REVOKE SYSTEM VIEWJOB FROM bob');
    assert.equal(await sees(bob, id), false);
  });

  test('are controlled with CONTROLJOB, but for those of admins', async () => {
    const [ofAlice, ofAdmin] = [await job('alice'), await job('postgres')];
    await admin.run('GRANT SYSTEM CONTROLJOB TO bob');
    assert.deepEqual([await sees(bob, ofAlice), await sees(bob, ofAdmin)], [true, true]);
    await bob.run(`PAUSE JOB ${ofAlice}`);
    await bob.run(`RESUME JOB ${ofAlice}`);
    await bob.run(`CANCEL JOB ${ofAlice}`);
    assert.equal(await bob.refusal(`CANCEL JOB ${ofAdmin}`), `42501 user bob does not have privileges for job ${ofAdmin}`);
    await admin.run('REVOKE SYSTEM CONTROLJOB FROM bob');
  });

  test('of a role that was dropped keep its name, are the admins’ alone, and fail', async () => {
    await admin.foreign('create role leaver login');
    const spec = lab.spec({ steps: 1, stepMs: 1 });
    const id = await lab.detached(spec, 'leaver');
    await admin.foreign('drop role leaver');
    assert.equal((await admin.show(`SHOW JOB ${id}`))[0]?.[4], 'leaver');
    await admin.foreign('create role leaver login');
    const namesake = await lab.lab.session('leaver');
    assert.equal(await sees(namesake, id), false);
    lab.worker();
    const ended = await lab.reaches(id, 'failed', 'revert-failed', 'succeeded');
    assert.equal(ended.state, 'failed');
    assert.match(ended.error!.message, /role "leaver" does not exist/);
    assert.deepEqual(lab.lines(spec.file), []);
    await lab.stopWorkers();
  });

  test('a renamed role keeps its jobs, which run under its new name', async () => {
    await admin.foreign('create role before login');
    await admin.run("CREATE EXTERNAL CONNECTION place AS 'nodelocal://1/place'");
    await admin.run('GRANT USAGE ON EXTERNAL CONNECTION place TO before');
    const spec = lab.spec({ steps: 1, stepMs: 1, uri: 'external://place/below' });
    const id = await lab.detached(spec, 'before');
    await admin.foreign('alter role before rename to afterwards');
    lab.worker();
    await lab.reaches(id, 'succeeded');
    assert.equal((await admin.show(`SHOW JOB ${id}`))[0]?.[4], 'afterwards');
    // The place is of the node that was asked, whoever carries the job out.
    assert.equal(lab.happened(spec.file)[1], 'storage:nodelocal://1/place/below');
  });

  test('a right that was taken away meanwhile counts', async () => {
    await admin.run('GRANT USAGE ON EXTERNAL CONNECTION place TO bob');
    const id = await lab.detached(lab.spec({ steps: 1, stepMs: 1, uri: 'external://place' }), 'bob');
    await lab.reaches(id, 'succeeded');
    await admin.run('REVOKE USAGE ON EXTERNAL CONNECTION place FROM bob');
    const refused = await lab.detached(lab.spec({ steps: 1, stepMs: 1, uri: 'external://place' }), 'bob');
    const ended = await lab.reaches(refused, 'failed');
    assert.equal(ended.error?.message, 'user bob does not have USAGE privilege on external_connection place');
    assert.equal(ended.error?.sqlstate, '42501');
  });

  test('a payload is encrypted in its row and gone from it at the end; no other place has it', async () => {
    const spec = lab.spec({ steps: 8, stepMs: 100, uri: `s3://bucket/path?AWS_ACCESS_KEY_ID=key&AWS_SECRET_ACCESS_KEY=${SECRET}` });
    const id = await lab.detached(spec);
    await lab.until(spec.file, 'step:2');
    const catalog = new pg.Client(lab.lab.server.connectionString('pgpier'));
    await catalog.connect();
    const row = async () => (await catalog.query('select j::text as text, payload from pgpier.job j where job_id = $1', [id])).rows[0];
    const running = await row();
    assert.ok(running.payload.length > 0);
    assert.ok(!running.payload.includes(SECRET) && !running.text.includes(SECRET));
    assert.doesNotMatch(JSON.stringify((await catalog.query('select * from pg_stat_activity')).rows), new RegExp(SECRET));
    assert.doesNotMatch(JSON.stringify((await catalog.query('select * from pgpier_queue.job')).rows), new RegExp(SECRET));
    await lab.reaches(id, 'succeeded');
    assert.equal((await row()).payload.length, 0);
    await catalog.end();
    assert.doesNotMatch(String(await admin.show('SHOW JOBS')), new RegExp(SECRET));
    assert.ok(!lab.log.lines.join('\n').includes(SECRET));
    assert.ok(!readFileSync(lab.lab.server.logFile, 'utf8').includes(SECRET));
    // The worker's arguments and environment are empty of it: it came by IPC and from the row.
    const pid = lab.lines(spec.file)[0]!.split(' ')[2];
    if (process.platform === 'linux')
      for (const what of ['cmdline', 'environ']) assert.ok(!readFileSync(`/proc/${pid}/${what}`, 'latin1').includes(SECRET));
  });

  test('a payload moved to another row cannot be read', async () => {
    await lab.stopWorkers();
    const [one, other] = [await job('postgres'), await job('postgres')];
    const catalog = new pg.Client(lab.lab.server.connectionString('pgpier'));
    await catalog.connect();
    await catalog.query('update pgpier.job set payload = (select payload from pgpier.job where job_id = $1) where job_id = $2', [
      one,
      other,
    ]);
    await catalog.end();
    lab.worker();
    await lab.reaches(one, 'succeeded');
    const ended = await lab.reaches(other, 'revert-failed', 'failed', 'succeeded');
    assert.equal(ended.state, 'failed');
    assert.doesNotMatch(ended.error!.message, /steps/);
  });
});
