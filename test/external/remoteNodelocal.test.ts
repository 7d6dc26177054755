/** `nodelocal://2` from elsewhere: the storage contract through a PgPier that is node 2, in a process of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname, join, relative } from 'node:path';
import { after, before, type TestContext, test } from 'node:test';
import { openCatalog } from '../../catalog/catalog.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

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

/** A way to the node on which every connection breaks after some bytes of answers. */
async function breakingWay(t: TestContext, bytes: number): Promise<{ readonly port: number; connections: number }> {
  const sockets = new Set<Socket>();
  const way = { port: 0, connections: 0 };
  const server = createServer((here) => {
    way.connections += 1;
    let left = bytes;
    const there = connect(node.port, node.host);
    for (const socket of [here, there]) sockets.add(socket.on('error', () => {}));
    here.pipe(there);
    there.on('data', (chunk) => {
      left -= chunk.length;
      here.write(chunk);
      if (left <= 0) for (const socket of [here, there]) socket.destroy();
    });
    here.once('close', () => there.destroy());
    there.once('close', () => here.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  way.port = (server.address() as { port: number }).port;
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return way;
}

test('a read that breaks off goes on where it was, as long as it is the same file', { skip: missing }, async (t) => {
  const way = await breakingWay(t, 3 * 1024 * 1024);
  const storage = await openStorage(
    { uri: 'nodelocal://2/broken', trusted: false },
    { ...settings, peers: { 2: { host: '127.0.0.1', port: way.port } } },
  );
  const bytes = randomBytes(8 * 1024 * 1024);
  const direct = await openStorage({ uri: 'nodelocal://2/broken', trusted: false }, settings);
  await writeObject(direct, 'x', bytes);
  assert.ok((await readObject(storage, 'x')).equals(bytes));
  assert.ok(way.connections >= 3, `${way.connections} connections`);
  assert.ok((await readObject(storage, 'x', { start: 100, end: 5_000_000 })).equals(bytes.subarray(100, 5_000_000)));
  await rejectsWith(
    async () => {
      let replaced = false;
      for await (const _ of storage.read('x')) {
        if (!replaced) await writeObject(direct, 'x', bytes);
        replaced = true;
      }
    },
    '58030',
    /^the object changed while it was read: "x"$/,
  );
  await Promise.all([storage.close(), direct.close()]);
});

test('a write that breaks off is an error, and leaves nothing', { skip: missing }, async (t) => {
  const sockets: Socket[] = [];
  const server = createServer((here) => {
    const there = connect(node.port, node.host);
    for (const socket of [here, there]) sockets.push(socket.on('error', () => {}));
    here.pipe(there).pipe(here);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close());
  const { port } = server.address() as { port: number };
  const storage = await openStorage(
    { uri: 'nodelocal://2/cut', trusted: false },
    { ...settings, peers: { 2: { host: '127.0.0.1', port } } },
  );
  const writer = await storage.write('x');
  await writer.write(Buffer.alloc(1024 * 1024));
  for (const socket of sockets) socket.destroy();
  await rejectsWith(() => writer.finish(), '08001', /^cannot reach node 2 \(127\.0\.0\.1:\d+\): ECONNRESET$/);
  await writer.abort();
  for (let waited = 0; readdirSync(file('cut')).length > 0 && waited < 5_000; waited += 50)
    await new Promise((resolve) => setTimeout(resolve, 50));
  assert.deepEqual(readdirSync(file('cut')), []);
  await storage.close();
});
