import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { sweep } from '../../catalog/sweep.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { collectingLog, fakeWorkers, Lab, refusalOf, type Session } from './lab.ts';

const make = (name: string) => `CREATE EXTERNAL CONNECTION ${name} AS 'nodelocal://self/${name}'`;
const busy = (name: string) => `55P03 another transaction that has not ended is changing external_connection ${name}`;

for (const version of [15, 18] as const) {
  describe(`changes inside a transaction, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: Lab;
    let other: Session;
    before(async () => {
      lab = await Lab.start(version);
      other = await lab.session();
    });
    after(async () => lab.stop());

    async function seenBy(session: Session, name: string): Promise<boolean> {
      return (await session.names()).includes(name);
    }

    /** How a transaction that creates `name` goes on after BEGIN, and whether the connection is there in the end. */
    const histories: readonly (readonly [title: string, steps: readonly string[], stays: boolean])[] = [
      ['commit', ['make', 'commit'], true],
      ['rollback', ['make', 'rollback'], false],
      ['commit and chain', ['make', 'commit and chain', 'rollback'], true],
      ['rollback and chain', ['make', 'rollback and chain', 'commit'], false],
      ['rolled back to a savepoint before it, then commit', ['savepoint a', 'make', 'rollback to a', 'commit'], false],
      ['rolled back to a savepoint after it, then commit', ['make', 'savepoint a', 'rollback to a', 'commit'], true],
      ['made in a released savepoint, then commit', ['savepoint a', 'make', 'release a', 'commit'], true],
      [
        'made in a released savepoint inside one that is rolled back to',
        ['savepoint a', 'savepoint b', 'make', 'release b', 'rollback to a', 'commit'],
        false,
      ],
      ['made again after ROLLBACK TO', ['savepoint a', 'make', 'rollback to a', 'make', 'commit'], true],
      ['made, dropped, committed', ['make', 'drop', 'commit'], false],
      ['made, dropped in a savepoint that is rolled back to, committed', ['make', 'savepoint a', 'drop', 'rollback to a', 'commit'], true],
      ['made, dropped, made again, committed', ['make', 'drop', 'make', 'commit'], true],
      ['made in a savepoint, dropped outside, committed', ['savepoint a', 'make', 'release a', 'drop', 'commit'], false],
      ['a failed transaction', ['make', '!select 1/0', 'commit'], false],
      ['a failed statement after a savepoint, rolled back to it', ['make', 'savepoint a', '!select 1/0', 'rollback to a', 'commit'], true],
      ['prepared and committed', ['make', "prepare transaction 'NAME'", "commit prepared 'NAME'"], true],
      ['prepared and rolled back', ['make', "prepare transaction 'NAME'", "rollback prepared 'NAME'"], false],
      ['marked under seventy savepoints', [...Array.from({ length: 70 }, (_, i) => `savepoint s${i}`), 'make', 'commit'], true],
    ];

    for (const [index, [title, steps, stays]] of histories.entries()) {
      test(`a connection ${stays ? 'stays' : 'is gone'}: ${title}`, async () => {
        const session = await lab.session();
        const name = `history_${index}`;
        await session.foreign('begin');
        for (const step of steps) {
          if (step === 'make') {
            await session.runInTransaction(make(name));
            assert.equal(await seenBy(session, name), true, 'its own session sees it');
          } else if (step === 'drop') {
            await session.runInTransaction(`DROP EXTERNAL CONNECTION ${name}`);
            assert.equal(await seenBy(session, name), false, 'its own session misses it');
          } else if (step.startsWith('!')) {
            await assert.rejects(session.foreign(step.slice(1)));
          } else {
            await session.foreign(step.replace('NAME', name));
          }
          const last = step === steps.at(-1);
          const ended = last || (stays && step === 'commit and chain');
          if (!ended) assert.equal(await seenBy(other, name), false, `nobody else sees it after ${step}`);
        }
        assert.equal(await seenBy(other, name), stays);
        assert.equal(await seenBy(session, name), stays);
        // Whatever was left behind does not stand in the way of the name.
        if (!stays) await other.run(make(name));
      });
    }

    test('a drop counts for others when it commits, and not at all when it is rolled back', async () => {
      const session = await lab.session();
      await other.run(make('kept'));
      await session.foreign('begin');
      await session.runInTransaction('DROP EXTERNAL CONNECTION kept');
      assert.equal(await seenBy(session, 'kept'), false);
      assert.equal(await seenBy(other, 'kept'), true);
      await session.foreign('rollback');
      assert.equal(await seenBy(session, 'kept'), true);
      await session.foreign('begin');
      await session.runInTransaction('DROP EXTERNAL CONNECTION kept');
      await session.foreign('commit');
      assert.equal(await seenBy(other, 'kept'), false);
    });

    test('rights follow the transaction like connections', async () => {
      await other.foreign(`create role reader_${version} login`);
      const role = `reader_${version}`;
      const reader = await lab.session(role);
      await other.run(make('shared'));
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(`GRANT USAGE ON EXTERNAL CONNECTION shared TO ${role}`);
      assert.deepEqual(await reader.names(), []);
      assert.deepEqual(await session.show(`SHOW GRANTS ON EXTERNAL CONNECTION shared FOR ${role}`), [['shared', role, 'USAGE', false]]);
      await session.foreign('savepoint a');
      await session.runInTransaction(`REVOKE USAGE ON EXTERNAL CONNECTION shared FROM ${role}`);
      await session.foreign('rollback to a');
      await session.foreign('commit');
      assert.deepEqual(await reader.names(), ['shared']);
      await session.foreign('begin');
      await session.runInTransaction(`REVOKE ALL ON EXTERNAL CONNECTION shared FROM ${role}`);
      await session.runInTransaction(`GRANT SYSTEM EXTERNALCONNECTION TO ${role}`);
      assert.deepEqual(await reader.names(), ['shared']);
      assert.match(await reader.refusal(make('mine')), /^42501/);
      await session.foreign('commit');
      assert.deepEqual(await reader.names(), []);
      await reader.run(make('mine'));
    });

    test("another session's pending change of the same name is 55P03 at once", async () => {
      const session = await lab.session();
      const user = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(make('wanted'));
      const began = performance.now();
      assert.equal(await other.refusal(make('wanted')), busy('wanted'));
      assert.equal(await other.refusal(`CREATE EXTERNAL CONNECTION IF NOT EXISTS wanted AS 'nodelocal://self/w'`), busy('wanted'));
      assert.equal(await other.refusal('DROP EXTERNAL CONNECTION wanted'), busy('wanted'));
      await user.foreign('begin');
      assert.equal(await refusalOf(user.runInTransaction(make('wanted'))), busy('wanted'));
      await user.foreign('rollback');
      assert.ok(performance.now() - began < 1_000, 'nobody waited');
      await session.foreign('commit');
      assert.match(await other.refusal(make('wanted')), /^42710/);

      await session.foreign('begin');
      await session.runInTransaction('DROP EXTERNAL CONNECTION wanted');
      assert.equal(await other.refusal('GRANT USAGE ON EXTERNAL CONNECTION wanted TO PUBLIC'), busy('wanted'));
      await session.foreign('rollback');
      await session.foreign('begin');
      await session.runInTransaction('GRANT USAGE ON EXTERNAL CONNECTION wanted TO PUBLIC');
      assert.equal(
        await other.refusal('REVOKE USAGE ON EXTERNAL CONNECTION wanted FROM PUBLIC'),
        '55P03 another transaction that has not ended is changing the privileges on external_connection wanted',
      );
      // Other grantees and other connections are nobody's business.
      await other.run('GRANT USAGE ON EXTERNAL CONNECTION wanted TO postgres');
      await other.run(make('unrelated'));
      await session.foreign('commit');
    });

    test('a session whose client vanished or was killed leaves nothing, and one that died after COMMIT leaves what it committed', async () => {
      const killed = await lab.session();
      const { rows } = await killed.client.query('select pg_backend_pid() as pid');
      await killed.foreign('begin');
      await killed.runInTransaction(make('killed'));
      await other.foreign(`select pg_terminate_backend(${rows[0].pid})`);
      const vanished = await lab.session();
      await vanished.foreign('begin');
      await vanished.runInTransaction(make('vanished'));
      await vanished.client.end();
      const committed = await lab.session();
      await committed.foreign('begin');
      await committed.runInTransaction(make('committed'));
      await committed.foreign('commit');
      await committed.client.end();
      for (let waited = 0; waited < 5_000 && (await pendingRows()) > 0; waited += 50) {
        await other.names();
        await sleep(50);
      }
      const names = await other.names();
      assert.deepEqual(
        ['killed', 'vanished', 'committed'].map((name) => names.includes(name)),
        [false, false, true],
      );
      await other.run(make('killed'));
    });

    async function pendingRows(): Promise<number> {
      const client = new pg.Client(lab.server.connectionString('pgpier'));
      await client.connect();
      try {
        const { rows } = await client.query(
          'select count(*)::int as n from pgpier.external_connection where created_xid is not null or dropped_xid is not null',
        );
        return rows[0].n;
      } finally {
        await client.end();
      }
    }

    test("a prepared transaction's change is no longer its session's own once the session has a new id", async () => {
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(make('prepared'));
      await session.foreign("prepare transaction 'p'");
      // With nothing at stake, even under the old id it cannot be changed as if it were the session's own.
      assert.equal(await session.refusal('DROP EXTERNAL CONNECTION prepared'), busy('prepared'));
      session.id = randomUUID();
      assert.equal(await seenBy(session, 'prepared'), false);
      assert.equal(await session.refusal(make('prepared')), busy('prepared'));
      await session.foreign("commit prepared 'p'");
      assert.equal(await seenBy(session, 'prepared'), true);
    });

    test('all statements of one string count, or none', async () => {
      assert.match(await other.refusal(`${make('string_a')}; ${make('string_b')}; ${make('string_a')}`), /^42710/);
      const names = await other.names();
      assert.deepEqual([names.includes('string_a'), names.includes('string_b')], [false, false]);
      await other.run(
        `${make('string_a')}; ${make('string_b')}; GRANT USAGE ON EXTERNAL CONNECTION string_a TO PUBLIC; DROP EXTERNAL CONNECTION string_b`,
      );
      assert.equal(await seenBy(other, 'string_a'), true);
      assert.equal(await seenBy(other, 'string_b'), false);
    });

    test('a string that is busy outside holds its own name alone, and reads go on', async () => {
      const slow = await lab.session();
      let release = () => {};
      const gate = new Promise<void>((resolve) => {
        release = resolve;
      });
      slow.workers = fakeWorkers(async (task) => {
        if (task.kind === 'checkStorage' && task.target.uri.endsWith('slow_b')) await gate;
      });
      const running = slow.run(`${make('slow_a')}; ${make('slow_b')}`);
      await sleep(300);
      assert.equal(await other.refusal(make('slow_a')), busy('slow_a'));
      assert.equal(await seenBy(other, 'slow_a'), false);
      await other.run(make('slow_c'));
      release();
      await running;
      assert.equal(await seenBy(other, 'slow_a'), true);
    });

    test('an id from the future, of a cluster that was put back, is undone and spoils nothing else', async () => {
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(make('honest'));
      const client = new pg.Client(lab.server.connectionString('pgpier'));
      await client.connect();
      await client.query(
        `insert into pgpier.external_connection (connection_id, name, type, owner, created_xid, created_session)
         select gen_random_uuid(), 'future', type, owner, '9000000000', gen_random_uuid() from pgpier.external_connection limit 1`,
      );
      await session.foreign('commit');
      assert.equal(await seenBy(other, 'honest'), true);
      const { rows } = await client.query("select from pgpier.external_connection where name = 'future'");
      assert.equal(rows.length, 0);
      await client.end();
    });

    test('the sweeper settles without anybody asking', async () => {
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(make('swept'));
      await session.runInTransaction(`DROP EXTERNAL CONNECTION IF_ANY`.replace('IF_ANY', 'history_0'));
      await session.foreign('commit');
      assert.ok((await pendingRows()) >= 2);
      const pool = new pg.Pool({ connectionString: lab.server.connectionString('pgpier') });
      await sweep(pool, lab.catalog.service, collectingLog());
      await pool.end();
      assert.equal(await pendingRows(), 0);
      assert.equal(await seenBy(other, 'swept'), true);
      assert.equal(await seenBy(other, 'history_0'), false);
    });
  });
}
