/** Statements on Azure Blob Storage (Azurite) and with a key of Azure Key Vault (a stand-in of ours), by a driver. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { clientSecret, type Entra, startEntra, tenant } from '../external/entra.ts';
import { type KeyVault, startKeyVault, version } from '../external/kms/keyVault.ts';
import { type Azurite, startAzurite, testContainer } from '../servers/azurite.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

describe('statements on Azure Blob Storage', { skip: missingPostgres(18) }, () => {
  let postgres: Postgres;
  let proxy: Pgpier;
  let client: pg.Client;
  let server: Azurite | { readonly missing: string };
  let entra: Entra | undefined;
  let vault: KeyVault | undefined;
  const ends: (() => void)[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'pgp-azure-'));
  before(async () => {
    server = await startAzurite();
    if ('missing' in server) return;
    postgres = await startPostgres({ version: 18 });
    const owner = { after: (end: () => void) => void ends.push(end) };
    entra = await startEntra(owner);
    vault = await startKeyVault(owner);
    const authorities = join(folder, 'authorities.pem');
    const env = { PGPIER_LOG_LEVEL: 'trace', NODE_EXTRA_CA_CERTS: authorities, AZURE_AUTHORITY_HOST: entra?.authority ?? '' };
    writeFileSync(authorities, [entra, vault].map((each) => (each ? readFileSync(each.certificate, 'utf8') : '')).join('\n'));
    proxy = await startPgpier({ backend: postgres, env });
    client = new pg.Client({ connectionString: proxy.connectionString() });
    await client.connect();
  });
  after(async () => {
    await client?.end();
    await proxy?.stop();
    await postgres?.stop();
    if (server && !('missing' in server)) await server.stop();
    for (const end of ends) end();
    rmSync(folder, { recursive: true, force: true });
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
      `CREATE TABLE rides AS SELECT n AS id, (SELECT string_agg(md5(n || ' ' || m), '') FROM generate_series(1, 30) m) AS name FROM generate_series(1, 20000) n`,
    );
    await client.query("BACKUP DATABASE movr INTO 'external://lake/backups'");
    assert.equal((await client.query("SHOW BACKUPS IN 'external://lake/backups'")).rows.length, 1);
    const shown = (await client.query("SHOW BACKUP FROM LATEST IN 'external://lake/backups' WITH check_files")).rows;
    assert.ok(shown.some(({ object_name, rows }) => object_name === 'rides' && Number(rows) === 20000));
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

  test('a key of Key Vault is a connection of type KMS, checked by encrypting and decrypting', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    if (vault === undefined) return t.skip('TLS: no openssl on the PATH');
    const parameters = `AZURE_VAULT_NAME=my-vault&AZURE_CLIENT_ID=client&AZURE_TENANT_ID=${tenant}&AZURE_ENDPOINT=${encodeURIComponent(vault.service)}`;
    const uri = (key: string, secret = clientSecret) =>
      `azure-kms:///${key}/${version}?AUTH=specified&${parameters}&AZURE_CLIENT_SECRET=${encodeURIComponent(secret)}`;
    await client.query(`CREATE EXTERNAL CONNECTION master AS '${uri('first')}'`);
    const [shown] = (await client.query('SHOW EXTERNAL CONNECTION master')).rows;
    assert.equal(shown.connection_type, 'KMS');
    assert.match(shown.connection_uri, /^azure-kms:\/\/\/redacted\?.*AZURE_CLIENT_SECRET=redacted/);
    const [checked] = (await client.query("CHECK EXTERNAL CONNECTION 'external://master'")).rows;
    assert.deepEqual([checked.ok, checked.error], [true, null]);
    const frame = 'failed to construct External Connection details: failed to create Azure KMS external connection: ';
    const create = (text: string) => client.query(`CREATE EXTERNAL CONNECTION other AS '${text}'`);
    await assert.rejects(create(uri('missing')), {
      code: '42704',
      message: `${frame}failed to encrypt marker content when setting up External Connection: azure-kms:///redacted: there is no such key`,
    });
    await assert.rejects(create(uri('first', 'wrong')), { code: '28000', message: /\(AADSTS7000215\)$/ });
    await assert.rejects(create(uri('first').replace(`/${version}`, '')), {
      code: '22023',
      message: `${frame}azure kms key must be of form 'id/version'`,
    });
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

  test('what is secret is shown nowhere and in no log', async (t) => {
    if ('missing' in server) return t.skip(server.missing);
    const { connection_uri: redacted } = (await client.query('SHOW EXTERNAL CONNECTION lake')).rows[0];
    assert.match(redacted, /^azure-blob:\/\/pgpier-test\/statements-.*AZURE_ACCOUNT_KEY=redacted&AZURE_ACCOUNT_NAME=pgpiertest/);
    const jobs = JSON.stringify((await client.query('SHOW JOBS')).rows);
    for (const secret of [server.key, encodeURIComponent(server.key), clientSecret, encodeURIComponent(clientSecret)]) {
      assert.ok(!jobs.includes(secret), 'SHOW JOBS');
      assert.ok(!proxy.output().includes(secret), 'the log of the proxy');
    }
  });
});
