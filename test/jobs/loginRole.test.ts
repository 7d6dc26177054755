import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { createJobLogins, scramVerifier } from '../../jobs/loginRole.ts';
import { missingPostgres, type PostgresVersion } from '../servers/postgres.ts';
import { type ExportLab, failure, startExportLab } from './exportLab.ts';

test('the verifier is the one PostgreSQL computes', () => {
  // From RFC 7677: user "user", password "pencil".
  assert.equal(
    scramVerifier('pencil', Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64'), 4096),
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});

for (const version of [15, 18] as const) describe(`PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => suite(version));

function suite(version: PostgresVersion) {
  let lab: ExportLab;
  before(async () => {
    lab = await startExportLab({ version, settings: { log_statement: 'all' } }, 'service');
    await lab.admin.query(`create role service login createrole; create role plain login; create role asker; create role boss superuser;
      create table open_to_asker as select 1 as id; grant select on open_to_asker to asker`);
    if (version >= 16) await lab.admin.query('grant asker to service with admin option, inherit false, set false');
  });
  after(() => lab?.stop());

  test('a service role that is no superuser can make the login, and the export runs as the asker', async () => {
    const files = await lab.export('select current_user, session_user like $$pgpier\\_job\\_%$$, id from open_to_asker', { role: 'asker' });
    assert.equal(lab.content(files).toString(), 'asker,t,1\n');
    assert.deepEqual((await lab.admin.query(`select rolname from pg_roles where rolname like 'pgpier%'`)).rows, []);
  });

  test('the login works where CONNECT was taken from PUBLIC and given to the asker', async () => {
    await lab.admin.query('revoke connect on database postgres from public; grant connect on database postgres to asker, service');
    try {
      assert.equal((await lab.export('table open_to_asker', { role: 'asker' })).length, 1);
    } finally {
      await lab.admin.query('grant connect on database postgres to public');
    }
  });

  test('a login is made valid anew for as long as it is in use', async () => {
    const query = async (text: string, values: readonly unknown[] = []) => ({ rows: (await lab.admin.query(text, [...values])).rows });
    const { socketDir, port } = lab.server;
    const logins = createJobLogins({
      service: { query },
      backend: { host: socketDir, port, sslmode: 'disable' },
      log: { warn() {} },
      renewMs: 50,
    });
    const { login, close } = await logins.open('asker', 'postgres');
    const until = async () =>
      (await lab.admin.query('select rolvaliduntil as until from pg_roles where rolname = $1', [login.user])).rows[0].until as Date;
    const first = await until();
    for (let waited = 0; (await until()) <= first && waited < 5_000; waited += 25) await new Promise((resolve) => setTimeout(resolve, 25));
    assert.ok((await until()) > first);
    await close();
  });

  test('the role is a member of the asker alone, without attributes, and its password is in no log', async () => {
    const { login, close } = await lab.logins.open('asker', 'postgres');
    const { rows } = await lab.admin.query(
      `select rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls as attributes, rolconnlimit < 3 as few,
          rolvaliduntil between now() and now() + '61 minutes' as expires,
          (select array_agg(roleid::regrole::text) from pg_auth_members where member = r.oid) as member_of
        from pg_roles r where rolname = $1`,
      [login.user],
    );
    assert.deepEqual(rows, [{ attributes: false, few: true, expires: true, member_of: ['asker'] }]);
    const client = new pg.Client({ ...login });
    await client.connect();
    await client.end();
    await close();
    await close();
    await assert.rejects(new pg.Client({ ...login }).connect(), { code: '28P01' });
    const log = readFileSync(lab.server.logFile, 'utf8');
    assert.ok(log.includes('create role "pgpier_job_'));
    assert.ok(!log.includes(login.password));
  });

  test('a session that lingers is ended with its login', async () => {
    const logins = createJobLogins({
      service: lab.admin,
      backend: { host: '127.0.0.1', port: lab.server.port, sslmode: 'disable' },
      log: { warn() {} },
    });
    const { login, close } = await logins.open('asker', 'postgres');
    const client = new pg.Client({ ...login });
    const gone = new Promise((resolve) => client.on('error', resolve));
    await client.connect();
    await close();
    await gone;
    assert.deepEqual((await lab.admin.query(`select rolname from pg_roles where rolname like 'pgpier%'`)).rows, []);
  });

  test('a service role that may not is told which right is missing', async () => {
    const denied = async (service: string, role: string) => {
      const logins = createJobLogins({
        service: {
          async query(text, values) {
            const client = await lab.admin.connect();
            try {
              await client.query(`set session authorization ${service}`);
              return await client.query(text, values as unknown[]);
            } finally {
              await client.query('reset session authorization');
              client.release();
            }
          },
        },
        backend: { host: '127.0.0.1', port: lab.server.port, sslmode: 'disable' },
        log: { warn() {} },
      });
      const { sqlstate, hint } = await failure(logins.open(role, 'postgres'));
      assert.equal(sqlstate, '42501');
      return hint!;
    };
    assert.match(await denied('plain', 'asker'), /ALTER ROLE "plain" CREATEROLE/);
    if (version >= 16) assert.match(await denied('plain', 'asker'), /GRANT "asker" TO "plain" WITH ADMIN OPTION/);
    if (version >= 16) assert.match(await denied('service', 'plain'), /allow that: GRANT "plain" TO "service" WITH ADMIN OPTION/);
    assert.match(await denied('service', 'boss'), /superuser/);
  });

  test('names that need quotes work', async () => {
    await lab.admin.query(`create role "we""ird; Role"`);
    if (version >= 16) await lab.admin.query(`grant "we""ird; Role" to service with admin option`);
    const files = await lab.export('select current_user', { role: 'we"ird; Role' });
    assert.equal(lab.content(files).toString(), '"we""ird; Role"\n');
  });

  test('a sweep drops logins that have expired, and no others', async () => {
    await lab.admin.query(`create role pgpier_job_dead login valid until 'yesterday'; create role pgpier_job_alive login valid until 'tomorrow';
      create role pgpier_joker login valid until 'yesterday'`);
    if (version >= 16) await lab.admin.query('grant pgpier_job_dead, pgpier_job_alive, pgpier_joker to service with admin option');
    assert.equal(await lab.logins.sweep(), 1);
    const { rows } = await lab.admin.query(`select rolname from pg_roles where rolname like 'pgpier%' order by 1`);
    assert.deepEqual(
      rows.map(({ rolname }) => rolname),
      ['pgpier_job_alive', 'pgpier_joker'],
    );
    await lab.admin.query('drop role pgpier_job_alive, pgpier_joker');
  });

  test('a pg_hba.conf that does not let the login in is a clear error', async () => {
    const logins = createJobLogins({ service: lab.admin, backend: { host: '127.0.0.1', port: 1, sslmode: 'disable' }, log: { warn() {} } });
    const { login, close } = await logins.open('asker', 'postgres');
    const run = {
      target: { uri: 'nodelocal://self/out', trusted: true },
      role: 'asker',
      settings: {},
      query: { text: 'select 1', offset: 0 },
    };
    const rest = { parameters: [], exportId: 'ff', csv: { delimiter: ',' }, compression: 'none', chunkRows: 1, chunkSize: 1 } as const;
    const attempt = (fields: object) =>
      failure(
        lab.workers.run({ kind: 'export', ...run, ...rest, login: { ...login, ...fields } }, { signal: new AbortController().signal }),
      );
    assert.deepEqual(await attempt({}).then(({ sqlstate, message }) => [sqlstate, /ECONNREFUSED/.test(message)]), ['57P03', true]);
    assert.equal((await attempt({ port: lab.server.port, sslmode: 'require' })).sqlstate, '57P03');
    const wrong = await attempt({ port: lab.server.port, password: 'wrong' });
    assert.deepEqual([wrong.sqlstate, /pg_hba\.conf/.test(wrong.hint!)], ['28P01', true]);
    await close();
  });
}
