/** The process that serves files to other nodes, without the proxy before it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type FileProcess, openFileProcess } from '../../jobs/nodes/fileProcess.ts';
import { nodeRequest } from '../../protocol/frontend/nodeRequest.ts';
import { readObject, rejectsWith, writeObject } from '../external/storageContract.ts';

const silent = { info() {}, warn() {}, error() {} };

interface Node {
  readonly files: FileProcess;
  readonly port: number;
  readonly externalDir: string;
  open(key?: string): Promise<Storage>;
}

/** Node 2; what the proxy does is to read the eight bytes of the request. */
async function startNode(t: TestContext): Promise<Node> {
  const externalDir = mkdtempSync(join(tmpdir(), 'pgp-files-'));
  const nodeKey = randomBytes(32).toString('base64');
  const files = openFileProcess({ externalDir, nodeId: 2, allowedNetworks: [], nodeKey }, silent);
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {});
    socket.once('data', () => files.take(socket.pause()));
    socket.resume();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const storages: Storage[] = [];
  t.after(async () => {
    for (const storage of storages) await storage.close();
    await files.stop(0);
    server.close();
    rmSync(externalDir, { recursive: true });
  });
  return {
    files,
    port,
    externalDir,
    async open(key = nodeKey) {
      const settings = { nodeId: 1, allowedNetworks: [], peers: { 2: { host: '127.0.0.1', port } }, nodeKey: key };
      const storage = await openStorage({ uri: 'nodelocal://2/x', trusted: false }, settings);
      storages.push(storage);
      return storage;
    },
  };
}

test('it is started by the first connection, and killed it is replaced', async (t) => {
  const node = await startNode(t);
  assert.equal(node.files.pid, undefined);
  const storage = await node.open();
  await writeObject(storage, 'a', 'b');
  const first = node.files.pid!;
  process.kill(first, 'SIGKILL');
  await sleep(1_500);
  assert.equal(String(await readObject(storage, 'a')), 'b');
  assert.notEqual(node.files.pid, first);
});

test('hundreds of connections that ask and then say nothing keep nobody out who has the key', async (t) => {
  const node = await startNode(t);
  const sockets: Socket[] = [];
  t.after(() => {
    for (const socket of sockets) socket.destroy();
  });
  for (let count = 0; count < 400; count++) sockets.push(connect(node.port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) socket.write(nodeRequest());
  await sleep(500);
  const storage = await node.open();
  for (let count = 0; count < 5; count++) await writeObject(storage, `f${count}`, 'x');
  assert.equal(readdirSync(join(node.externalDir, 'x')).length, 5);
});

test('who has no key gets no further than the handshake, however it begins', async (t) => {
  const node = await startNode(t);
  const stranger = await node.open(randomBytes(32).toString('base64'));
  await rejectsWith(() => writeObject(stranger, 'a', 'b'), '28000', /is no PgPier of this catalog: its key is another$/);
  for (const bytes of [
    Buffer.from('PUT /object?node=2&base=%2F&path=a HTTP/1.1\r\n\r\n'),
    randomBytes(5000),
    Buffer.of(22, 3, 1, 255, 255),
  ]) {
    const socket = connect(node.port, '127.0.0.1').on('error', () => {});
    socket.write(nodeRequest());
    const received: Buffer[] = [];
    socket.on('data', (chunk) => {
      received.push(chunk);
      if (received.length === 1) socket.end(bytes);
    });
    await new Promise((resolve) => socket.once('close', resolve));
    assert.equal(String(Buffer.concat(received).subarray(0, 1)), 'P');
    assert.doesNotMatch(String(Buffer.concat(received)), /HTTP/);
  }
  const friend = await node.open();
  await writeObject(friend, 'a', 'b');
  assert.deepEqual(readdirSync(join(node.externalDir, 'x')), ['a']);
});

test('what is under way when it stops may end, within the time that is given', async (t) => {
  const node = await startNode(t);
  const storage = await node.open();
  const writer = await storage.write('late');
  await writer.write(Buffer.from('begun'));
  const stopped = node.files.stop(60_000);
  await rejectsWith(async () => writeObject(await node.open(), 'later', 'x'), '08001', /ECONNRESET$/);
  await writer.write(Buffer.from(' and ended'));
  await writer.finish();
  await stopped;
  assert.equal(node.files.pid, undefined);
  assert.deepEqual(readdirSync(join(node.externalDir, 'x')), ['late']);
});

test('a second stop may give less time; what is cut off leaves an error and no object', async (t) => {
  const node = await startNode(t);
  const storage = await node.open();
  const writer = await storage.write('never');
  await writer.write(Buffer.alloc(1024 * 1024));
  const patient = node.files.stop(60_000);
  const started = Date.now();
  await node.files.stop(200);
  await patient;
  assert.ok(Date.now() - started < 10_000);
  await rejectsWith(() => writer.finish(), '08001', /ECONNRESET$|EPIPE$/);
  await writer.abort();
  assert.ok(!existsSync(join(node.externalDir, 'x/never')));
});
