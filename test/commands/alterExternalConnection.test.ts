/** ALTER EXTERNAL CONNECTION: name, owner and rights stay, the URI changes with the client's transaction. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { sweep } from '../../catalog/sweep.ts';
import { PgPierError } from '../../errors.ts';
import { resolveStorage } from '../../jobs/destination.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { collectingLog, fakeWorkers, Lab, type Session } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';

const version = 15;

describe('ALTER EXTERNAL CONNECTION', { skip: missingPostgres(version) }, () => {
  let lab: Lab;
  let admin: Session;
  let other: Session;
  let user: Session;
  before(async () => {
    lab = await Lab.start(version);
    [admin, other] = [await lab.session(), await lab.session()];
    await admin.foreign('create role rotator login');
    user = await lab.session('rotator');
  });
  after(async () => lab.stop());

  const uriSeenBy = async (session: Session, name: string): Promise<unknown> => {
    const [row] = (await session.show('SHOW EXTERNAL CONNECTIONS')).filter(([each]) => each === name);
    return row?.[1];
  };
  const uri = (place: string): string => `nodelocal://self/${place}`;
  const make = (name: string): string => `CREATE EXTERNAL CONNECTION ${name} AS '${uri(`${name}/old`)}'`;
  const alter = (name: string, place = 'new'): string => `ALTER EXTERNAL CONNECTION ${name} AS '${uri(`${name}/${place}`)}'`;

  async function resolve(session: Session, text: string): Promise<StorageTarget> {
    const { role, sessionUser } = await session.asker();
    const view = { session: session.id, role, sessionUser, stamp: { kind: 'immediate' } } as const;
    return lab.catalog.transaction(view, async (catalog) => resolveStorage({ catalog }, text));
  }

  test('the new URI is checked and taken; owner, type and rights stay', async () => {
    await admin.run(make('c'));
    await admin.run('GRANT USAGE ON EXTERNAL CONNECTION c TO rotator');
    const before = await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c');
    admin.workers.tasks.length = 0;
    const { rows, tag, notices } = await admin.run(alter('c'));
    assert.deepEqual({ rows, tag, notices }, { rows: [], tag: 'ALTER EXTERNAL CONNECTION', notices: [] });
    assert.deepEqual(admin.workers.tasks, [{ kind: 'checkStorage', target: { uri: uri('c/new'), trusted: true } }]);
    assert.deepEqual(await user.show('SHOW EXTERNAL CONNECTION c'), [['c', uri('c/new'), 'STORAGE']]);
    assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c'), before);
    assert.equal((await resolve(user, 'external://c/sub')).uri, uri('c/new/sub'));
  });

  test('what is wrong with the URI is told as by CREATE, and the old one stays', async () => {
    for (const [text, refusal] of [
      ["ALTER EXTERNAL CONNECTION c AS 'x'", /^22023 /],
      ["ALTER EXTERNAL CONNECTION c AS 'nowhere://x'", /^22023 failed to construct External Connection details: no parseAndValidateFn/],
      ["ALTER EXTERNAL CONNECTION c AS 's3://b?AWS_ACCESS_KEY_ID=x'", /^22023 .*failed to create s3 external connection/],
      ["ALTER EXTERNAL CONNECTION missing AS 'nodelocal://self/x'", /^42704 external connection with name missing does not exist/],
    ] as const)
      assert.match(await admin.refusal(text), refusal, text);
    admin.workers = fakeWorkers(async () => {
      throw new PgPierError('sentinelNotFound', { name: 'x' });
    });
    assert.match(await admin.refusal(alter('c', 'unreachable')), /failed to create nodelocal external connection: failed to find sentinel/);
    admin.workers = fakeWorkers();
    assert.equal(await uriSeenBy(admin, 'c'), uri('c/new'));
  });

  test('a missing one with IF EXISTS is a notice, for admins', async () => {
    const { notices } = await admin.run("ALTER EXTERNAL CONNECTION IF EXISTS missing AS 'nodelocal://self/x'");
    assert.deepEqual(
      notices.map(({ severity, message }) => [severity, message]),
      [['NOTICE', 'external connection with name missing does not exist, skipping']],
    );
    assert.equal(
      await user.refusal("ALTER EXTERNAL CONNECTION IF EXISTS missing AS 'nodelocal://self/x'"),
      '42501 user rotator does not have UPDATE privilege on external_connection missing',
    );
  });

  /** How a transaction goes on that begins with BEGIN, on a connection that was there before, and what it leads to in the end. */
  const histories: readonly (readonly [title: string, steps: readonly string[], ends: string | undefined])[] = [
    ['commit', ['alter', 'commit'], 'new'],
    ['rollback', ['alter', 'rollback'], 'old'],
    ['rolled back to a savepoint before it', ['savepoint a', 'alter', 'rollback to a', 'commit'], 'old'],
    ['altered twice', ['alter', 'alter2', 'commit'], 'newer'],
    ['altered twice, the second rolled back', ['alter', 'savepoint a', 'alter2', 'rollback to a', 'commit'], 'new'],
    ['altered twice, rolled back', ['alter', 'alter2', 'rollback'], 'old'],
    ['altered and dropped', ['alter', 'drop', 'commit'], undefined],
    ['altered and dropped, rolled back', ['alter', 'drop', 'rollback'], 'old'],
    ['dropped, made anew and altered', ['drop', 'make', 'alter', 'commit'], 'new'],
    ['dropped, made anew and altered, rolled back', ['drop', 'make', 'alter2', 'rollback'], 'old'],
  ];
  for (const [index, [title, steps, ends]] of histories.entries()) {
    test(`${ends ?? 'nothing'} is what stays: ${title}`, async () => {
      const name = `h${index}`;
      const session = await lab.session();
      await session.run(make(name));
      await session.foreign('begin');
      for (const step of steps) {
        if (step === 'alter' || step === 'alter2') {
          const place = step === 'alter' ? 'new' : 'newer';
          await session.runInTransaction(alter(name, place));
          assert.equal(await uriSeenBy(session, name), uri(`${name}/${place}`), 'its own session sees it');
        } else if (step === 'drop') await session.runInTransaction(`DROP EXTERNAL CONNECTION ${name}`);
        else if (step === 'make') await session.runInTransaction(make(name));
        else await session.foreign(step);
        if (step !== steps.at(-1)) assert.equal(await uriSeenBy(other, name), uri(`${name}/old`), `nobody else sees it after ${step}`);
      }
      const expected = ends === undefined ? undefined : uri(`${name}/${ends}`);
      for (const each of [other, session]) assert.equal(await uriSeenBy(each, name), expected);
      const pool = new pg.Pool({ connectionString: lab.server.connectionString('pgpier') });
      await sweep(pool, lab.catalog.service, collectingLog());
      const { rows } = await pool.query(
        `select count(*)::int as n from pgpier.connection_uri u join pgpier.external_connection c using (connection_id)
         where c.name = $1 and u.created_xid is null and u.dropped_xid is null`,
        [name],
      );
      const left = await pool.query('select from pgpier.connection_uri where created_xid is not null or dropped_xid is not null');
      await pool.end();
      assert.deepEqual([rows[0].n, left.rowCount], [ends === undefined ? 0 : 1, 0], 'one version is left, settled');
      assert.equal(await uriSeenBy(other, name), expected);
      await session.client.end();
    });
  }

  test('two sessions do not alter the same connection at once', async () => {
    await admin.run(make('contended'));
    const session = await lab.session();
    await session.foreign('begin');
    await session.runInTransaction(alter('contended'));
    for (const text of [alter('contended', 'x'), 'DROP EXTERNAL CONNECTION contended'])
      assert.equal(await admin.refusal(text), '55P03 another transaction that has not ended is changing external_connection contended');
    await session.foreign('rollback');
    await admin.run(alter('contended'));
    await session.client.end();
  });

  test('who alters a connection of an admin gives it no more reach than he has himself', async () => {
    await admin.run(make('lent'));
    await admin.run('GRANT UPDATE, USAGE ON EXTERNAL CONNECTION lent TO rotator');
    assert.equal((await resolve(user, 'external://lent/x')).trusted, true);
    await user.run("ALTER EXTERNAL CONNECTION lent AS 's3://b?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s&AWS_ENDPOINT=http://10.0.0.1'");
    assert.deepEqual(user.workers.tasks.at(-1), {
      kind: 'checkStorage',
      target: { uri: 's3://b?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s&AWS_ENDPOINT=http://10.0.0.1', trusted: false },
    });
    assert.equal((await resolve(user, 'external://lent/x')).trusted, false);
    await user.run("ALTER EXTERNAL CONNECTION lent AS 'userfile:///'");
    const { rows } = await admin.client.query("select oid::int from pg_roles where rolname = 'rotator'");
    assert.equal((await resolve(admin, 'external://lent/x')).userfile?.owner, rows[0].oid, 'his files, not the owner’s');
  });
});
