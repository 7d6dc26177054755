/** PGPIER_BACKEND: the same proxy before a PostgreSQL 15 that asks for SCRAM over TLS; and the lines that tell why it cannot. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import pg from 'pg';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const missing = missingPostgres(15);
const skip = missing;
const scratch = mkdtempSync(join(tmpdir(), 'pgpier-backend-'));
const cert = join(scratch, 'cert.pem');
const key = join(scratch, 'key.pem');
/** Every proxy before one catalog has the same. */
const secretKey = 'ab'.repeat(32);
let backend: Postgres;

before(async () => {
  if (skip) return;
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', [...request, '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert], {
    stdio: 'ignore',
  });
  backend = await startPostgres({
    version: 15,
    ssl: { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') },
    hba: 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhostssl all all ::1/128 scram-sha-256\n',
  });
  const client = new pg.Client({ host: backend.socketDir, port: backend.port, user: 'postgres', database: 'postgres' });
  await client.connect();
  await client.query("alter role postgres password 'right'");
  await client.end();
});
after(async () => {
  await backend?.stop();
  rmSync(scratch, { recursive: true, force: true });
});

const url = (host: string, sslmode: string, extra = ''): string =>
  `postgres://postgres@${host}:${backend.port}/postgres?sslmode=${sslmode}${extra}`;

/** The last line that a start which fails prints. */
async function refusal(env: Record<string, string>): Promise<string> {
  const started = await startPgpier({ env: { PGPIER_LOG_LEVEL: 'silent', ...env } }).catch((error: Error) => error);
  if (!(started instanceof Error)) {
    await started.stop();
    assert.fail('it started');
  }
  return started.message.trim().split('\n').slice(1).join('\n').trim();
}

test('a server with TLS and SCRAM stands behind the proxy, with the catalog in it', { skip }, async () => {
  const environments = [
    { PGPIER_BACKEND: url('127.0.0.1', 'require'), PGPASSWORD: 'right' },
    { PGPIER_BACKEND: url('localhost', 'verify-full', `&sslrootcert=${encodeURIComponent(cert)}&password=right`), PGPIER_AUTH: 'password' },
  ];
  for (const env of environments) {
    const proxy = await startPgpier({ env: { ...env, PGPIER_SECRET_KEY: secretKey } });
    try {
      const client = new pg.Client({ host: '127.0.0.1', port: proxy.port, user: 'postgres', database: 'postgres', password: 'right' });
      await client.connect();
      const { rows } = await client.query(
        "select current_setting('server_version_num')::int / 10000 as major, ssl from pg_stat_ssl where pid = pg_backend_pid()",
      );
      assert.deepEqual(rows, [{ major: 15, ssl: true }]);
      await client.query('show external connections');
      await client.end();
      assert.ok(!proxy.output().includes('right'));
    } finally {
      await proxy.stop();
    }
  }
});

test('what keeps the service login out is told in one line', { skip }, async () => {
  assert.match(
    await refusal({ PGPIER_BACKEND: url('127.0.0.1', 'require'), PGPASSWORD: 'wrong' }),
    /^pgpier: cannot start: cannot log in to the backend at 127\.0\.0\.1:\d+ as "postgres", database "postgres": password authentication failed.*$/,
  );
  assert.match(
    await refusal({ PGPIER_BACKEND: url('127.0.0.1', 'verify-full'), PGPASSWORD: 'right' }),
    /^pgpier: cannot start: .*(self-signed|certificate).*$/,
  );
  assert.match(await refusal({ PGPIER_BACKEND: 'postgres://u@127.0.0.1:1/db' }), /^pgpier: cannot start: .* connection refused$/);
});

test('an unreachable catalog is told in one line', { skip }, async () => {
  const env = { PGPIER_BACKEND: url('127.0.0.1', 'require'), PGPASSWORD: 'right' };
  assert.match(
    await refusal({ ...env, PGPIER_CATALOG: 'postgres://u@127.0.0.1:1/db' }),
    /^pgpier: cannot start: cannot log in to the catalog at .* connection refused$/,
  );
});

test('a catalog in a database of its own is found by its URL', { skip }, async () => {
  const admin = new pg.Client({ host: backend.socketDir, port: backend.port, user: 'postgres', database: 'postgres' });
  await admin.connect();
  await admin.query('create database "own catalog"');
  await admin.end();
  const proxy = await startPgpier({
    env: {
      PGPIER_BACKEND: url('127.0.0.1', 'require'),
      PGPIER_CATALOG: `postgres://postgres@127.0.0.1:${backend.port}/own%20catalog?sslmode=require`,
      PGPASSWORD: 'right',
      PGPIER_SECRET_KEY: secretKey,
    },
  });
  await proxy.stop();
  const client = new pg.Client({ host: backend.socketDir, port: backend.port, user: 'postgres', database: 'own catalog' });
  await client.connect();
  const { rows } = await client.query("select count(*)::int as tables from information_schema.tables where table_schema = 'pgpier'");
  await client.end();
  assert.ok(rows[0].tables > 0);
});
