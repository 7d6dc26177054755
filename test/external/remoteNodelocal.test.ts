/** `nodelocal://2` from elsewhere: the storage contract through a PgPier that is node 2, in a process of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { after, before } from 'node:test';
import { openCatalog } from '../../catalog/catalog.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { runStorageContract } from './storageContract.ts';

const missing = missingPostgres(15);
const key = randomBytes(32).toString('base64');
let postgres: Postgres;
let node: Pgpier;
let settings: StorageSettings;

before(async () => {
  if (missing) return;
  postgres = await startPostgres({ version: 15 });
  const env = { PGPIER_NODE_ID: '2', PGPIER_PEERS: '1=127.0.0.1:9', PGPIER_SECRET_KEY: key };
  node = await startPgpier({ backend: postgres, env });
  const catalog = await openCatalog({
    service: { host: postgres.socketDir, port: postgres.port, user: 'postgres', database: 'postgres' },
    secretKey: { kind: 'value', value: key },
    log: { info() {}, warn() {}, error() {} },
  });
  settings = { nodeId: 1, allowedNetworks: [], peers: { 2: { host: '127.0.0.1', port: node.port } }, nodeKey: await catalog.nodeKey() };
  await catalog.close();
});
after(async () => {
  await node?.stop();
  await postgres?.stop();
});

const file = (name: string, path = '') => join(node.externalDirectory, name, path);

runStorageContract('nodelocal of another node', () => ({
  open: (name) => openStorage({ uri: `nodelocal://2/${name}`, trusted: false }, settings),
  outside: {
    get: async (name, path) => readFileSync(file(name, path)),
    async put(name, path, bytes) {
      mkdirSync(dirname(file(name, path)), { recursive: true });
      writeFileSync(file(name, path), bytes);
    },
    async everything(name) {
      if (!existsSync(file(name))) return [];
      return readdirSync(file(name), { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => relative(file(name), join(entry.parentPath, entry.name)));
    },
    // Of a process of that node: what the asking side leaves is taken back at once.
    async leaveDebris(name, path) {
      const there = JSON.stringify({ externalDir: node.externalDirectory, nodeId: 2, allowedNetworks: [] });
      const script = `
        import { openStorage } from ${JSON.stringify(new URL('../../external/storage/storages.ts', import.meta.url).href)};
        const storage = await openStorage({ uri: 'nodelocal://self/${name}', trusted: false }, ${there});
        const writer = await storage.write(${JSON.stringify(path)});
        await writer.write(Buffer.from('half'));
        process.kill(process.pid, 'SIGKILL');`;
      assert.throws(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' }));
    },
  },
  ...(missing ? { missing } : {}),
}));
