/** Statements that write to and read from Google Cloud Storage, by a driver, on fake-gcs-server. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { serveTokens, serviceAccount } from '../external/serviceAccount.ts';
import { type GcsServer, startGcs } from '../servers/gcs.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

describe('statements on Google Cloud Storage', { skip: missingPostgres(18) }, () => {
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  let server: GcsServer | { readonly missing: string };
  before(async () => {
    server = await startGcs();
    if ('missing' in server) return;
    postgres = await startPostgres({ version: 18 });
    proxy = await startPgpier({ backend: postgres });
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
  const objects = async ({ endpoint, bucket }: GcsServer, prefix: string): Promise<string[]> => {
    const answer = await fetch(`${endpoint}/storage/v1/b/${bucket}/o?prefix=${encodeURIComponent(prefix)}`);
    const { items } = (await answer.json()) as { items?: { name: string }[] };
    return (items ?? []).map(({ name }) => name);
  };

  test('EXPORT, BACKUP, SHOW BACKUP, RESTORE and CHECK by a connection’s name', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const uri = `gs://${server.bucket}/${path}?BEARER_TOKEN=hush-hush&GOOGLE_ENDPOINT=${encodeURIComponent(server.endpoint)}`;
    await client.query(`CREATE EXTERNAL CONNECTION lake AS '${uri}'`);
    const [exported] = (await client.query("EXPORT INTO CSV 'external://lake/out' FROM SELECT n, 'é' FROM generate_series(1, 3) n")).rows;
    const file = await fetch(
      `${server.endpoint}/storage/v1/b/${server.bucket}/o/${encodeURIComponent(`${path}/out/${exported.filename}`)}?alt=media`,
    );
    assert.equal(await file.text(), '1,é\n2,é\n3,é\n');

    await client.query('CREATE DATABASE movr');
    const inside = new pg.Client({ connectionString: proxy.connectionString('movr') });
    await inside.connect();
    await inside.query('CREATE TABLE rides AS SELECT n AS id, md5(n::text) AS name FROM generate_series(1, 5000) n');
    await inside.end();
    await client.query("BACKUP DATABASE movr INTO 'external://lake/backups'");
    assert.equal((await client.query("SHOW BACKUPS IN 'external://lake/backups'")).rows.length, 1);
    const shown = (await client.query("SHOW BACKUP FROM LATEST IN 'external://lake/backups' WITH check_files")).rows;
    assert.ok(shown.some(({ object_name, rows }) => object_name === 'rides' && Number(rows) === 5000));
    await client.query("RESTORE DATABASE movr FROM LATEST IN 'external://lake/backups' WITH new_db_name = 'movr2'");
    const restored = new pg.Client({ connectionString: proxy.connectionString('movr2') });
    await restored.connect();
    const { rows } = await restored.query('SELECT count(*)::int AS count, min(name) AS first FROM rides');
    await restored.end();
    assert.deepEqual(rows, [{ count: 5000, first: '0004d0b59e19461ff126e3a08a814c33' }]);

    const [checked] = (await client.query("CHECK EXTERNAL CONNECTION 'external://lake' WITH TRANSFER = '9MiB'")).rows;
    assert.deepEqual([checked.ok, checked.error, checked.can_delete], [true, null, true]);
    assert.deepEqual(
      (await objects(server, path)).filter((name) => name.includes('pgpier_check')),
      [],
    );
    const { connection_uri: redacted } = (await client.query('SHOW EXTERNAL CONNECTION lake')).rows[0];
    assert.match(redacted, /^gs:\/\/pgpier-test\/statements-.*BEARER_TOKEN=redacted/);
    assert.doesNotMatch(proxy.output(), /hush-hush/);
  });

  test('Databend’s form: a key of a service account, and the bucket behind the name', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const credential = serviceAccount(await serveTokens(t, 'for-the-key'));
    await client.query(`CREATE CONNECTION toronto STORAGE_TYPE = 'GCS' CREDENTIAL = '${credential}' ENDPOINT_URL = '${server.endpoint}'`);
    assert.deepEqual((await client.query('DESC CONNECTION toronto')).rows, [
      {
        name: 'toronto',
        storage_type: 'gcs',
        storage_params: `credential=${credential.slice(0, 2)}***${credential.slice(-2)} endpoint_url=${server.endpoint.slice(0, 2)}***${server.endpoint.slice(-2)}`,
      },
    ]);
    const [checked] = (
      await client.query(`CHECK EXTERNAL CONNECTION 'external://toronto/${server.bucket}/${path}/databend' WITH TRANSFER = '1MiB'`)
    ).rows;
    assert.deepEqual([checked.ok, checked.error], [true, null]);
    assert.match(
      (await client.query('SHOW EXTERNAL CONNECTION toronto')).rows[0].connection_uri,
      /^gs:\/\/\?CREDENTIALS=redacted&GOOGLE_ENDPOINT=http/,
    );
    for (const [options, message] of [
      ["ACCESS_KEY_ID = 'x'", /connection params invalid: expected \[credential,endpoint_url\], got \[access_key_id\]/],
      ["ENDPOINT_URL = 'http://h'", /credential is not set/],
      ["CREDENTIAL = 'nonsense!'", /error getting credentials from CREDENTIALS: illegal base64 data at input byte 8/],
    ] as const)
      await assert.rejects(client.query(`CREATE CONNECTION x STORAGE_TYPE = 'gcs' ${options}`), { message, code: '22023' });
  });

  test('an endpoint of one’s own needs the privilege, and a role without it is told so', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    await client.query('CREATE ROLE limited LOGIN');
    const user = new pg.Client({ connectionString: proxy.connectionString('postgres', 'limited') });
    await user.connect();
    try {
      const uri = `gs://${server.bucket}/${path}?BEARER_TOKEN=t&GOOGLE_ENDPOINT=${encodeURIComponent(server.endpoint)}`;
      await assert.rejects(user.query(`EXPORT INTO CSV '${uri}' FROM SELECT 1`), {
        code: '42501',
        message:
          'only users with the admin role or the EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified gs URI',
      });
    } finally {
      await user.end();
    }
  });
});
