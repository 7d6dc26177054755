/** The catalog's login as plain data means the same TLS as the login it was made from. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { openStorage } from '../../external/storage/storages.ts';
import { catalogLogin, findServiceLogin } from '../../server/serviceLogin.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

test('every sslmode reaches the catalog as the proxy itself does', {
  skip: missingPostgres(18) || (!hasOpenssl() && 'openssl: not installed'),
}, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgpier-catalog-tls-'));
  const [crt, key] = [join(directory, 'server.crt'), join(directory, 'server.key')];
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', crt, ...subject], {
    stdio: 'ignore',
  });
  const server = await startPostgres({
    version: 18,
    ssl: { cert: readFileSync(crt, 'utf8'), key: readFileSync(key, 'utf8') },
    hba: 'local all all trust\nhostssl all all 127.0.0.1/32 trust\n',
  });
  try {
    const base = { port: server.port, user: 'postgres', database: 'postgres' };
    const tlsOf = async (sslmode: 'prefer' | 'require' | 'verify-ca' | 'verify-full', rooted: boolean, host = 'localhost') => {
      const found = await findServiceLogin({ ...base, host, sslmode, ...(rooted && { sslrootcert: crt }) }, 'the catalog');
      const login = structuredClone(catalogLogin(found, found));
      assert.equal(login.tls.kind, 'on');
      // The tables are missing there: what answers is PostgreSQL, over TLS.
      const open = async (changed: object) => {
        const settings = { nodeId: 1, allowedNetworks: [], catalog: { ...login, ...changed } };
        const storage = await openStorage({ uri: 'userfile:///x', trusted: true, userfile: { owner: 10, name: '' } }, settings);
        try {
          await storage.delete('x');
          return 'done';
        } catch (error) {
          return (error as Error).message;
        } finally {
          await storage.close();
        }
      };
      assert.match(await open({}), /delete failed|open failed \(42P01\)|\(3F000\)/, sslmode);
      assert.match(await open({ tls: { kind: 'off' } }), /cannot reach PgPier's catalog: 28000/);
      return login.tls.kind === 'on' && [login.tls.verify, login.tls.ca !== undefined];
    };
    assert.deepEqual(await tlsOf('prefer', false), ['nothing', false]);
    assert.deepEqual(await tlsOf('require', false), ['nothing', false]);
    assert.deepEqual(await tlsOf('verify-ca', true, '127.0.0.1'), ['chain', true]);
    assert.deepEqual(await tlsOf('verify-full', true), ['name', true]);
  } finally {
    await server.stop();
    rmSync(directory, { recursive: true, force: true });
  }
});
