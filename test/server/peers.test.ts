/** A CancelRequest that reaches another node than its session's, as it does behind a load balancer. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import type { Peers } from '../../server/login/peers.ts';
import { missingPostgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import { errorIn, fakeBackend, type Lab, makeCertificate, messages, query, RawClient, startLab, startup } from './loginLab.ts';

type Others = Map<number, { host: string; port: number }>;

/** Nodes 1 and 2 that know each other; the maps are filled once the ports are known. */
async function twoNodes(
  backend: Parameters<typeof startLab>[0],
  more: Parameters<typeof startLab>[2] = {},
): Promise<{ nodes: Record<1 | 2, Lab>; stop(): Promise<void> }> {
  const others: Record<1 | 2, Others> = { 1: new Map(), 2: new Map() };
  const start = (nodeId: 1 | 2): Promise<Lab> =>
    startLab(backend, { trustedBackend: true }, { ...more, peers: { nodeId, others: others[nodeId] } });
  const nodes = { 1: await start(1), 2: await start(2) };
  others[1].set(2, { host: '127.0.0.1', port: nodes[2].port });
  others[2].set(1, { host: '127.0.0.1', port: nodes[1].port });
  return {
    nodes,
    stop: async () => {
      await Promise.all([nodes[1].listener.stop(), nodes[2].listener.stop()]);
    },
  };
}

async function sleeping(port: number, minor: number): Promise<{ session: RawClient; key: { pid: number; secret: Buffer } }> {
  const session = await RawClient.connect(port);
  session.send(startup('postgres', {}, { major: 3, minor }));
  await session.until((c) => c.types().endsWith('Z'));
  const k = messages(session.received).find((message) => message[0] === 0x4b)!;
  session.received = Buffer.alloc(0);
  session.send(query('select pg_sleep(20)'));
  await sleep(100);
  return { session, key: { pid: k.readInt32BE(5), secret: Buffer.from(k.subarray(9)) } };
}

async function ask(port: number, key: { pid: number; secret: Buffer }): Promise<void> {
  const client = await RawClient.connect(port);
  assert.equal((await client.send(cancelRequest(key)).toEnd()).length, 0, 'a cancel is never answered');
}

for (const version of [15, 18] as readonly PostgresVersion[]) {
  const missing = missingPostgres(version);
  test(`a cancel by way of the other node stops the query, with any bit of the secret wrong nothing (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const postgres = await startPostgres({ version });
    const { nodes, stop } = await twoNodes({ host: postgres.socketDir, port: postgres.port });
    for (const [here, there] of [
      [1, 2],
      [2, 1],
    ] as const) {
      const { session, key } = await sleeping(nodes[here].port, version === 18 ? 2 : 0);
      assert.equal(key.secret.length, version === 18 ? 32 : 4);
      assert.equal(key.secret[0], here);
      for (let at = 0; at < key.secret.length; at++) {
        const secret = Buffer.from(key.secret);
        secret[at]! ^= 4;
        await ask(nodes[there].port, { pid: key.pid, secret });
      }
      await ask(nodes[there].port, { pid: key.pid + 1, secret: key.secret });
      assert.equal(session.received.length, 0, 'still running');
      await ask(nodes[there].port, key);
      await session.until((c) => c.types().endsWith('Z'));
      assert.match(errorIn(session.received) ?? '', /57014 canceling statement due to user request/);
      session.socket.destroy();
    }
    await stop();
    await postgres.stop();
  });
}

test('a cancel passes to a node that insists on TLS', async (t) => {
  const missing = missingPostgres(18);
  if (missing) return t.skip(`PostgreSQL 18: ${missing}`);
  const { cert, key: privateKey } = makeCertificate();
  const postgres = await startPostgres({ version: 18 });
  const others: Others = new Map();
  const backend = { host: postgres.socketDir, port: postgres.port };
  const plain = await startLab(backend, { trustedBackend: true }, { peers: { nodeId: 1, others } });
  const seen: Buffer[] = [];
  const secure = await startLab(
    backend,
    { trustedBackend: true },
    { peers: { nodeId: 2, others: new Map() }, tls: { cert, key: privateKey, required: true } },
  );
  const wire = net.createServer((socket) => {
    const on = net.connect(secure.port, '127.0.0.1');
    socket.on('data', (chunk) => seen.push(chunk));
    socket.pipe(on).pipe(socket);
    for (const end of [socket, on]) end.on('error', () => {});
  });
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve));
  others.set(2, { host: '127.0.0.1', port: (wire.address() as net.AddressInfo).port });

  const { default: pg } = await import('pg');
  const client = new pg.Client({
    host: '127.0.0.1',
    port: secure.port,
    user: 'postgres',
    database: 'postgres',
    ssl: { rejectUnauthorized: false },
  });
  await client.connect();
  const { processID: pid, secretKey } = client as unknown as { processID: number; secretKey: number };
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(secretKey);
  const slept = assert.rejects(client.query('select pg_sleep(20)'), /57014|canceling statement due to user request/);
  await sleep(100);
  await ask(plain.port, { pid, secret });
  await slept;
  assert.ok(seen.length > 0);
  assert.ok(!Buffer.concat(seen).includes(secret), 'the secret does not cross the network in clear text');
  await client.end();
  await Promise.all([plain.listener.stop(), secure.listener.stop()]);
  wire.close();
  await postgres.stop();
});

test('nodes that take each other for the owner of a key pass it on once; an owner that is away or silent holds nobody up', async () => {
  const nowhere = { port: 1 };
  const others: Others = new Map();
  // Both say that they are node 1, and that the other is node 2.
  const peers: Peers = { nodeId: 1, others };
  const node = await startLab(nowhere, {}, { peers });
  const other = await startLab(nowhere, {}, { peers: { nodeId: 1, others: new Map([[2, { host: '127.0.0.1', port: node.port }]]) } });
  others.set(2, { host: '127.0.0.1', port: other.port });
  const key = { pid: 4711, secret: Buffer.from([2, 9, 9, 9]) };
  await ask(node.port, key);
  await sleep(200);
  assert.equal(node.listener.counters.accepted, 1);
  assert.equal(other.listener.counters.accepted, 1);

  others.set(2, { host: '127.0.0.1', port: 1 });
  await ask(node.port, key);
  const silent = await fakeBackend(() => {});
  others.set(2, { host: '127.0.0.1', port: silent.port });
  const client = await RawClient.connect(node.port);
  client.send(cancelRequest(key));
  await sleep(300);
  const started = Date.now();
  await node.listener.stop();
  assert.ok(Date.now() - started < 5_000, 'a drain does not wait for a silent peer');
  silent.stop();
  await other.listener.stop();
});
