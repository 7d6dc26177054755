/** SocketLink: no byte lost or repeated over stalls and hand-overs, bounded memory, one onClose. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { lingeringClose } from '../../server/link/lingeringClose.ts';
import type { Link } from '../../server/link/link.ts';
import { connectSocketLink, SocketLink, socketOptions } from '../../server/link/socketLink.ts';
import { makeCertificate } from './loginLab.ts';

async function serve(
  onSocket: (socket: net.Socket) => void,
  certificate?: { cert: string; key: string },
): Promise<{ port: number; stop(): void }> {
  const sockets: net.Socket[] = [];
  const accept = (socket: net.Socket): void => {
    sockets.push(socket);
    socket.on('error', () => {});
    onSocket(socket);
  };
  const server = certificate
    ? tls.createServer(certificate, accept)
    : net.createServer({ ...socketOptions(), pauseOnConnect: true }, accept);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

const signal = (): AbortSignal => AbortSignal.timeout(5_000);
const block = Buffer.from(Array.from({ length: 100_003 }, (_, index) => index % 251));

/** Writes blocks as fast as the socket takes them, then FIN. */
function flood(socket: net.Socket, blocks: number): void {
  let left = blocks;
  const more = (): void => {
    while (left > 0) {
      left--;
      if (!socket.write(block)) {
        socket.once('drain', more);
        return;
      }
    }
    socket.end();
  };
  more();
}

for (const encrypted of [false, true]) {
  test(`60 MB to a client that stalls pass unchanged${encrypted ? ' through TLS' : ''}, and memory does not grow with them`, async () => {
    const blocks = 600;
    const source = await serve((socket) => flood(socket, blocks));
    let backend: SocketLink | undefined;
    const front = await serve(
      (socket) => {
        const client: Link = new SocketLink(socket);
        void connectSocketLink({ host: 'localhost', port: source.port, family: 4 }, signal()).then(({ link }) => {
          backend = link;
          link.onBytes = (chunk) => client.write(chunk);
          link.onEnd = () => client.end();
          client.onDrain = () => link.resume();
          client.onBytes = () => true;
          client.resume();
          link.resume();
        });
      },
      encrypted ? makeCertificate() : undefined,
    );
    const reader = encrypted
      ? tls.connect({ port: front.port, host: '127.0.0.1', rejectUnauthorized: false })
      : net.connect({ port: front.port, host: '127.0.0.1' });
    await new Promise((resolve) => reader.once(encrypted ? 'secureConnect' : 'connect', resolve));
    reader.pause();
    await sleep(300);
    const before = process.memoryUsage().rss;
    await sleep(500);
    assert.ok(process.memoryUsage().rss - before < 16 * 1024 * 1024, 'stalled, yet memory grows');
    const hash = createHash('md5');
    let length = 0;
    for await (const chunk of reader) {
      hash.update(chunk as Buffer);
      length += (chunk as Buffer).length;
    }
    const expected = createHash('md5');
    for (let index = 0; index < blocks; index++) expected.update(block);
    assert.equal(length, blocks * block.length);
    assert.equal(hash.digest('hex'), expected.digest('hex'));
    backend?.destroy();
    source.stop();
    front.stop();
  });
}

test('pausing and resuming at any moment, also both in one tick, loses and repeats nothing', async () => {
  const blocks = 40;
  const source = await serve((socket) => flood(socket, blocks));
  const { link } = await connectSocketLink({ host: '127.0.0.1', port: source.port }, signal());
  const hash = createHash('md5');
  let length = 0;
  let paused = false;
  const ended = new Promise<void>((resolve) => {
    link.onEnd = () => {
      assert.equal(paused, false, 'an end during a pause');
      resolve();
    };
  });
  let turn = 0;
  link.onBytes = (chunk) => {
    assert.equal(paused, false, 'bytes during a pause');
    hash.update(chunk);
    length += chunk.length;
    turn++;
    if (turn % 3 === 0) return true;
    paused = true;
    if (turn % 3 === 1) link.pause();
    setTimeout(() => {
      // Resume, pause again at once, and resume for good a little later.
      link.resume();
      link.pause();
      setTimeout(() => {
        paused = false;
        link.resume();
      }, 1);
    }, 0);
    return turn % 3 === 1;
  };
  link.resume();
  await ended;
  const expected = createHash('md5');
  for (let index = 0; index < blocks; index++) expected.update(block);
  assert.equal(length, blocks * block.length);
  assert.equal(hash.digest('hex'), expected.digest('hex'));
  link.destroy();
  source.stop();
});

test('a reset is told once by onClose, and later calls do nothing', async () => {
  const source = await serve((socket) => setTimeout(() => socket.resetAndDestroy(), 20));
  const { link } = await connectSocketLink({ host: '127.0.0.1', port: source.port }, signal());
  let closes = 0;
  const closed = new Promise<Error | undefined>((resolve) => {
    link.onClose = (error) => {
      closes++;
      resolve(error);
    };
  });
  link.onBytes = () => true;
  link.resume();
  assert.equal(((await closed) as NodeJS.ErrnoException).code, 'ECONNRESET');
  assert.equal(link.write(Buffer.from('x')), true);
  link.end();
  link.destroy();
  await sleep(20);
  assert.equal(closes, 1);
  source.stop();
});

for (const encrypted of [false, true]) {
  test(`what the peer said before it closed is read although a write fails first${encrypted ? ', through TLS' : ''}`, async (t) => {
    // Closing with something unread is what makes later writes fail at once.
    const peer = await serve(
      (socket) => {
        socket.pause();
        setTimeout(() => socket.write('goodbye', () => (encrypted ? (socket as tls.TLSSocket).destroySoon() : socket.destroy())), 100);
      },
      encrypted ? makeCertificate() : undefined,
    );
    t.after(() => peer.stop());
    const address = { port: peer.port, host: '127.0.0.1' };
    const connectTls = async (): Promise<SocketLink> => {
      const socket = tls.connect({ ...address, rejectUnauthorized: false });
      await once(socket, 'secureConnect');
      return new SocketLink(socket);
    };
    const link = encrypted ? await connectTls() : (await connectSocketLink(address, signal())).link;
    let heard = '';
    link.onBytes = (chunk) => {
      heard += chunk.toString('latin1');
      return true;
    };
    const closed = new Promise<Error | undefined>((resolve) => {
      link.onClose = resolve;
    });
    link.onEnd = () => assert.fail('no half of a connection is left where a write has failed');
    link.write(Buffer.from('more than it reads'));
    await sleep(200);
    // The first write after the peer's close brings its RST back, the next ones fail.
    for (let writes = 0; writes < 3; writes++) {
      link.write(Buffer.from('x'));
      await sleep(20);
    }
    link.resume();
    assert.match(String(((await closed) as NodeJS.ErrnoException).code), /^(EPIPE|ECONNRESET)$/);
    assert.equal(heard, 'goodbye');
    assert.equal(link.write(Buffer.from('x')), true);
  });
}

test('what was written before a lingering close is read although the peer had more to say', async () => {
  const front = await serve((socket) => {
    const link = new SocketLink(socket);
    setTimeout(() => {
      link.write(Buffer.from('goodbye'));
      void lingeringClose(link);
    }, 50);
  });
  const peer = net.connect({ port: front.port, host: '127.0.0.1' });
  peer.on('error', () => {});
  peer.write(Buffer.alloc(500_000));
  let text = '';
  for await (const chunk of peer) text += chunk;
  assert.equal(text, 'goodbye');
  front.stop();
});
