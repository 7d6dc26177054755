/** Statements on http:// as clients send them, before nginx. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import pg from 'pg';
import { type Nginx, startNginx } from '../servers/nginx.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

let missing = missingPostgres(15);
let nginx: Nginx;
let postgres: Postgres;
let proxy: Pgpier;
let admin: pg.Client;

before(async () => {
  if (missing) return;
  const web = await startNginx();
  if ('missing' in web) {
    missing = web.missing;
    return;
  }
  nginx = web;
  postgres = await startPostgres({ version: 15 });
  proxy = await startPgpier({ backend: postgres });
  admin = await connect(proxy, 'postgres');
  await admin.query('create role limited login');
});
after(async () => {
  await admin?.end();
  await proxy?.stop();
  await postgres?.stop();
  await nginx?.stop();
});

async function connect(to: Pgpier, role: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: to.connectionString('postgres', role) });
  await client.connect();
  return client;
}

const withServers = (title: string, body: (t: TestContext) => Promise<void>) =>
  test(title, async (t) => (missing ? t.skip(missing) : body(t)));

withServers('EXPORT writes to a web server', async () => {
  const { rows } = await admin.query(
    `export into csv 'http://${nginx.plain}/exports/a' with compression = gzip, chunk_rows = '2' from select n from generate_series(1, 3) n`,
  );
  assert.deepEqual(
    rows.map((row) => row.rows),
    ['2', '1'],
  );
  for (const { filename, bytes } of rows) assert.equal(readFileSync(join(nginx.root, 'exports/a', filename)).length, Number(bytes));
});

withServers('an EXPORT that fails takes back what the web server has', async () => {
  await assert.rejects(
    admin.query(
      `export into csv 'http://${nginx.plain}/exports/b' with chunk_rows = '50000' from select 1 / (400000 - n) from generate_series(1, 400000) n`,
    ),
    { code: '22012' },
  );
  assert.ok(!nginx.requests().some((line) => line.startsWith('PUT') && !line.startsWith('PUT 20')));
  const left = nginx.requests().filter((line) => line.startsWith('DELETE 204')).length;
  assert.ok(left > 0, 'what was finished is deleted again');
});

withServers('what needs a listing says so at once', async () => {
  const uri = `'http://${nginx.plain}/backups'`;
  for (const [statement, word] of [
    [`backup database postgres into ${uri}`, 'BACKUP'],
    [`backup database postgres into ${uri} with detached`, 'BACKUP'],
    [`restore database postgres from latest in ${uri} with new_db_name = 'x'`, 'RESTORE'],
    [`show backups in ${uri}`, 'SHOW BACKUPS'],
    [`show backup from latest in ${uri}`, 'SHOW BACKUP'],
  ] as const)
    await assert.rejects(admin.query(statement), {
      code: '0A000',
      message: `${word} cannot use http storage, which has no listing`,
    });
});

withServers('a connection of this scheme is a web server to EXPORT, and its certificates stay here', async () => {
  const ca = encodeURIComponent(readFileSync(nginx.ca).toString('base64'));
  const userinfo = `${nginx.user}:${encodeURIComponent(nginx.password)}`;
  await admin.query(`create external connection web as 'https://${userinfo}@${nginx.tls}/web?ca_cert=${ca}'`);
  const { rows } = await admin.query("export into csv 'external://web/deep' from select 'x'");
  assert.equal(readFileSync(join(nginx.root, 'web/deep', rows[0].filename), 'utf8'), 'x\n');
  await assert.rejects(admin.query("backup database postgres into 'external://web/backups'"), { code: '0A000' });
  const shown = await admin.query('show external connections');
  assert.equal(shown.rows[0].connection_uri, `https://ann:redacted@${nginx.tls}/web?ca_cert=redacted`);
  await assert.rejects(admin.query(`export into csv 'http://${nginx.plain}/x?ca_cert=${ca}' from select 1`), {
    code: '22023',
    message: 'ca_cert requires https',
  });
});

withServers('CHECK of a URI tries it as storage', async () => {
  const { rows } = await admin.query(`check external connection 'http://${nginx.plain}/check' with transfer = '9MiB'`);
  assert.deepEqual([rows[0].ok, rows[0].error, rows[0].can_delete, rows[0].transferred], [true, null, true, '9 MiB']);
  assert.deepEqual(readdirSync(join(nginx.root, 'check')), []);
});

withServers('others than admins need EXTERNALIOIMPLICITACCESS, and then reach no private address', async () => {
  const user = await connect(proxy, 'limited');
  try {
    const statement = `export into csv 'http://${nginx.plain}/exports/c' from select 1`;
    await assert.rejects(user.query(statement), {
      code: '42501',
      message: /EXTERNALIOIMPLICITACCESS system privilege are allowed to access the specified http URI$/,
    });
    await admin.query('grant system externalioimplicitaccess to limited');
    await assert.rejects(user.query(statement), { code: '42501', message: /is not allowed: it is a loopback or private address$/ });
  } finally {
    await user.end();
  }
});

withServers('an operator may forbid it to everybody', async () => {
  const env = {
    PGPIER_EXTERNAL_IO_DISABLE_HTTP: 'on',
    PGPIER_NODE_ID: '2',
    PGPIER_SECRET_KEY_FILE: join(proxy.dataDirectory, 'secret.key'),
  };
  const closed = await startPgpier({ backend: postgres, env });
  try {
    const client = await connect(closed, 'postgres');
    await assert.rejects(client.query(`export into csv 'http://${nginx.plain}/exports/d' from select 1`), {
      code: '42501',
      message: 'external http access disabled',
    });
    await client.end();
  } finally {
    await closed.stop();
  }
});
