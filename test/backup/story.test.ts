/** The story on S3: connect, back up, show, restore, drop; as superuser, as an owner with CREATEDB, as one with SELECT and USAGE alone. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { type MissingS3, type S3Server, startS3 } from '../servers/s3.ts';

const s3: S3Server | MissingS3 = missingPostgres(15) ? { missing: '' } : await startS3();
const missing = missingPostgres(15) || ('missing' in s3 ? s3.missing : false);

describe('the story on S3', { skip: missing }, () => {
  const storage = s3 as S3Server;
  const heard: string[] = [];
  const clients: pg.Client[] = [];
  let server: Postgres;
  let pgpier: Pgpier;
  before(async () => {
    server = await startPostgres({
      version: 15,
      settings: { log_statement: 'all', log_min_messages: 'debug1', track_activity_query_size: '16384' },
    });
    pgpier = await startPgpier({ backend: server, env: { PGPIER_LOG_LEVEL: 'trace' } });
    const admin = await connect('postgres', 'postgres', server.connectionString());
    for (const text of ['create role max login createdb', 'create role carl login', 'create database movr owner max'])
      await admin.query(text);
    const max = await connect('max', 'movr', server.connectionString('movr', 'max'));
    await (await connect('postgres', 'movr', server.connectionString('movr'))).query('alter schema public owner to max');
    await max.query(
      'create table vehicles (id int primary key, city text); insert into vehicles select i, i::text from generate_series(1, 5000) i',
    );
    await max.query('grant select on vehicles to carl');
  });
  after(async () => {
    for (const client of clients) await client.end().catch(() => {});
    await pgpier?.stop();
    await server?.stop();
    await storage.stop();
  });

  async function connect(user: string, database = 'movr', url = pgpier.connectionString(database, user)): Promise<pg.Client> {
    const client = new pg.Client(url);
    client.on('error', () => {});
    client.on('notice', ({ message, detail, hint }) => heard.push(`${message} ${detail} ${hint}`));
    await client.connect();
    clients.push(client);
    return client;
  }
  const uri = (path: string): string =>
    `s3://${storage.bucket}/${path}?AWS_ACCESS_KEY_ID=${storage.accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(storage.secretKey)}&AWS_REGION=us-east-1&AWS_ENDPOINT=${encodeURIComponent(storage.endpoint)}&AWS_USE_PATH_STYLE=true`;

  test('a superuser, with a connection and with a plain URI', async () => {
    const client = await connect('postgres');
    await client.query(`create external connection bucket as '${uri('movr')}'`);
    await client.query('grant usage on external connection bucket to max, carl');
    await client.query(`backup database movr into 'external://bucket'`);
    await client.query(`backup database movr into '${uri('plain')}'`);
    assert.equal((await client.query(`show backups in '${uri('plain')}'`)).rowCount, 1);
    const { rows } = await client.query(`restore database movr from latest in '${uri('plain')}' with new_db_name = 'movr_plain'`);
    assert.equal(Number(rows[0].rows), 5000);
    const { rows: jobs } = await client.query('show jobs');
    heard.push(JSON.stringify(jobs));
  });

  test('who owns movr and has CREATEDB and USAGE', async () => {
    const client = await connect('max');
    await client.query(`backup database movr into 'external://bucket'`);
    assert.equal((await client.query(`show backups in 'external://bucket'`)).rowCount, 2);
    await client.query(`show backup from latest in 'external://bucket' with check_files`);
    const { rows } = await client.query(`restore database movr from latest in 'external://bucket' with new_db_name = 'movr_max'`);
    assert.equal(Number(rows[0].rows), 5000);
    const copy = await connect('max', 'movr_max');
    assert.equal((await copy.query('select count(*)::int as n from vehicles')).rows[0].n, 5000);
    await assert.rejects(client.query('show create external connection bucket'), { code: '42501' });
  });

  test('who has SELECT and USAGE alone backs up, and is refused the rest', async () => {
    const client = await connect('carl');
    await client.query(`backup database movr into 'external://bucket'`);
    await assert.rejects(client.query('show create external connection bucket'), { code: '42501' });
    await assert.rejects(client.query('drop external connection bucket'), { code: '42501' });
    await assert.rejects(client.query(`restore database movr from latest in 'external://bucket' with new_db_name = 'carls'`), {
      code: '42501',
    });
    await assert.rejects(client.query(`backup database movr into '${uri('carl')}'`), { code: '42501' });
  });

  test('the server gone in mid-backup: a clear error, and the session goes on', {
    skip: 'kind' in s3 && s3.kind === 'environment' && 'PGPIER_TEST_S3: not ours to stop',
  }, async () => {
    const admin = await connect('postgres');
    await admin.query('drop external connection bucket');
    const writer = await connect('max', 'movr', server.connectionString('movr', 'max'));
    await writer.query(`insert into vehicles select i, repeat(md5(i::text), 20) from generate_series(6000, 200000) i`);
    const failed = admin.query(`backup database movr into '${uri('lost')}'`).then(
      () => assert.fail('no error'),
      (error: Error & { code: string }) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, 400));
    await storage.stop();
    const error = await failed;
    heard.push(error.message);
    assert.match(error.code, /^58|^08|^57014/, `${error.code} ${error.message}`);
    await admin.query('select 1');
  });

  test('the secret is in no log, notice or list of jobs', () => {
    const log = readFileSync(server.logFile, 'utf8');
    for (const secret of [storage.secretKey, encodeURIComponent(storage.secretKey)]) {
      assert.ok(!log.includes(secret), 'the log of PostgreSQL');
      assert.ok(!pgpier.output().includes(secret), 'the log of the proxy');
      assert.deepEqual(
        heard.filter((line) => line.includes(secret)),
        [],
      );
    }
  });
});
