/** Statements that write to and read from Azure Blob Storage, by a driver, on Azurite. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Azurite, startAzurite, testContainer } from '../servers/azurite.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

describe('statements on Azure Blob Storage', { skip: missingPostgres(18) }, () => {
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  let server: Azurite | { readonly missing: string };
  before(async () => {
    server = await startAzurite();
    if ('missing' in server) return;
    postgres = await startPostgres({ version: 18, settings: { log_statement: 'all' } });
    proxy = await startPgpier({ backend: postgres, env: { PGPIER_LOG_LEVEL: 'trace' } });
    client = new pg.Client({ connectionString: proxy.connectionString() });
    await client.connect();
  });
  after(async () => {
    await client?.end();
    await proxy?.stop();
    await postgres?.stop();
    if (server && !('missing' in server)) await server.stop();
  });

  const path = `statements-${process.pid}-${Date.now()}`;
  const uriOf = ({ container, account, key, service }: Azurite, scheme = 'azure') =>
    `${scheme}://${container}/${path}?AZURE_ACCOUNT_NAME=${account}&AZURE_ACCOUNT_KEY=${encodeURIComponent(key)}&AZURE_ENDPOINT=${encodeURIComponent(service)}`;
  const blobs = async (azurite: Azurite, prefix: string): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name } of testContainer(azurite).listBlobsFlat({ prefix, includeUncommitedBlobs: true })) names.push(name);
    return names;
  };
  const database = async (name: string, text: string): Promise<pg.QueryResult> => {
    const inside = new pg.Client({ connectionString: proxy.connectionString(name) });
    await inside.connect();
    try {
      return await inside.query(text);
    } finally {
      await inside.end();
    }
  };

  test('CREATE, EXPORT, BACKUP, SHOW BACKUP, RESTORE and CHECK by a connection’s name', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    await client.query(`CREATE EXTERNAL CONNECTION lake AS '${uriOf(server, 'azure-blob')}'`);
    assert.deepEqual(await blobs(server, path), [`${path}/crdb_external_storage_location`]);
    const [exported] = (await client.query("EXPORT INTO CSV 'external://lake/out' FROM SELECT n, 'é' FROM generate_series(1, 3) n")).rows;
    const file = await testContainer(server).getBlobClient(`${path}/out/${exported.filename}`).downloadToBuffer();
    assert.equal(String(file), '1,é\n2,é\n3,é\n');

    await client.query('CREATE DATABASE movr');
    // Some 20 MB compressed, so that it goes in blocks.
    await database(
      'movr',
      `CREATE TABLE rides AS SELECT n AS id, (SELECT string_agg(md5(n || ' ' || m), '') FROM generate_series(1, 30) m) AS name FROM generate_series(1, 30000) n`,
    );
    await client.query("BACKUP DATABASE movr INTO 'external://lake/backups'");
    assert.equal((await client.query("SHOW BACKUPS IN 'external://lake/backups'")).rows.length, 1);
    const shown = (await client.query("SHOW BACKUP FROM LATEST IN 'external://lake/backups' WITH check_files")).rows;
    assert.ok(shown.some(({ object_name, rows }) => object_name === 'rides' && Number(rows) === 30000));
    await client.query("RESTORE DATABASE movr FROM LATEST IN 'external://lake/backups' WITH new_db_name = 'movr2'");
    const sums = 'SELECT count(*)::int AS count, sum(hashtextextended(name, id)) AS sum FROM rides';
    assert.deepEqual((await database('movr2', sums)).rows, (await database('movr', sums)).rows);

    const [checked] = (await client.query("CHECK EXTERNAL CONNECTION 'external://lake' WITH TRANSFER = '9MiB'")).rows;
    assert.deepEqual([checked.ok, checked.error, checked.can_delete], [true, null, true]);
    assert.deepEqual(
      (await blobs(server, path)).filter((name) => name.includes('pgpier_check')),
      [],
    );
  });

  test('what is wrong is told at CREATE, in CockroachDB’s frame', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const create = (uri: string) => client.query(`CREATE EXTERNAL CONNECTION wrong AS '${uri}'`);
    const frame = 'failed to construct External Connection details: failed to create azure external connection: ';
    await assert.rejects(create(uriOf(server).replace('AZURE_ACCOUNT_NAME', 'x')), {
      code: '22023',
      message: `${frame}unknown azure query parameters: x`,
    });
    await assert.rejects(create(`azure://c?AZURE_ACCOUNT_KEY=QQ==`), {
      code: '22023',
      message: `${frame}azure uri missing "AZURE_ACCOUNT_NAME" parameter`,
    });
    await assert.rejects(create(uriOf(server).replace('pgpier-test', 'no-such-container')), {
      code: '58P01',
      message: /^failed to construct .* container does not exist: azure:\/\/no-such-container\//,
    });
  });

  test('Databend’s form: the container behind the name', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const { container, account, key, service } = server;
    await client.query(
      `CREATE CONNECTION toronto STORAGE_TYPE = 'AZBLOB' ENDPOINT_URL = '${service}' ACCOUNT_NAME = '${account}' ACCOUNT_KEY = '${key}'`,
    );
    const [checked] = (
      await client.query(`CHECK EXTERNAL CONNECTION 'external://toronto/${container}/${path}/databend' WITH TRANSFER = '1MiB'`)
    ).rows;
    assert.deepEqual([checked.ok, checked.error], [true, null]);
  });

  test('an endpoint of one’s own needs the privilege, and a role without it is told so', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    await client.query('CREATE ROLE limited LOGIN');
    const user = new pg.Client({ connectionString: proxy.connectionString('postgres', 'limited') });
    await user.connect();
    try {
      await assert.rejects(user.query(`EXPORT INTO CSV '${uriOf(server)}' FROM SELECT 1`), {
        code: '42501',
        message:
          'only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified azure URI',
      });
    } finally {
      await user.end();
    }
  });

  test('the key is shown nowhere and in no log', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const { connection_uri: redacted } = (await client.query('SHOW EXTERNAL CONNECTION lake')).rows[0];
    assert.match(redacted, /^azure-blob:\/\/pgpier-test\/statements-.*AZURE_ACCOUNT_KEY=redacted&AZURE_ACCOUNT_NAME=pgpiertest/);
    const jobs = JSON.stringify((await client.query('SHOW JOBS')).rows);
    for (const secret of [server.key, encodeURIComponent(server.key)]) {
      assert.ok(!jobs.includes(secret), 'SHOW JOBS');
      assert.ok(!proxy.output().includes(secret), 'the log of the proxy');
    }
  });
});
