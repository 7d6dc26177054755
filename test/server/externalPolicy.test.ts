/** What an operator may forbid of the outside, to everybody or to roles other than admins. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const skip = missingPostgres(15);
let postgres: Postgres;
let proxy: Pgpier;
let admin: pg.Client;
let user: pg.Client;

before(async () => {
  if (skip) return;
  postgres = await startPostgres({ version: 15 });
  const env = {
    // Jobs are left to the proxy with another policy, below.
    PGPIER_WORKERS: '0',
    PGPIER_NAMED_CONNECTIONS_ONLY: 'on',
    PGPIER_EXTERNAL_IO_DISABLE_HTTP: 'on',
    PGPIER_EXTERNAL_IO_DISABLE_IMPLICIT_CREDENTIALS: 'on',
  };
  proxy = await startPgpier({ backend: postgres, env });
  admin = await connect('postgres');
  await admin.query('create role limited login');
  user = await connect('limited');
});
after(async () => {
  await admin?.end();
  await user?.end();
  await proxy?.stop();
  await postgres?.stop();
});

async function connect(role: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: proxy.connectionString('postgres', role) });
  await client.connect();
  return client;
}

test('with named connections alone a role writes no URI, and an admin does', { skip }, async () => {
  await admin.query("create external connection place as 'nodelocal://1/place'");
  await admin.query('grant usage on external connection place to limited');
  await admin.query('grant system externalioimplicitaccess to limited');
  for (const uri of ['nodelocal://1/place', 'userfile:///x', 's3://b?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s'])
    for (const statement of [`export into csv '${uri}' from select 1`, `show backups in '${uri}'`, `check external connection '${uri}'`])
      await assert.rejects(
        user.query(statement),
        { code: '42501', message: 'only admins may write URIs of storages on this server' },
        statement,
      );
  assert.equal((await user.query("export into csv 'external://place/x' from select 1")).rowCount, 1);
  assert.equal((await admin.query("export into csv 'nodelocal://1/place/y' from select 1")).rowCount, 1);
  await assert.rejects(user.query("export into csv 'nowhere://x' from select 1"), { code: '22023' });
});

test('custom endpoints and the machine’s own credentials are refused to admins too', { skip }, async () => {
  const keys = 'AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s';
  await assert.rejects(
    admin.query(`create external connection e as 's3://b?${keys}&AWS_ENDPOINT=http://127.0.0.1:1'`),
    /custom endpoints disallowed for s3 due to --external-io-disable-http flag/,
  );
  await assert.rejects(
    admin.query("create external connection e as 's3://b?AUTH=implicit'"),
    /implicit credentials disallowed for s3 due to --external-io-disable-implicit-credentials flag/,
  );
  const { rows } = await admin.query("check external connection 's3://b?AUTH=implicit'");
  assert.equal(rows[0].ok, false);
  assert.match(rows[0].error, /implicit credentials disallowed/);
});

test('places that are not on the operator’s list are refused to admins too, and through connections that were there before', {
  skip,
}, async (t) => {
  const listed = await startPgpier({
    backend: postgres,
    env: { PGPIER_ALLOWED_LOCATIONS: 'nodelocal://*/fine, s3:*', PGPIER_SECRET_KEY_FILE: join(proxy.dataDirectory, 'secret.key') },
  });
  const client = new pg.Client({ connectionString: listed.connectionString('postgres', 'postgres') });
  t.after(async () => {
    await client.end();
    await listed.stop();
  });
  await client.connect();
  const refusal = {
    code: '42501',
    message: /nodelocal:\/\/1\/place(\/x|\/b)? is not among the places that may be reached from this server/,
    hint: 'The setting PGPIER_ALLOWED_LOCATIONS lists them; the operator can add to it.',
  };
  await assert.rejects(client.query("export into csv 'external://place/x' from select 1"), refusal);
  await assert.rejects(client.query("backup database postgres into 'external://place/b'"), refusal);
  await assert.rejects(client.query("create external connection again as 'nodelocal://1/place'"), refusal);
  const { rows } = await client.query("check external connection 'external://place'");
  assert.match(rows[0].error, refusal.message);
  await client.query("create external connection fine as 'nodelocal://1/fine'");
  assert.equal((await client.query("export into csv 'external://fine/x' from select 1")).rowCount, 1);
});
