/** The life of a connection, as statements see it: its second set of credentials, who used it, what depends on it. */
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { openCatalog } from '../../catalog/catalog.ts';
import { sweep } from '../../catalog/sweep.ts';
import { resolveStorage } from '../../jobs/destination.ts';
import { collectingLog, fakeWorkers, Lab, masterKey, type Session } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';

const version = 15;
const secret = 'MARKERf4llb4ck';
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  publicKeyEncoding: { type: 'spki', format: 'pem' },
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
});
const keys = (n: number, more = '') => `s3://b/p?AWS_ACCESS_KEY_ID=k${n}&AWS_SECRET_ACCESS_KEY=${secret}${n}${more}`;

describe('the life of a connection', { skip: missingPostgres(version) }, () => {
  let lab: Lab;
  let admin: Session;
  let user: Session;
  let catalog: pg.Pool;
  const log = collectingLog();
  before(async () => {
    lab = await Lab.start(version, { log });
    admin = await lab.session();
    await admin.foreign('create role plain login; create role watcher login; create role maker login');
    await admin.run('GRANT SYSTEM VIEWJOB TO watcher; GRANT SYSTEM EXTERNALCONNECTION TO maker');
    user = await lab.session('plain');
    catalog = new pg.Pool({ connectionString: lab.server.connectionString('pgpier') });
  });
  after(async () => {
    await catalog?.end();
    await lab.stop();
  });

  const create = (name: string): Promise<unknown> => admin.run(`CREATE EXTERNAL CONNECTION ${name} AS '${keys(1)}'`);
  const created = async (name: string): Promise<unknown> => (await admin.show(`SHOW CREATE EXTERNAL CONNECTION ${name}`))[0]![1];

  describe('a second set of credentials', () => {
    test('leads to the same place, is checked with its own keys, printed to its owner and redacted where secrets are', async () => {
      await create('f');
      admin.workers.tasks.length = 0;
      assert.deepEqual((await admin.run(`ALTER EXTERNAL CONNECTION f SET FALLBACK '${keys(2)}'`)).tag, 'ALTER EXTERNAL CONNECTION');
      assert.deepEqual(admin.workers.tasks, [{ kind: 'checkStorage', target: { uri: keys(2), trusted: true } }]);
      assert.equal(
        await created('f'),
        `CREATE EXTERNAL CONNECTION 'f' AS '${keys(1)}'; ALTER EXTERNAL CONNECTION 'f' SET FALLBACK '${keys(2)}'`,
      );
      admin.settings = { 'pgpier.show_secrets': 'off' };
      assert.ok(!String(await created('f')).includes(secret));
      admin.settings = {};
      assert.deepEqual(await admin.show('SHOW EXTERNAL CONNECTION f'), [
        ['f', 's3://b/p?AWS_ACCESS_KEY_ID=k1&AWS_SECRET_ACCESS_KEY=redacted', 'STORAGE'],
      ]);
      const view = { session: admin.id, role: 'postgres', sessionUser: 'postgres', stamp: { kind: 'immediate' } } as const;
      const target = await lab.catalog.transaction(view, (tx) => resolveStorage({ catalog: tx }, 'external://f/sub'));
      assert.equal(target.fallback?.uri, keys(2).replace('/p?', '/p/sub?'));
      const { rows } = await catalog.query('select fallback from pgpier.connection_uri where fallback is not null');
      assert.ok(rows.length === 1 && !rows[0].fallback.includes(secret), 'it is encrypted');
    });

    test('is made again by what SHOW CREATE prints', async () => {
      await create('again');
      await admin.run(`ALTER EXTERNAL CONNECTION again SET FALLBACK '${keys(2)}'`);
      const printed = String(await created('again'));
      await admin.run('DROP EXTERNAL CONNECTION again');
      await admin.run(printed);
      assert.equal(await created('again'), printed);
    });

    test('stays with ALTER … AS at the same place, goes when the place changes or it is dropped', async () => {
      await create('g');
      await admin.run(`ALTER EXTERNAL CONNECTION g SET FALLBACK '${keys(2)}'`);
      assert.deepEqual((await admin.run(`ALTER EXTERNAL CONNECTION g AS '${keys(3)}'`)).notices, []);
      assert.match(String(await created('g')), /AS '.*k3&.*SET FALLBACK '.*k2&/);
      const { notices } = await admin.run(`ALTER EXTERNAL CONNECTION g AS '${keys(3).replace('/p?', '/q?')}'`);
      assert.deepEqual(
        notices.map(({ message }) => message),
        ['external connection g leads to another place now: its second set of credentials was dropped'],
      );
      assert.doesNotMatch(String(await created('g')), /FALLBACK/);
      assert.match(
        (await admin.run('ALTER EXTERNAL CONNECTION g DROP FALLBACK')).notices[0]!.message,
        /has no second set of credentials, skipping/,
      );
    });

    test('follows the client’s transaction', async () => {
      await create('t');
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(`ALTER EXTERNAL CONNECTION t SET FALLBACK '${keys(2)}'`);
      assert.doesNotMatch(String(await created('t')), /FALLBACK/);
      await session.foreign('rollback');
      assert.doesNotMatch(String(await created('t')), /FALLBACK/);
      await session.foreign('begin');
      await session.runInTransaction(`ALTER EXTERNAL CONNECTION t SET FALLBACK '${keys(2)}'`);
      await session.foreign('commit');
      assert.match(String(await created('t')), /FALLBACK/);
      await session.client.end();
    });

    test('of a CONNECTION in Databend’s form is given without a bucket', async () => {
      await admin.run("CREATE CONNECTION d STORAGE_TYPE = 's3' ACCESS_KEY_ID = 'k' SECRET_ACCESS_KEY = 's'");
      admin.workers.tasks.length = 0;
      await admin.run("ALTER EXTERNAL CONNECTION d SET FALLBACK 's3://?AWS_ACCESS_KEY_ID=k2&AWS_SECRET_ACCESS_KEY=s2'");
      assert.deepEqual(admin.workers.tasks, [], 'there is no place to look at');
      const view = { session: admin.id, role: 'postgres', sessionUser: 'postgres', stamp: { kind: 'immediate' } } as const;
      const target = await lab.catalog.transaction(view, (tx) => resolveStorage({ catalog: tx }, 'external://d/bucket/x'));
      assert.equal(target.fallback?.uri, 's3://bucket/x?AWS_ACCESS_KEY_ID=k2&AWS_SECRET_ACCESS_KEY=s2');
      const credentials = (mail: string): string =>
        Buffer.from(JSON.stringify({ type: 'service_account', client_email: mail, private_key: privateKey })).toString('base64');
      await admin.run(`CREATE CONNECTION dg STORAGE_TYPE = 'gcs' CREDENTIAL = '${credentials('a@b')}'`);
      await admin.run(`ALTER EXTERNAL CONNECTION dg SET FALLBACK 'gs://?CREDENTIALS=${encodeURIComponent(credentials('c@d'))}'`);
      assert.match(String(await created('dg')), /^CREATE CONNECTION .*; ALTER EXTERNAL CONNECTION 'dg' SET FALLBACK 'gs:/);
    });

    test('that cannot be one is refused, without its secrets', async () => {
      await create('r');
      await admin.run("CREATE EXTERNAL CONNECTION local AS 'nodelocal://self/x'");
      for (const [text, refusal] of [
        [
          `ALTER EXTERNAL CONNECTION r SET FALLBACK '${keys(2).replace('/p?', '/other?')}'`,
          /^22023 the second set of credentials of external connection r must lead/,
        ],
        [`ALTER EXTERNAL CONNECTION r SET FALLBACK '${keys(2, '&AWS_ENDPOINT=http://127.0.0.1:9')}'`, /^22023 .* must lead to the place/],
        [`ALTER EXTERNAL CONNECTION r SET FALLBACK '${keys(1)}'`, /^22023 the second set .* is its first one/],
        ["ALTER EXTERNAL CONNECTION local SET FALLBACK 'nodelocal://self/x'", /^22023 .* is its first one/],
        ["ALTER EXTERNAL CONNECTION r SET FALLBACK 'nodelocal://self/p'", /^22023 .* must lead to the place/],
        [`ALTER EXTERNAL CONNECTION r SET FALLBACK 's3://b/p?AWS_SECRET_ACCESS_KEY=${secret}'`, /^22023 .*AWS_ACCESS_KEY_ID is not set/],
        [`ALTER EXTERNAL CONNECTION missing SET FALLBACK '${keys(2)}'`, /^42704 /],
      ] as const) {
        const told = await admin.refusal(text);
        assert.match(told, refusal, text);
        assert.ok(!told.includes(secret), told);
      }
    });
  });

  describe('who used it', () => {
    test('is told with kind, bytes and outcome, the latest first; the record outlives the connection', async () => {
      await create('u');
      admin.workers = {
        ...fakeWorkers(),
        async run(_task, options) {
          options.onTransferred?.({ written: 5_000_000_000, read: 7, credentials: 'second' });
          return { finished: [], unfinished: [] } as never;
        },
      };
      await admin.run("SHOW BACKUPS IN 'external://u/x'");
      admin.workers = fakeWorkers(async () => {
        throw new Error('a defect');
      });
      await assert.rejects(admin.run("SHOW BACKUP FROM LATEST IN 'external://u/x'"));
      admin.workers = fakeWorkers();
      await admin.run('DROP EXTERNAL CONNECTION u');
      const rows = await admin.show('SHOW EXTERNAL CONNECTION u USAGE');
      assert.deepEqual(
        rows.map(([name, role, statement, job, started, finished, ...rest]) => [
          name,
          role,
          statement,
          job,
          started instanceof Date,
          finished instanceof Date,
          ...rest,
        ]),
        [
          ['u', 'postgres', 'SHOW BACKUP', null, true, true, 'failed', 'XX000', null, null, null],
          ['u', 'postgres', 'SHOW BACKUPS', null, true, true, 'succeeded', null, 5_000_000_000n, 7n, 'second'],
          ['u', 'postgres', 'CREATE EXTERNAL CONNECTION', null, true, true, 'succeeded', null, null, null, null],
        ],
      );
      const { rows: viewed } = await catalog.query(
        "select user_name, statement from pgpier.connection_usage where connection_name = 'u' order by started",
      );
      assert.deepEqual(viewed.at(-1), { user_name: 'postgres', statement: 'SHOW BACKUP' });
    });

    test('is for its owner, for who used it, and for VIEWJOB; others see nothing of it', async () => {
      const maker = await lab.session('maker');
      await maker.run("CREATE EXTERNAL CONNECTION lent AS 's3://b/lent?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s'");
      await maker.run('GRANT USAGE ON EXTERNAL CONNECTION lent TO plain, watcher');
      await user.run("SHOW BACKUPS IN 'external://lent'");
      await admin.run("SHOW BACKUPS IN 'external://lent'");
      const seen = async (session: Session): Promise<unknown[]> =>
        (await session.show('SHOW EXTERNAL CONNECTIONS USAGE')).filter(([name]) => name === 'lent').map(([, role]) => role);
      assert.deepEqual(await seen(user), ['plain']);
      assert.deepEqual(await seen(maker), ['postgres', 'plain', 'maker']);
      const watcher = await lab.session('watcher');
      assert.deepEqual(await seen(watcher), ['postgres', 'plain', 'maker']);
      await admin.foreign('create role nobody login');
      const nobody = await lab.session('nobody');
      assert.deepEqual(await seen(nobody), []);
      for (const name of ['lent', 'missing'])
        assert.equal(
          await nobody.refusal(`SHOW EXTERNAL CONNECTION ${name} USAGE`),
          `42501 must have USAGE privilege or be owner of the External Connection "${name}"`,
        );
      assert.match(await admin.refusal('SHOW EXTERNAL CONNECTION missing USAGE'), /^42704/);
    });

    test('is recorded although the client rolls back: the place was touched', async () => {
      const session = await lab.session();
      await session.foreign('begin');
      await session.runInTransaction(`CREATE EXTERNAL CONNECTION undone AS '${keys(1)}'`);
      await session.foreign('rollback');
      await session.client.end();
      assert.deepEqual(
        (await admin.show('SHOW EXTERNAL CONNECTION undone USAGE')).map(([, , statement, , , , outcome]) => [statement, outcome]),
        [['CREATE EXTERNAL CONNECTION', 'succeeded']],
      );
    });

    test('is forgotten when it is old, and not before', async () => {
      await create('old');
      await catalog.query("update pgpier.connection_use set begun = now() - interval '89 days' where connection_name = 'old'");
      await sweep(catalog, lab.catalog.service, collectingLog());
      assert.equal((await admin.show('SHOW EXTERNAL CONNECTION old USAGE')).length, 1);
      await catalog.query("update pgpier.connection_use set begun = now() - interval '91 days' where connection_name = 'old'");
      await sweep(catalog, lab.catalog.service, collectingLog());
      assert.equal((await admin.show('SHOW EXTERNAL CONNECTION old USAGE')).length, 0);
    });

    test('is nobody’s to know where the operator keeps no record', async () => {
      const service = { connectionString: lab.server.connectionString() };
      const forgetful = await openCatalog({ service, secretKey: masterKey, usageRetentionDays: 0, log });
      const use = { connection: { name: 'unwritten' }, role: { oid: 10, name: 'postgres' }, statement: 'BACKUP' };
      await (await forgetful.uses.begin(use)).end({ outcome: 'succeeded' });
      await (await lab.catalog.uses.begin({ ...use, connection: { name: 'written' } })).end({ outcome: 'succeeded' });
      await forgetful.close();
      assert.deepEqual(
        (await admin.show('SHOW EXTERNAL CONNECTIONS USAGE')).map(([name]) => name).filter((name) => /written/.test(String(name))),
        ['written'],
      );
    });

    test('is logged, and no failure, where it cannot be recorded', async () => {
      await create('unrecorded');
      await catalog.query('alter table pgpier.connection_use rename to elsewhere');
      try {
        await admin.run("SHOW BACKUPS IN 'external://unrecorded'");
      } finally {
        await catalog.query('alter table pgpier.elsewhere rename to connection_use');
      }
      assert.equal((await admin.show('SHOW EXTERNAL CONNECTION unrecorded USAGE')).length, 1, 'CREATE alone');
      assert.ok(log.lines.some((line) => line.startsWith('the use of a connection could not be recorded')));
    });
  });

  test('DROP names the jobs that one may see, and counts the others', async () => {
    await create('busy');
    await admin.run('GRANT DROP ON EXTERNAL CONNECTION busy TO plain');
    const [row] = (await admin.run("BACKUP DATABASE postgres INTO 'external://busy' WITH detached")).rows;
    assert.match(await admin.refusal('DROP CONNECTION busy RESTRICT'), /^2BP01 cannot drop external connection busy because other objects/);
    assert.match(await user.refusal('DROP EXTERNAL CONNECTION busy RESTRICT'), /^2BP01/);
    const { notices } = await user.run('DROP CONNECTION busy');
    assert.deepEqual(
      notices.map(({ message, detail }) => [message, detail]),
      [['external connection busy is dropped although 1 other object depends on it', '1 of other roles, which you may not see']],
    );
    await create('busy');
    await admin.run(`CANCEL JOB ${row![0]}`);
    assert.deepEqual((await admin.run('DROP EXTERNAL CONNECTION busy RESTRICT')).notices, [], 'the job has ended');
  });
});
