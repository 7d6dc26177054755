/** http and https storage on nginx. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type Nginx, startNginx } from '../servers/nginx.ts';
import { readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
let nginx: Nginx;
let missing: string | undefined;
before(async () => {
  const started = await startNginx();
  if ('missing' in started) missing = started.missing;
  else nginx = started;
});
after(() => nginx?.stop());

const open = (path: string) => openStorage({ uri: `http://${nginx.plain}/${path}`, trusted: true }, settings);
const file = (name: string, path: string) => join(nginx.root, name, path);

runStorageContract(
  'http',
  () => ({
    open,
    outside: {
      get: async (name, path) => readFileSync(file(name, path)),
      async put(name, path, bytes) {
        mkdirSync(dirname(file(name, path)), { recursive: true });
        writeFileSync(file(name, path), bytes);
      },
      async everything(name) {
        if (!existsSync(join(nginx.root, name))) return [];
        return readdirSync(join(nginx.root, name), { recursive: true, withFileTypes: true })
          .filter((entry) => !entry.isDirectory())
          .map((entry) => relative(join(nginx.root, name), join(entry.parentPath, entry.name)));
      },
    },
    ...(missing === undefined ? {} : { missing }),
  }),
  // nginx replaces whatever is there.
  { listing: false, partials: false, conditions: 'none' },
);

describe('http storage on nginx', () => {
  const test = (title: string, body: (t: TestContext) => Promise<void>) =>
    it(title, async (t) => (missing === undefined ? body(t) : t.skip(missing)));

  test('a range is asked for, and its bytes alone are sent', async () => {
    const storage = await open('ranges');
    await writeObject(storage, 'big', Buffer.alloc(1024 * 1024, 'x'));
    assert.equal((await readObject(storage, 'big', { start: 1000, end: 1100 })).length, 100);
    await storage.close();
    // nginx writes its log when the answer has left.
    for (let waited = 0; waited < 5_000 && !nginx.requests().at(-1)?.startsWith('GET'); waited += 20) await sleep(20);
    assert.equal(nginx.requests().at(-1), 'GET 206 100 bytes=1000-1099');
  });

  test('a query belongs to the URL', async () => {
    const storage = await openStorage({ uri: `http://${nginx.plain}/query?token=a%20b+c`, trusted: true }, settings);
    await writeObject(storage, 'x y', 'z');
    assert.equal(String(await readObject(storage, 'x y')), 'z');
    await storage.close();
    assert.equal(String(readFileSync(file('query', 'x y'))), 'z');
  });

  test('TLS needs a certificate that is trusted, and NODE_EXTRA_CA_CERTS says which is', async () => {
    const userinfo = `${nginx.user}:${encodeURIComponent(nginx.password)}`;
    const uri = `https://${userinfo}@${nginx.tls}/private`;
    const storage = await openStorage({ uri, trusted: true }, settings);
    await rejectsWith(() => readObject(storage, 'x'), '08001', /^TLS with https:\/\/localhost:\d+ failed: (UNABLE_TO|SELF_SIGNED)\w+$/);
    await storage.close();
    // Node reads the variable when it starts.
    const script = `
      import { openStorage } from ${JSON.stringify(new URL('../../external/storage/storages.ts', import.meta.url).href)};
      import { readObject, writeObject } from ${JSON.stringify(new URL('./storageContract.ts', import.meta.url).href)};
      const at = (uri) => openStorage({ uri, trusted: true }, ${JSON.stringify(settings)});
      const told = (error) => error.data.sqlstate + ' ' + error.message;
      const storage = await at(${JSON.stringify(uri)});
      await writeObject(storage, 'x', 'behind TLS');
      console.log(String(await readObject(storage, 'x')));
      for (const [other, path] of [['ann:wrong@', 'private'], ['', 'private'], [${JSON.stringify(`${userinfo}@`)}, 'fixed']])
        await at('https://' + other + ${JSON.stringify(nginx.tls)} + '/' + path).then((place) => writeObject(place, 'y', 'y')).catch((error) => console.log(told(error)));
      const small = await at(${JSON.stringify(uri.replace('private', 'small'))});
      for (const size of [2000, 20 * 1024 * 1024]) await writeObject(small, 'y', Buffer.alloc(size)).catch((error) => console.log(told(error)));
      const wrongName = await at(${JSON.stringify(uri.replace('localhost', '127.0.0.1'))});
      await readObject(wrongName, 'x').catch((error) => console.log(told(error)));
      process.exit();`;
    const lines = execFileSync(process.execPath, ['--no-warnings', '--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, NODE_EXTRA_CA_CERTS: nginx.ca },
    });
    const at = `https://${nginx.tls}`;
    assert.deepEqual(lines.trim().split('\n'), [
      'behind TLS',
      `28000 ${at}/private does not accept these credentials (HTTP 401)`,
      `28000 ${at}/private does not accept these credentials (HTTP 401)`,
      `42501 access denied: these credentials may not write at ${at}/fixed`,
      `54000 the object is larger than ${at}/small can take`,
      `54000 the object is larger than ${at}/small can take`,
      `08001 TLS with ${at.replace('localhost', '127.0.0.1')} failed: ERR_TLS_CERT_ALTNAME_INVALID`,
    ]);
    assert.equal(String(readFileSync(file('private', 'x'))), 'behind TLS');
  });

  test('loopback is for admins, or where the operator has opened it', async () => {
    const uri = `http://${nginx.plain}/x`;
    const closed = await openStorage({ uri, trusted: false }, settings);
    await rejectsWith(() => writeObject(closed, 'y', 'z'), '42501', /is not allowed: it is a loopback or private address$/);
    await rejectsWith(() => readObject(closed, 'y'), '42501', /is not allowed/);
    const opened = await openStorage({ uri, trusted: false }, { ...settings, allowedNetworks: ['127.0.0.0/8'] });
    await writeObject(opened, 'y', 'z');
    await Promise.all([closed.close(), opened.close()]);
  });
});
