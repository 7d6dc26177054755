import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { commands } from '../../commands/commands.ts';
import { PgPierError } from '../../errors.ts';
import { resolveStorage } from '../../jobs/destination.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { fakeWorkers, Lab, refusalOf, type Session } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';

const s3 = 's3://bucket/base?AWS_SECRET_ACCESS_KEY=s3cr3t&AWS_ACCESS_KEY_ID=AKIA';

test('every row of the table of commands stands under its own kind', () => {
  for (const [kind, command] of Object.entries(commands)) assert.equal(command.kind, kind);
});

for (const version of [15, 18] as const) {
  describe(`external connections, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: Lab;
    let admin: Session;
    let user: Session;
    before(async () => {
      lab = await Lab.start(version);
      admin = await lab.session();
      await admin.foreign('create role testuser login');
      user = await lab.session('testuser');
    });
    after(async () => lab.stop());

    async function resolve(session: Session, uri: string): Promise<StorageTarget> {
      const { role, sessionUser } = await session.asker();
      const view = { session: session.id, role, sessionUser, stamp: { kind: 'immediate' } } as const;
      return lab.catalog.transaction(view, async (catalog) => resolveStorage({ catalog }, uri));
    }

    test('CREATE answers with its tag, checks the location once and grants ALL', async () => {
      const { rows, tag, notices } = await admin.run(`CREATE EXTERNAL CONNECTION first AS '${s3}'`);
      assert.deepEqual({ rows, tag, notices }, { rows: [], tag: 'CREATE EXTERNAL CONNECTION', notices: [] });
      assert.deepEqual(admin.workers.tasks, [{ kind: 'checkStorage', target: { uri: s3, trusted: true } }]);
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION first'), [['first', 'postgres', 'ALL', false]]);
    });

    test('SHOW redacts, SHOW CREATE does not, unless pgpier.show_secrets is off', async () => {
      const redacted = 's3://bucket/base?AWS_ACCESS_KEY_ID=AKIA&AWS_SECRET_ACCESS_KEY=redacted';
      assert.deepEqual(await admin.show('SHOW EXTERNAL CONNECTIONS'), [['first', redacted, 'STORAGE']]);
      assert.deepEqual(await admin.show('SHOW EXTERNAL CONNECTION first'), [['first', redacted, 'STORAGE']]);
      assert.deepEqual(await admin.show('SHOW CREATE EXTERNAL CONNECTION first'), [
        ['first', `CREATE EXTERNAL CONNECTION 'first' AS '${s3}'`],
      ]);
      admin.settings = { 'pgpier.show_secrets': 'off' };
      assert.deepEqual(await admin.show('SHOW CREATE ALL EXTERNAL CONNECTIONS'), [
        ['first', `CREATE EXTERNAL CONNECTION 'first' AS '${redacted}'`],
      ]);
      admin.settings = {};
    });

    /** In CockroachDB's order: an earlier mistake hides the later ones. */
    const refused: readonly (readonly [string, string])[] = [
      [`CREATE EXTERNAL CONNECTION '' AS 'x'`, '42602 failed to resolve External Connection name: the name must not be empty'],
      [
        `CREATE EXTERNAL CONNECTION '${'ü'.repeat(513)}' AS '${s3}'`,
        '42602 failed to resolve External Connection name: the name is longer than 1024 bytes',
      ],
      [
        `CREATE EXTERNAL CONNECTION a AS 'no scheme'`,
        '22023 failed to log and sanitize External Connection: invalid URI: it has no scheme, such as "s3://"',
      ],
      [
        `CREATE EXTERNAL CONNECTION a AS 'external://first/x'`,
        '22023 failed to construct External Connection details: no parseAndValidateFn found for external connection provider external',
      ],
      [
        `CREATE EXTERNAL CONNECTION a AS 'ftp://host/x'`,
        '22023 failed to construct External Connection details: no parseAndValidateFn found for external connection provider ftp',
      ],
      [
        `CREATE EXTERNAL CONNECTION a AS 's3://b?AWS_ACCESS_KEY_ID=a'`,
        "22023 failed to construct External Connection details: failed to create s3 external connection: AUTH is set to 'specified', but AWS_SECRET_ACCESS_KEY is not set",
      ],
      [
        `CREATE EXTERNAL CONNECTION IF NOT EXISTS first AS 's3://b?AUTH=implicit&partition_format=daily'`,
        '22023 failed to construct External Connection details: failed to create s3 external connection: unknown S3 query parameters: partition_format',
      ],
      [
        `CREATE EXTERNAL CONNECTION first AS '${s3}'`,
        "42710 failed to create external connection: external connection with connection name 'first' already exists",
      ],
      ['SHOW EXTERNAL CONNECTION nope', '42704 external connection with name nope does not exist'],
      ['SHOW CREATE EXTERNAL CONNECTION nope', '42704 external connection with name nope does not exist'],
      [
        'SHOW GRANTS ON EXTERNAL CONNECTION nope',
        '42704 failed to resolve External Connection: external connection with name nope does not exist',
      ],
    ];
    for (const [statement, refusal] of refused) {
      test(`${statement.slice(0, 70)} is refused in CockroachDB's words`, async () => {
        assert.equal(await admin.refusal(statement), refusal);
        assert.deepEqual(await admin.names(), ['first']);
      });
    }

    test('a failing check of the location is told in its frame, with its own SQLSTATE, before a taken name is', async () => {
      const session = await lab.session();
      session.workers = fakeWorkers(async () => {
        throw new PgPierError('storageBucketMissing', { location: 's3://bucket/base' });
      });
      assert.equal(
        await session.refusal(`CREATE EXTERNAL CONNECTION first AS '${s3}'`),
        '58P01 failed to construct External Connection details: failed to create s3 external connection: bucket does not exist: s3://bucket/base',
      );
      session.workers = fakeWorkers(async () => {
        throw new PgPierError('workersStopped');
      });
      assert.equal(await session.refusal(`CREATE EXTERNAL CONNECTION new AS '${s3}'`), '57P01 PgPier is shutting down');
    });

    test('IF NOT EXISTS leaves an existing one untouched and says so; DROP of a missing one says so', async () => {
      const { notices, tag } = await admin.run(`CREATE EXTERNAL CONNECTION IF NOT EXISTS first AS 'nodelocal://self/other'`);
      assert.equal(tag, 'CREATE EXTERNAL CONNECTION');
      assert.deepEqual(
        notices.map(({ severity, message }) => [severity, message]),
        [['NOTICE', "external connection with connection name 'first' already exists, skipping"]],
      );
      assert.match(String((await admin.show('SHOW EXTERNAL CONNECTION first'))[0]![1]), /^s3:/);
      const dropped = await admin.run('DROP EXTERNAL CONNECTION nope');
      assert.equal(dropped.tag, 'DROP EXTERNAL CONNECTION');
      assert.deepEqual(
        dropped.notices.map(({ message }) => message),
        ['external connection with name nope does not exist, skipping'],
      );
    });

    const names = [
      'a b',
      'quo"te',
      "apo'strophe",
      'sla/sh',
      'back\\slash',
      'Grüße',
      '名前',
      '100%',
      'q?u#e',
      'a@b:c',
      '../up',
      ' ',
      'x'.repeat(1024),
    ];
    for (const name of names) {
      test(`the name ${JSON.stringify(name.slice(0, 20))} lives its whole life`, async () => {
        const quotedName = `"${name.replaceAll('"', '""')}"`;
        await admin.run(`CREATE EXTERNAL CONNECTION ${quotedName} AS 'nodelocal://self/named'`);
        assert.ok((await admin.names()).includes(name));
        assert.match(await admin.refusal(`CREATE EXTERNAL CONNECTION ${quotedName} AS 'nodelocal://self/named'`), /^42710/);
        await admin.run(`GRANT USAGE ON EXTERNAL CONNECTION ${quotedName} TO testuser`);
        assert.ok((await user.names()).includes(name));
        const target = await resolve(user, `external://${encodeURIComponent(name)}/sub`);
        assert.equal(target.uri, 'nodelocal://self/named/sub');
        // What SHOW CREATE prints makes the same object again.
        const [[, statement]] = (await admin.show(`SHOW CREATE EXTERNAL CONNECTION ${quotedName}`)) as [[string, string]];
        await admin.run(`DROP EXTERNAL CONNECTION ${quotedName}`);
        await admin.run(statement);
        assert.ok((await admin.names()).includes(name));
        assert.equal((await user.names()).includes(name), false, 'rights went with the old one');
        await admin.run(`DROP EXTERNAL CONNECTION ${quotedName}`);
      });
    }

    test('AUTH=implicit needs EXTERNALIOIMPLICITACCESS at CREATE; nodelocal and endpoints do not', async () => {
      await admin.run('GRANT SYSTEM EXTERNALCONNECTION TO testuser');
      assert.equal(
        await user.refusal("CREATE EXTERNAL CONNECTION imp AS 's3://b?AUTH=implicit'"),
        '42501 only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified s3 URI',
      );
      assert.equal(user.workers.tasks.length, 0);
      await user.run("CREATE EXTERNAL CONNECTION loc AS 'nodelocal://self/u'");
      await user.run(`CREATE EXTERNAL CONNECTION endp AS '${s3}&AWS_ENDPOINT=http://10.0.0.1:9000'`);
      assert.deepEqual(
        user.workers.tasks.map((task) => task.kind === 'checkStorage' && task.target.trusted),
        [false, false],
      );
      await admin.run('GRANT SYSTEM EXTERNALIOIMPLICITACCESS TO testuser');
      await user.run("CREATE EXTERNAL CONNECTION imp AS 's3://b?AUTH=implicit'");
      await user.run('DROP EXTERNAL CONNECTION imp; DROP EXTERNAL CONNECTION endp');
      await admin.run('REVOKE SYSTEM ALL FROM testuser');
    });

    test('a destination of external:// is the stored URI with the path below it, for those with USAGE', async () => {
      await admin.run('GRANT USAGE ON EXTERNAL CONNECTION first TO testuser');
      const resolved: readonly (readonly [string, string])[] = [
        ['external://first', s3],
        ['external://first/', s3],
        ['external://first/a/b.csv', s3.replace('/base', '/base/a/b.csv')],
        ['external://first//a/./b', s3.replace('/base', '/base/a/b')],
        ['external://first/x/../y?AWS_ENDPOINT=http://evil&AUTH=implicit', s3.replace('/base', '/base/y')],
        ['external://first/a%20b', s3.replace('/base', '/base/a%20b')],
      ];
      for (const [given, uri] of resolved) {
        // Its owner is a superuser, so where it leads was an administrator's choice.
        const { connection, ...place } = await resolve(user, given);
        assert.deepEqual(place, { uri, trusted: true }, given);
        assert.equal(connection?.name, 'first');
      }
      assert.match(await refusalOf(resolve(user, 'external://first/../other')), /^42501 the path leads outside/);
      assert.match(await refusalOf(resolve(user, 'external://first/%2e%2e/other')), /^42501 the path leads outside/);
      const { connection: _, ...place } = await resolve(user, 'external://loc/x');
      assert.deepEqual(place, { uri: 'nodelocal://self/u/x', trusted: false });
    });

    const destinations: readonly (readonly [who: 'admin' | 'user', uri: string, refusal: string])[] = [
      ['user', 'external://nope/x', '42501 user testuser does not have USAGE privilege on external_connection nope'],
      ['admin', 'external://nope/x', '42704 failed to load external connection object: external connection with name nope does not exist'],
      [
        'admin',
        'external:///x?AWS_SECRET_ACCESS_KEY=s3cr3t',
        '22023 host component of an external URI must refer to an existing External Connection object: external:///x',
      ],
      [
        'user',
        'nodelocal://self/x',
        '42501 only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified nodelocal URI',
      ],
      [
        'user',
        `${s3}&AWS_ENDPOINT=http://host`,
        '42501 only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified s3 URI',
      ],
      ['user', 'ftp://x', '22023 unsupported storage scheme: "ftp" - refer to docs to find supported storage schemes'],
      ['user', 's3://b', "22023 AUTH is set to 'specified', but AWS_ACCESS_KEY_ID is not set"],
    ];
    for (const [who, uri, refusal] of destinations) {
      test(`${who} is refused the destination ${uri.slice(0, 40)}`, async () => {
        assert.equal(await refusalOf(resolve(who === 'admin' ? admin : user, uri)), refusal);
      });
    }

    test('explicit credentials need no privilege, and nothing but an admin makes a plain URI trusted', async () => {
      assert.deepEqual(await resolve(user, s3), { uri: s3, trusted: false });
      assert.deepEqual(await resolve(admin, 'nodelocal://self/x'), { uri: 'nodelocal://self/x', trusted: true });
    });

    test('no refusal repeats a secret', async () => {
      for (const uri of [
        `${s3}&x=1`,
        `${s3}#frag`,
        s3.replace('s3:', 'foo:'),
        s3.replace('bucket', ''),
        's3://b?AWS_SECRET_ACCESS_KEY=s3cr3t%zz',
      ]) {
        for (const refusal of [await admin.refusal(`CREATE EXTERNAL CONNECTION x AS '${uri}'`), await refusalOf(resolve(user, uri))]) {
          assert.doesNotMatch(refusal, /s3cr3t/);
        }
      }
    });

    test('a statement of the table that is not there yet is 0A000', async () => {
      assert.match(
        await refusalOf(commands.notYet.run({} as never, { kind: 'notYet', what: 'BACKUP' })),
        /^0A000 BACKUP is not supported yet$/,
      );
    });
  });
}
