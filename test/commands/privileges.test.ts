import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { sweep } from '../../catalog/sweep.ts';
import { collectingLog, Lab, type Session } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';

/** What a role holds on the connection `c`, which the role `owner` made. */
const holdings = {
  superuser: [],
  adminMember: ['grant pgpier_admin to HOLDER'],
  owner: ['grant owner to HOLDER'],
  nothing: [],
  usage: ['GRANT USAGE ON EXTERNAL CONNECTION c TO HOLDER'],
  drop: ['GRANT DROP ON EXTERNAL CONNECTION c TO HOLDER'],
  all: ['GRANT ALL ON EXTERNAL CONNECTION c TO HOLDER'],
  allButUsage: ['GRANT ALL ON EXTERNAL CONNECTION c TO HOLDER', 'REVOKE USAGE ON EXTERNAL CONNECTION c FROM HOLDER'],
  usageGrantable: ['GRANT USAGE ON EXTERNAL CONNECTION c TO HOLDER WITH GRANT OPTION'],
  optionTaken: [
    'GRANT ALL ON EXTERNAL CONNECTION c TO HOLDER WITH GRANT OPTION',
    'REVOKE GRANT OPTION FOR ALL ON EXTERNAL CONNECTION c FROM HOLDER',
  ],
  usageByPublic: ['GRANT USAGE ON EXTERNAL CONNECTION c TO PUBLIC'],
  usageByMembership: ['GRANT USAGE ON EXTERNAL CONNECTION c TO team', 'grant team to HOLDER'],
  membershipWithoutInherit: ['GRANT USAGE ON EXTERNAL CONNECTION c TO team', 'alter role HOLDER noinherit', 'grant team to HOLDER'],
  metadata: ['GRANT SYSTEM VIEWCLUSTERMETADATA TO HOLDER'],
  systemAll: ['GRANT SYSTEM ALL TO HOLDER'],
  systemAllButMetadata: ['GRANT SYSTEM ALL TO HOLDER', 'REVOKE SYSTEM VIEWCLUSTERMETADATA FROM HOLDER'],
  external: ['GRANT SYSTEM EXTERNALCONNECTION TO HOLDER'],
} as const;
type Holding = keyof typeof holdings;

/** Statements and who may run them; everyone else is refused with that text. `HOLDER` is the asking role. */
const matrix: readonly (readonly [statement: string, refusal: string, allowed: readonly Holding[]])[] = [
  [
    "CREATE EXTERNAL CONNECTION made AS 'nodelocal://self/made'",
    '42501 only users with the EXTERNALCONNECTION system privilege are allowed to CREATE EXTERNAL CONNECTION',
    // The role that made `c` had to hold it.
    ['superuser', 'adminMember', 'owner', 'systemAll', 'systemAllButMetadata', 'external'],
  ],
  [
    "ALTER EXTERNAL CONNECTION c AS 'nodelocal://self/altered'",
    '42501 user HOLDER does not have UPDATE privilege on external_connection c',
    ['superuser', 'adminMember', 'owner', 'all', 'allButUsage', 'optionTaken'],
  ],
  [
    'ALTER EXTERNAL CONNECTION c DROP FALLBACK',
    '42501 user HOLDER does not have UPDATE privilege on external_connection c',
    ['superuser', 'adminMember', 'owner', 'all', 'allButUsage', 'optionTaken'],
  ],
  [
    // Of a name that is nobody's: told to admins alone, who learn that there is none.
    "ALTER EXTERNAL CONNECTION IF EXISTS missing SET FALLBACK 'nodelocal://self/altered'",
    '42501 user HOLDER does not have UPDATE privilege on external_connection missing',
    ['superuser', 'adminMember'],
  ],
  [
    "ALTER EXTERNAL CONNECTION IF EXISTS missing AS 'nodelocal://self/altered'",
    '42501 user HOLDER does not have UPDATE privilege on external_connection missing',
    ['superuser', 'adminMember'],
  ],
  [
    'DROP EXTERNAL CONNECTION c',
    '42501 user HOLDER does not have DROP privilege on external_connection c',
    ['superuser', 'adminMember', 'owner', 'drop', 'all', 'allButUsage', 'optionTaken'],
  ],
  [
    'DROP EXTERNAL CONNECTION c RESTRICT',
    '42501 user HOLDER does not have DROP privilege on external_connection c',
    ['superuser', 'adminMember', 'owner', 'drop', 'all', 'allButUsage', 'optionTaken'],
  ],
  [
    'DROP CONNECTION c RESTRICT',
    '42501 user HOLDER does not have DROP privilege on external_connection c',
    ['superuser', 'adminMember', 'owner', 'drop', 'all', 'allButUsage', 'optionTaken'],
  ],
  [
    'DROP EXTERNAL CONNECTION missing',
    '42501 user HOLDER does not have DROP privilege on external_connection missing',
    ['superuser', 'adminMember'],
  ],
  [
    'SHOW EXTERNAL CONNECTION c',
    '42501 must have USAGE privilege or be owner of the External Connection "c"',
    ['superuser', 'adminMember', 'owner', 'usage', 'all', 'usageGrantable', 'optionTaken', 'usageByPublic', 'usageByMembership'],
  ],
  [
    // Of a connection that nobody has used: rows of others are left out for those who may ask at all.
    'SHOW EXTERNAL CONNECTION c USAGE',
    '42501 must have USAGE privilege or be owner of the External Connection "c"',
    [
      'superuser',
      'adminMember',
      'owner',
      'usage',
      'drop',
      'all',
      'allButUsage',
      'usageGrantable',
      'optionTaken',
      'usageByPublic',
      'usageByMembership',
      'systemAll',
      'systemAllButMetadata',
    ],
  ],
  [
    'SHOW CREATE EXTERNAL CONNECTION c',
    '42501 must have VIEWCLUSTERMETADATA privilege or be owner of the External Connection "c"',
    ['superuser', 'adminMember', 'owner', 'metadata', 'systemAll'],
  ],
  [
    'SHOW CREATE ALL EXTERNAL CONNECTIONS',
    '42501 must have VIEWCLUSTERMETADATA privilege to run `SHOW CREATE ALL EXTERNAL CONNECTIONS`',
    ['superuser', 'adminMember', 'metadata', 'systemAll'],
  ],
  [
    'GRANT USAGE ON EXTERNAL CONNECTION c TO team',
    '42501 user HOLDER missing WITH GRANT OPTION privilege on one or more of USAGE',
    ['superuser', 'adminMember', 'owner', 'usageGrantable'],
  ],
  [
    'GRANT DROP, USAGE ON EXTERNAL CONNECTION c TO team',
    '42501 user HOLDER missing WITH GRANT OPTION privilege on one or more of DROP, USAGE',
    ['superuser', 'adminMember', 'owner'],
  ],
  [
    'REVOKE ALL ON EXTERNAL CONNECTION c FROM team',
    '42501 user HOLDER missing WITH GRANT OPTION privilege on one or more of ALL',
    ['superuser', 'adminMember', 'owner'],
  ],
  [
    'GRANT SYSTEM VIEWJOB TO team',
    '42501 user HOLDER missing WITH GRANT OPTION privilege on one or more of VIEWJOB',
    ['superuser', 'adminMember'],
  ],
  [
    'SHOW GRANTS ON EXTERNAL CONNECTION c',
    '42501 must have USAGE privilege or be owner of the External Connection "c"',
    [
      'superuser',
      'adminMember',
      'owner',
      'usage',
      'drop',
      'all',
      'allButUsage',
      'usageGrantable',
      'optionTaken',
      'usageByPublic',
      'usageByMembership',
      'metadata',
      'systemAll',
    ],
  ],
  ...[
    "CHECK EXTERNAL CONNECTION 'external://c/x' WITH transfer = '1kB'",
    "SHOW BACKUPS IN 'external://c/x'",
    "SHOW BACKUP FROM LATEST IN 'external://c' WITH as_json",
  ].map(
    (statement) =>
      [
        statement,
        '42501 user HOLDER does not have USAGE privilege on external_connection c',
        ['superuser', 'adminMember', 'owner', 'usage', 'all', 'usageGrantable', 'optionTaken', 'usageByPublic', 'usageByMembership'],
      ] as const,
  ),
  [
    "SHOW BACKUPS IN 'nodelocal://1/x'",
    '42501 only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified nodelocal URI',
    ['superuser', 'adminMember', 'systemAll', 'systemAllButMetadata'],
  ],
];

for (const version of [15, 18] as const) {
  describe(`who may do what, PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: Lab;
    let admin: Session;
    let serial = 0;
    before(async () => {
      lab = await Lab.start(version, { adminRole: 'pgpier_admin' });
      admin = await lab.session();
      await admin.foreign('create role pgpier_admin; create role owner login; create role team');
      await admin.run('GRANT SYSTEM EXTERNALCONNECTION TO owner');
    });
    after(async () => lab.stop());

    /** A role that holds exactly that, on a `c` of its own time. */
    async function holder(holding: Holding): Promise<{ readonly role: string; readonly session: Session }> {
      serial += 1;
      const role = `holder_${serial}`;
      await admin.run('DROP EXTERNAL CONNECTION c; DROP EXTERNAL CONNECTION made');
      await admin.foreign('set role owner');
      await admin.run("CREATE EXTERNAL CONNECTION c AS 'nodelocal://self/c'");
      await admin.foreign('reset role');
      await admin.foreign(`create role ${role} login ${holding === 'superuser' ? 'superuser' : ''}`);
      for (const step of holdings[holding]) {
        const text = step.replace('HOLDER', role);
        await (/^[A-Z]/.test(text) ? admin.run(text) : admin.foreign(text));
      }
      return { role, session: await lab.session(role) };
    }

    for (const holding of Object.keys(holdings) as Holding[]) {
      test(`with ${holding}: what is allowed and what is refused`, async () => {
        for (const [statement, refusal, allowed] of matrix) {
          const { role, session } = await holder(holding);
          if (allowed.includes(holding)) await session.run(statement);
          else assert.equal(await session.refusal(statement), refusal.replace('HOLDER', role), statement);
          await session.client.end();
        }
      });
    }

    test('the current role asks, not the one that logged in: SET ROLE and SET LOCAL ROLE', async () => {
      const { role, session } = await holder('nothing');
      await admin.foreign(`grant owner to ${role}; alter role ${role} noinherit`);
      await admin.foreign(`revoke owner from ${role}; grant owner to ${role}`);
      assert.deepEqual(await session.names(), []);
      await session.foreign('set role owner');
      assert.deepEqual(await session.names(), ['c']);
      await session.foreign('reset role');
      await session.foreign('begin');
      await session.foreign('set local role owner');
      assert.deepEqual(await session.names(), ['c']);
      await session.foreign('commit');
      assert.deepEqual(await session.names(), []);
      const superuser = await lab.session();
      await superuser.foreign(`set role ${role}`);
      assert.deepEqual(await superuser.names(), []);
    });

    test('ALTER ROLE RENAME keeps rights; a role made anew under the name of a dropped one has none', async () => {
      const { role, session } = await holder('usage');
      await session.client.end();
      await admin.foreign(`alter role ${role} rename to renamed`);
      const renamed = await lab.session('renamed');
      assert.deepEqual(await renamed.names(), ['c']);
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c'), [
        ['c', 'owner', 'ALL', false],
        ['c', 'renamed', 'USAGE', false],
      ]);
      await renamed.client.end();
      await admin.foreign('drop role renamed');
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c'), [['c', 'owner', 'ALL', false]]);
      await admin.foreign('create role renamed login');
      assert.deepEqual(await (await lab.session('renamed')).names(), []);
      const pool = new pg.Pool({ connectionString: lab.server.connectionString('pgpier') });
      const count = async () => (await pool.query('select count(distinct grantee)::int as n from pgpier.privilege')).rows[0].n;
      const before = await count();
      await sweep(pool, lab.catalog.service, collectingLog());
      assert.equal(await count(), before - 1);
      await pool.end();
    });

    test('a role that was dropped under its own session may do nothing', async () => {
      const { role, session } = await holder('all');
      await admin.foreign(`drop role ${role}`);
      assert.match(await refusalOfShow(session, role), /^42704 role "holder_\d+" does not exist$/);
    });

    async function refusalOfShow(session: Session, role: string): Promise<string> {
      session.asker = async () => ({ role, sessionUser: role, database: 'postgres', searchPath: '', settings: {} });
      return session.refusal('SHOW EXTERNAL CONNECTIONS');
    }

    test('the creator holds ALL without grant option; taking USAGE leaves the rest and the view of it, not the use', async () => {
      await holder('nothing');
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c'), [['c', 'owner', 'ALL', false]]);
      await admin.run('REVOKE USAGE ON EXTERNAL CONNECTION c FROM owner');
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c FOR owner'), [
        ['c', 'owner', 'DROP', false],
        ['c', 'owner', 'UPDATE', false],
      ]);
    });

    test('a grant option can be handed on, and only what is held with it', async () => {
      const { session } = await holder('usageGrantable');
      await session.run('GRANT USAGE ON EXTERNAL CONNECTION c TO team, PUBLIC, CURRENT_USER');
      await session.run('GRANT USAGE ON EXTERNAL CONNECTION c TO team WITH GRANT OPTION');
      assert.match(await session.refusal('GRANT ALL ON EXTERNAL CONNECTION c TO team'), /one or more of ALL$/);
      const rows = await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c FOR team, PUBLIC');
      assert.deepEqual(rows, [
        ['c', 'public', 'USAGE', false],
        ['c', 'team', 'USAGE', true],
      ]);
    });

    test('words and roles that do not exist are refused before anything is changed', async () => {
      await holder('nothing');
      assert.equal(
        await admin.refusal('GRANT USAGE, SELECT ON EXTERNAL CONNECTION c TO team'),
        '0LP01 invalid privilege type SELECT for external_connection',
      );
      assert.equal(await admin.refusal('GRANT SYSTEM USAGE TO team'), '0LP01 invalid privilege type USAGE for system');
      assert.equal(await admin.refusal('GRANT USAGE ON EXTERNAL CONNECTION c TO team, nobody'), '42704 role "nobody" does not exist');
      assert.equal(
        await admin.refusal('GRANT USAGE ON EXTERNAL CONNECTION c, missing TO team'),
        '42704 failed to resolve External Connection: external connection with name missing does not exist',
      );
      assert.equal(
        await admin.refusal('GRANT USAGE ON EXTERNAL CONNECTION c TO PUBLIC WITH GRANT OPTION'),
        '0LP01 grant options can only be granted to roles',
      );
      assert.match(await admin.refusal(`GRANT USAGE ON EXTERNAL CONNECTION c TO "${'team'.padEnd(64, 'x')}"`), /^42704/);
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c'), [['c', 'owner', 'ALL', false]]);
    });

    test('SHOW SYSTEM GRANTS shows all to those who see metadata, and to others what concerns them', async () => {
      const { role, session } = await holder('external');
      await admin.run(`GRANT SYSTEM VIEWJOB, CONTROLJOB TO team WITH GRANT OPTION`);
      assert.deepEqual(await session.show('SHOW SYSTEM GRANTS'), [[role, 'EXTERNALCONNECTION', false]]);
      assert.deepEqual(await admin.show(`SHOW SYSTEM GRANTS FOR team, ${role}`), [
        [role, 'EXTERNALCONNECTION', false],
        ['team', 'CONTROLJOB', true],
        ['team', 'VIEWJOB', true],
      ]);
      await admin.run('REVOKE GRANT OPTION FOR SYSTEM VIEWJOB FROM team; REVOKE SYSTEM CONTROLJOB FROM team');
      assert.deepEqual(await admin.show('SHOW SYSTEM GRANTS FOR team'), [['team', 'VIEWJOB', false]]);
      await admin.run('REVOKE SYSTEM ALL FROM team');
    });

    test('granting twice is granting once, also by two sessions at the same time', async () => {
      await holder('nothing');
      const sessions = await Promise.all([1, 2, 3].map(async () => lab.session()));
      await Promise.all(sessions.map(async (session) => session.run('GRANT USAGE ON EXTERNAL CONNECTION c TO team')));
      assert.deepEqual(await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION c FOR team'), [['c', 'team', 'USAGE', false]]);
    });
  });
}
