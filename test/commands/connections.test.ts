/** Databend's CONNECTION statements (spec: databend §1): the same objects as external connections, without a bucket. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { resolveStorage } from '../../jobs/destination.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { Lab, type Session } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';

const keys = "ACCESS_KEY_ID = 'minioadmin' SECRET_ACCESS_KEY = 'a+b/c&d'";

describe('CONNECTION', { skip: missingPostgres(15) }, () => {
  let lab: Lab;
  let admin: Session;
  let user: Session;
  before(async () => {
    lab = await Lab.start(15);
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

  test('CREATE dials nobody, and DESC and SHOW mask every value', async () => {
    const { rows, tag, notices } = await admin.run(
      `CREATE CONNECTION toronto STORAGE_TYPE = 'S3' endpoint_url = 'http://127.0.0.1:9900/' region = 'auto' ${keys}`,
    );
    assert.deepEqual({ rows, tag, notices }, { rows: [], tag: 'CREATE CONNECTION', notices: [] });
    assert.deepEqual(admin.workers.tasks, []);
    const row = [
      'toronto',
      's3',
      'access_key_id=mi***in enable_virtual_host_style=fa***se endpoint_url=ht***0/ region=*** secret_access_key=a+***&d',
    ];
    assert.deepEqual(await admin.show('DESC CONNECTION toronto'), [row]);
    assert.deepEqual(await admin.show('describe connection "toronto"'), [row]);
    await admin.run("CREATE EXTERNAL CONNECTION disk AS 'nodelocal://1/somewhere'");
    assert.deepEqual(await admin.show('SHOW CONNECTIONS'), [['disk', 'nodelocal', 'url=no***re'], row]);
  });

  test('it is an external connection whose first path segment is the bucket', async () => {
    const redacted =
      's3://?AWS_ACCESS_KEY_ID=minioadmin&AWS_ENDPOINT=http%3A%2F%2F127.0.0.1%3A9900%2F&AWS_REGION=auto&AWS_SECRET_ACCESS_KEY=redacted&AWS_USE_PATH_STYLE=true';
    assert.deepEqual(await admin.show('SHOW EXTERNAL CONNECTION toronto'), [['toronto', redacted, 'STORAGE']]);
    const query =
      'AWS_ACCESS_KEY_ID=minioadmin&AWS_ENDPOINT=http%3A%2F%2F127.0.0.1%3A9900%2F&AWS_REGION=auto&AWS_SECRET_ACCESS_KEY=a%2Bb%2Fc%26d&AWS_USE_PATH_STYLE=true';
    assert.equal((await resolve(admin, 'external://toronto/bucket/a/b')).uri, `s3://bucket/a/b?${query}`);
    assert.equal((await resolve(admin, 'external://toronto/bucket')).uri, `s3://bucket?${query}`);
    for (const place of ['', '/', '//'])
      await assert.rejects(resolve(admin, `external://toronto${place}`), /connection toronto names no bucket/, place);
    await assert.rejects(resolve(admin, 'external://toronto/bucket/../../x'), /leads outside the path of the external connection/);
  });

  test('SHOW CREATE gives a statement that makes it again', async () => {
    const [[, statement]] = (await admin.show('SHOW CREATE EXTERNAL CONNECTION toronto')) as [[string, string]];
    assert.match(statement, /^CREATE CONNECTION 'toronto' STORAGE_TYPE = 's3' /);
    await admin.run('DROP CONNECTION toronto');
    await admin.run(statement);
    assert.deepEqual(await admin.show('SHOW CREATE EXTERNAL CONNECTION toronto'), [['toronto', statement]]);
  });

  test('aliases, virtual host style, repeated keys and commas', async () => {
    await admin.run(
      "CREATE CONNECTION aliases STORAGE_TYPE = 's3', AWS_KEY_ID = 'one', aws_key_id = 'two', AWS_SECRET_KEY = 's', security_token = 't', ENABLE_VIRTUAL_HOST_STYLE = TRUE",
    );
    assert.equal(
      (await resolve(admin, 'external://aliases/b')).uri,
      's3://b?AWS_ACCESS_KEY_ID=two&AWS_SECRET_ACCESS_KEY=s&AWS_SESSION_TOKEN=t&AWS_USE_PATH_STYLE=false',
    );
  });

  test('a role is assumed with the keys, or without any with the machine’s own credentials', async () => {
    const role = "ROLE_ARN = 'arn:aws:iam::1:role/r' AWS_EXTERNAL_ID = 'a+b'";
    await admin.run(`CREATE CONNECTION assumed STORAGE_TYPE = 's3' ${keys} ${role}`);
    const encoded = 'ASSUME_ROLE=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr%3Bexternal_id%3Da%2Bb';
    assert.ok((await resolve(admin, 'external://assumed/b')).uri.endsWith(`&AWS_USE_PATH_STYLE=true&${encoded}`));
    await admin.run(`CREATE CONNECTION ambient STORAGE_TYPE = 's3' ${role}`);
    assert.equal((await resolve(admin, 'external://ambient/b')).uri, `s3://b?AUTH=implicit&AWS_USE_PATH_STYLE=true&${encoded}`);
    for (const name of ['assumed', 'ambient']) {
      const [[, statement]] = (await admin.show(`SHOW CREATE EXTERNAL CONNECTION ${name}`)) as [[string, string]];
      assert.match(statement, / (role_arn|ROLE_ARN) = 'arn:aws:iam::1:role\/r'.* (external_id|EXTERNAL_ID) = 'a\+b'/);
      await admin.run(`DROP CONNECTION ${name}`);
      await admin.run(statement);
      assert.deepEqual(await admin.show(`SHOW CREATE EXTERNAL CONNECTION ${name}`), [[name, statement]]);
    }
    await admin.run('GRANT CREATE CONNECTION ON *.* TO USER testuser');
    assert.match(await user.refusal(`CREATE CONNECTION x STORAGE_TYPE = 's3' ${role}`), /^42501 .*EXTERNALIOIMPLICITACCESS/);
    await admin.run('REVOKE CREATE CONNECTION ON *.* FROM testuser');
  });

  test('azblob is Azure Blob Storage', async () => {
    await admin.run(
      "CREATE CONNECTION blobs STORAGE_TYPE = 'azblob' ENDPOINT_URL = 'https://h.example/acct' ACCOUNT_NAME = 'acct' ACCOUNT_KEY = 'c2VjcmV0'",
    );
    assert.deepEqual(await admin.show('DESC CONNECTION blobs'), [
      ['blobs', 'azblob', 'account_key=c2***V0 account_name=*** endpoint_url=ht***ct'],
    ]);
    assert.equal(
      (await resolve(admin, 'external://blobs/container/path')).uri,
      'azure://container/path?AZURE_ACCOUNT_KEY=c2VjcmV0&AZURE_ACCOUNT_NAME=acct&AZURE_ENDPOINT=https%3A%2F%2Fh.example%2Facct',
    );
    assert.deepEqual(await admin.show('SHOW EXTERNAL CONNECTION blobs'), [
      ['blobs', 'azure://?AZURE_ACCOUNT_KEY=redacted&AZURE_ACCOUNT_NAME=acct&AZURE_ENDPOINT=https%3A%2F%2Fh.example%2Facct', 'STORAGE'],
    ]);
    await admin.run('DROP CONNECTION blobs');
  });

  test('IF NOT EXISTS leaves one alone, OR REPLACE changes it and keeps the rights, DROP IF EXISTS passes over', async () => {
    await admin.run(`CREATE CONNECTION c STORAGE_TYPE = 's3' ${keys}`);
    await admin.run('GRANT USAGE ON EXTERNAL CONNECTION c TO testuser');
    assert.equal(await admin.refusal(`CREATE CONNECTION c STORAGE_TYPE = 's3' ${keys}`), "42710 Connection 'c' already exists.");
    const kept = await admin.run("CREATE CONNECTION IF NOT EXISTS c STORAGE_TYPE = 's3' ACCESS_KEY_ID = 'x' SECRET_ACCESS_KEY = 'y'");
    assert.deepEqual(
      kept.notices.map(({ message }) => message),
      ["Connection 'c' already exists, skipping"],
    );
    assert.match((await resolve(user, 'external://c/b')).uri, /KEY_ID=minioadmin/);
    await admin.run("CREATE OR REPLACE CONNECTION c STORAGE_TYPE = 's3' ACCESS_KEY_ID = 'x' SECRET_ACCESS_KEY = 'y'");
    assert.match((await resolve(user, 'external://c/b')).uri, /KEY_ID=x&/);
    await admin.run('DROP CONNECTION c');
    assert.equal(await admin.refusal('DROP CONNECTION c'), "42704 Connection 'c' does not exist.");
    assert.equal(await admin.refusal('DESC CONNECTION c'), "42704 Connection 'c' does not exist.");
    const { notices } = await admin.run('DROP CONNECTION IF EXISTS c');
    assert.equal(notices[0]!.message, "Connection 'c' does not exist, skipping");
  });

  test('mistakes are told in Databend’s words, and nothing is kept', async () => {
    const before = await admin.names();
    for (const [text, refusal] of [
      [`CREATE CONNECTION x ${keys}`, '42601 STORAGE_TYPE is missing'],
      [`CREATE CONNECTION x STORAGE_TYPE = 's4' ${keys}`, '22023 invalid input parameter (protocol s4 is not supported yet.)'],
      [
        `CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} colour = 'red'`,
        /^22023 invalid input parameter \(connection params invalid: expected \[access_key_id,.*\], got \[colour\]\)$/,
      ],
      [`CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} ENABLE_VIRTUAL_HOST_STYLE = 'perhaps'`, /^22023 .*must be true or false/],
      ["CREATE CONNECTION x STORAGE_TYPE = 's3'", /^22023 .*access_key_id/],
      [
        `CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} ROLE_ARN = 'backup'`,
        '22023 invalid value for role_arn: a role is named by its ARN',
      ],
      [
        `CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} EXTERNAL_ID = 'abc'`,
        '22023 invalid value for external_id: it belongs to a role_arn',
      ],
      [`CREATE CONNECTION x STORAGE_TYPE = 's3' ROLE_ARN = 'arn:aws:iam::1:role/r' ACCESS_KEY_ID = 'x'`, /^22023 .*secret_access_key/],
      [`CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} MASTER_KEY = 'k'`, /^0A000 MASTER_KEY is not supported: nothing is encrypted/],
      [`CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys} ENDPOINT_URL = 'http://h/path'`, /^22023 AWS_ENDPOINT must be a host/],
      [
        "CREATE CONNECTION x STORAGE_TYPE = 'azblob' ACCOUNT_NAME = 'a' ACCOUNT_KEY = 'QQ=='",
        '22023 invalid input parameter (endpoint_url is required for storage azblob)',
      ],
      [
        "CREATE CONNECTION x STORAGE_TYPE = 'azblob' ENDPOINT_URL = 'https://a.example' ACCOUNT_KEY = 'QQ=='",
        "22023 AUTH is set to 'specified', but account_name is not set",
      ],
      [
        "CREATE CONNECTION x STORAGE_TYPE = 'azblob' ENDPOINT_URL = 'https://a.example' ACCOUNT_NAME = 'a' ACCOUNT_KEY = '!'",
        /^22023 AZURE_ACCOUNT_KEY/,
      ],
      [`CREATE CONNECTION '' STORAGE_TYPE = 's3' ${keys}`, /^42602 /],
    ] as const) {
      const found = await admin.refusal(text);
      if (typeof refusal === 'string') assert.equal(found, refusal);
      else assert.match(found, refusal, text);
    }
    assert.deepEqual(await admin.names(), before);
  });

  test('the rights are those of external connections', async () => {
    await admin.run(`CREATE CONNECTION mine STORAGE_TYPE = 's3' ${keys}`);
    assert.equal(
      await user.refusal(`CREATE CONNECTION x STORAGE_TYPE = 's3' ${keys}`),
      '42501 Permission denied: privilege [CreateConnection] is required on *.*',
    );
    assert.match(await user.refusal('DESC CONNECTION mine'), /^42501 must have USAGE privilege/);
    assert.match(await user.refusal('DROP CONNECTION mine'), /^42501 user testuser does not have DROP privilege/);
    assert.deepEqual(await user.show('SHOW CONNECTIONS'), []);
    await admin.run('GRANT ACCESS CONNECTION ON CONNECTION mine TO ROLE testuser');
    assert.deepEqual(await admin.show('SHOW GRANTS ON CONNECTION mine'), await admin.show('SHOW GRANTS ON EXTERNAL CONNECTION mine'));
    assert.deepEqual((await admin.show('SHOW GRANTS ON CONNECTION mine'))[1], ['mine', 'testuser', 'USAGE', false]);
    assert.equal((await user.show('DESC CONNECTION mine')).length, 1);
    await admin.run('REVOKE ACCESS CONNECTION ON CONNECTION mine FROM testuser');
    await admin.run('GRANT CREATE CONNECTION ON *.* TO USER testuser');
    assert.deepEqual(await admin.show('SHOW SYSTEM GRANTS FOR testuser'), [['testuser', 'EXTERNALCONNECTION', false]]);
    await admin.run('REVOKE CREATE CONNECTION ON *.* FROM testuser');
    assert.deepEqual(await admin.show('SHOW SYSTEM GRANTS FOR testuser'), []);
    await admin.run('GRANT SYSTEM EXTERNALCONNECTION TO testuser');
    await user.run(`CREATE CONNECTION his STORAGE_TYPE = 's3' ${keys}`);
    assert.match(
      await user.refusal(`CREATE OR REPLACE CONNECTION mine STORAGE_TYPE = 's3' ${keys}`),
      /^42501 user testuser does not have UPDATE privilege on external_connection mine$/,
    );
    assert.deepEqual(
      (await user.show('SHOW CONNECTIONS')).map(([name]) => name),
      ['his'],
    );
  });
});
