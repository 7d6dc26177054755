/** A native link outside the fast path: what Link promises, on real sockets; and what becomes of links when their thread ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import * as net from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { eventually } from '../faults/faultLab.ts';
import { missingAddon } from './compiler.ts';
import { type NativeLab, Peer, startNativeLab } from './sessionLab.ts';

async function start(t: TestContext): Promise<NativeLab> {
  const lab = await startNativeLab();
  t.after(() => lab.close());
  return lab;
}

describe('a native link', { skip: missingAddon() }, () => {
  test('says when it cannot take more and when all has left, and sends FIN behind it', async (t) => {
    const lab = await start(t);
    lab.clientPeer.socket.pause();
    const bytes = Buffer.alloc(8 * 1024 * 1024, 1);
    assert.equal(lab.client.write(bytes), false);
    // It has a copy.
    bytes.fill(2);
    assert.equal(lab.client.write(Buffer.from('behind')), false);
    lab.client.end();
    lab.client.write(Buffer.from('too late'));
    assert.deepEqual(lab.told, []);
    lab.clientPeer.socket.resume();
    await eventually('all arrives', () => lab.clientPeer.ended, 30_000);
    assert.equal(lab.clientPeer.heard.length, bytes.length + 6);
    assert.ok(lab.clientPeer.heard.subarray(0, bytes.length).equals(bytes.fill(1)));
    assert.equal(lab.clientPeer.heard.subarray(bytes.length).toString(), 'behind');
    assert.deepEqual(lab.told, ['client drain']);
    // The other half is open still.
    lab.client.resume();
    lab.clientPeer.socket.write('answer');
    await eventually('the answer is read', () => lab.told.includes('client 6'));
    lab.clientPeer.socket.end();
    await eventually('it closes when both have ended', () => lab.told.includes('client close'));
    assert.deepEqual(lab.told, ['client drain', 'client 6', 'client end', 'client close']);
  });

  test('reads nothing while paused, also when JavaScript wants no more in the middle', async (t) => {
    const lab = await start(t);
    lab.clientPeer.socket.write('first');
    await sleep(50);
    assert.deepEqual(lab.told, []);
    lab.client.onBytes = (bytes) => {
      lab.told.push(bytes.toString());
      return false;
    };
    lab.client.resume();
    await eventually('the first is read', () => lab.told.length === 1);
    lab.clientPeer.socket.end('second');
    await sleep(50);
    assert.deepEqual(lab.told, ['first']);
    lab.client.resume();
    await eventually('the second is read', () => lab.told.length === 2);
    lab.client.resume();
    await eventually('the end is read', () => lab.told.length === 3);
    assert.deepEqual(lab.told, ['first', 'second', 'client end']);
  });

  test('still reads what was said before a peer stopped to listen', async (t) => {
    const lab = await start(t);
    lab.clientPeer.socket.write('farewell');
    await sleep(20);
    // Unread bytes at its side make the close a reset.
    lab.client.write(Buffer.alloc(100));
    lab.clientPeer.socket.pause();
    lab.clientPeer.socket.destroy();
    await sleep(20);
    lab.client.write(Buffer.from('nobody hears this'));
    lab.client.write(Buffer.from('nor this'));
    lab.client.resume();
    await eventually('it is closed', () => lab.told.includes('client close'));
    assert.deepEqual(lab.told, ['client 8', 'client close']);
  });

  test('is closed once, and then every call does nothing', async (t) => {
    const lab = await start(t);
    lab.client.destroy();
    lab.client.destroy();
    await eventually('it is told', () => lab.told.length === 1);
    assert.deepEqual(lab.told, ['client close']);
    assert.equal(lab.client.write(Buffer.from('x')), true);
    lab.client.resume();
    lab.client.end();
    lab.client.destroy();
    assert.equal(lab.client.bytesRead, 0);
    lab.fastPath.begin('I');
    assert.equal(lab.fastPath.forwarding, false);
    assert.equal(lab.fastPath.leave(), undefined);
  });

  test('throws on to the process what a handler throws', async (t) => {
    const lab = await start(t);
    lab.client.onBytes = () => {
      throw new Error('from a handler');
    };
    const listeners = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    t.after(() => {
      for (const listener of listeners) process.on('uncaughtException', listener);
    });
    const caught = once(process, 'uncaughtException');
    lab.client.resume();
    lab.clientPeer.socket.write('x');
    assert.match(String((await caught)[0]), /from a handler/);
  });

  test('goes with its thread: sockets are closed, the process lives on', async (t) => {
    const server = net.createServer().listen(0, '127.0.0.1');
    t.after(() => server.close());
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    const modules = { lab: new URL('./sessionLab.ts', import.meta.url).href };
    const text = `import { startNativeLab } from '${modules.lab}'; import { parentPort } from 'node:worker_threads'; import net from 'node:net';
      import { SocketLink } from '${new URL('../../server/link/socketLink.ts', import.meta.url).href}';
      const lab = await startNativeLab(); lab.fastPath.begin('I'); lab.clientPeer.socket.write('Q\\0\\0');
      const open = () => new Promise((resolve) => { const s = net.connect({ port: ${port}, host: '127.0.0.1' }, () => resolve(new SocketLink(s))); });
      const more = lab.links.adopt(await open(), await open()); more.client.resume();
      parentPort.postMessage('open');`;
    for (let round = 0; round < 5; round++) {
      const peers: Peer[] = [];
      const accept = (socket: net.Socket): void => void peers.push(new Peer(socket));
      server.on('connection', accept);
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(text)}`));
      await once(worker, 'message');
      await eventually('both are there', () => peers.length === 2);
      await worker.terminate();
      await eventually('both are closed', () => peers.every(({ ended, socket }) => ended || socket.destroyed));
      server.off('connection', accept);
    }
  });
});
