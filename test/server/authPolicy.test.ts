/** Which way of carrying passwords PGPIER_AUTH comes to, decided alone and by a proxy that starts before a real PostgreSQL. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type AuthSetting, decideAuthMethod } from '../../server/authPolicy.ts';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { makeCertificate, psql } from './loginLab.ts';

async function decided(setting: AuthSetting, clientTls: boolean, backendTls: boolean, mayRead: boolean): Promise<string> {
  let line = '';
  const log = { info: (_: object, text: string) => (line = text) } as never;
  const verifiers = { mayRead: async () => mayRead, read: async () => undefined };
  const method = await decideAuthMethod({ setting, clientTls, backendTls, role: 'pier "x"', verifiers }, log);
  assert.ok(line.startsWith(`passwords: ${method.kind}, `), line);
  return method.kind === 'scram' && method.only ? 'scram only' : method.kind;
}

test('auto takes the strongest that works', async () => {
  assert.equal(await decided('auto', false, false, true), 'passthrough');
  assert.equal(await decided('auto', true, false, true), 'scram');
  assert.equal(await decided('auto', false, true, true), 'scram');
  assert.equal(await decided('cert', true, true, true), 'scram');
  assert.equal(await decided('auto', true, true, false), 'password');
  assert.equal(await decided('auto', true, false, false), 'passthrough');
  assert.equal(await decided('auto', false, true, false), 'passthrough');
  assert.equal(await decided('password', true, true, true), 'password');
  assert.equal(await decided('scram', true, true, true), 'scram only');
  await assert.rejects(
    decided('scram', true, true, false),
    /GRANT SELECT \(rolname, rolpassword\) ON pg_catalog\.pg_authid TO "pier ""x"""/,
  );
});

test('with certificates on both connections a proxy without further settings passes channel binding on', async (t) => {
  const missing = missingPostgres(18);
  if (missing) return t.skip(missing);
  const home = mkdtempSync(join(tmpdir(), 'pgpier-auth-'));
  const certificate = makeCertificate();
  writeFileSync(join(home, 'tls.crt'), certificate.cert);
  writeFileSync(join(home, 'tls.key'), certificate.key);
  const postgres = await startPostgres({
    version: 18,
    ssl: certificate,
    hba: 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n',
  });
  const admin = `host=${postgres.socketDir} port=${postgres.port} user=postgres`;
  assert.equal((await psql(admin, "alter role postgres password 'right'; create role alice login password 'wonder land'")).error, '');
  const env = {
    PGPIER_BACKEND: `postgres://postgres:right@127.0.0.1:${postgres.port}/postgres?sslmode=require`,
    PGPIER_TLS_CERT: join(home, 'tls.crt'),
    PGPIER_TLS_KEY: join(home, 'tls.key'),
    PGPIER_LOG_LEVEL: 'info',
  };
  const proxy = await startPgpier({ backend: postgres, env });
  t.after(async () => {
    await proxy.stop();
    await postgres.stop();
    rmSync(home, { recursive: true, force: true });
  });
  const conninfo = `host=127.0.0.1 port=${proxy.port} user=alice dbname=postgres password='wonder land' sslmode=require channel_binding=require`;
  const sql = 'select current_user';
  const { out, error } = await psql(conninfo, sql);
  assert.deepEqual([out, error], ['alice', '']);
  assert.match(proxy.stderr(), /passwords: scram, with channel binding/);
});
