/** Cancel keys and the greeting: the client holds a key of ours, the backend its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import { backendKeyData } from '../../protocol/backend/backendKeyData.ts';
import { negotiateProtocolVersion, readNegotiateProtocolVersion } from '../../protocol/backend/negotiateProtocolVersion.ts';
import { parameterStatus } from '../../protocol/backend/parameterStatus.ts';
import { readyForQuery } from '../../protocol/backend/readyForQuery.ts';
import { cancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import { sslRequest } from '../../protocol/frontend/sslRequest.ts';
import { CancelRegistry } from '../../server/login/cancel.ts';
import type { SessionHandle } from '../../server/login/loggedIn.ts';
import { passThrough } from '../../server/session/passThrough.ts';
import { missingPostgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import { errorIn, fakeBackend, makeCertificate, messages, query, RawClient, startLab, startup } from './loginLab.ts';

const ok = Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 0]);
const keyOf = (client: RawClient): { pid: number; secret: Buffer } => {
  const k = messages(client.received).find((message) => message[0] === 0x4b)!;
  return { pid: k.readInt32BE(5), secret: Buffer.from(k.subarray(9)) };
};

for (const version of [15, 18] as readonly PostgresVersion[]) {
  const missing = missingPostgres(version);
  test(`a cancel with our key stops the query, with a wrong key nothing, before and inside TLS (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const certificate = makeCertificate();
    const postgres = await startPostgres({ version, ssl: certificate });
    const lab = await startLab(
      { port: postgres.port, sslmode: 'require' },
      { trustedBackend: true },
      { tls: { cert: certificate.cert, key: certificate.key } },
    );
    const minor = version === 18 ? 2 : 0;
    const session = await RawClient.connect(lab.port);
    session.send(startup('postgres', {}, { major: 3, minor }));
    await session.until((c) => c.types().endsWith('Z'));
    const key = keyOf(session);
    assert.equal(key.secret.length, version === 18 ? 32 : 4);
    session.send(query('select pg_backend_pid()'));
    await session.until((c) => /DCZ$/.test(c.types()));
    assert.ok(session.received.includes(String(key.pid)), "the pid is the backend's own");

    const wrong = [
      { pid: key.pid, secret: Buffer.from(key.secret.map((byte) => byte ^ 1)) },
      { pid: key.pid, secret: key.secret.subarray(1) },
      { pid: key.pid, secret: Buffer.concat([key.secret, Buffer.of(0)]) },
      { pid: key.pid + 1, secret: key.secret },
      { pid: key.pid, secret: Buffer.alloc(256, 1) },
    ];
    session.received = Buffer.alloc(0);
    session.send(query('select pg_sleep(20)'));
    await sleep(100);
    for (const other of wrong) {
      const client = await RawClient.connect(lab.port);
      assert.equal((await client.send(cancelRequest(other)).toEnd()).length, 0);
    }
    await sleep(100);
    assert.equal(session.received.length, 0, 'still running');
    const plain = await RawClient.connect(lab.port);
    assert.equal((await plain.send(cancelRequest(key)).toEnd()).length, 0);
    await session.until((c) => c.types().endsWith('Z'));
    assert.match(errorIn(session.received) ?? '', /57014 canceling statement due to user request/);

    session.received = Buffer.alloc(0);
    session.send(query('select pg_sleep(20)'));
    await sleep(100);
    const asking = await RawClient.connect(lab.port);
    asking.send(sslRequest());
    await asking.until((c) => c.received.toString() === 'S');
    asking.socket.removeAllListeners('data');
    const secured = new RawClient(tls.connect({ socket: asking.socket, rejectUnauthorized: false }));
    await new Promise((resolve) => secured.socket.once('secureConnect', resolve));
    secured.send(cancelRequest(key));
    await session.until((c) => c.types().endsWith('Z'));
    assert.match(errorIn(session.received) ?? '', /57014/);

    assert.equal(lab.listener.sessionCount, 1);
    session.socket.destroy();
    await session.until(() => lab.listener.sessionCount === 0);
    await lab.listener.stop();
    await postgres.stop();
  });

  test(`psql cancels with Ctrl-C (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const postgres = await startPostgres({ version });
    const lab = await startLab({ host: postgres.socketDir, port: postgres.port }, { trustedBackend: true });
    const child = spawn('psql', ['-XAtq', '-c', 'select pg_sleep(20)', `host=127.0.0.1 port=${lab.port} user=postgres sslmode=disable`], {
      env: { PATH: process.env.PATH },
    });
    let error = '';
    child.stderr.on('data', (text) => {
      error += text;
    });
    const exited = new Promise((resolve) => child.once('exit', resolve));
    for (let waited = 0; lab.listener.sessionCount === 0 && waited < 5_000; waited += 20) await sleep(20);
    await sleep(200);
    child.kill('SIGINT');
    await exited;
    assert.match(error, /canceling statement due to user request/);
    await lab.listener.stop();
    await postgres.stop();
  });
}

test("the greeting goes on unchanged but for the key, over long and late parameters, and the backend's v comes first", async () => {
  const secret = Buffer.alloc(32, 7);
  const v = negotiateProtocolVersion({ version: 0x0003_0002, unknownOptions: ['_pq_.x'] });
  const long = parameterStatus('long', 'x'.repeat(300_000));
  const packets: Buffer[] = [];
  const backend = await fakeBackend((socket) =>
    socket.once('data', (packet: Buffer) => {
      packets.push(packet);
      if (packets.length > 1) return;
      socket.write(Buffer.concat([v, ok, parameterStatus('a', 'b'), backendKeyData({ pid: 77, secret })]));
      setTimeout(() => socket.write(Buffer.concat([long, readyForQuery('I'), parameterStatus('after', 'z')])), 30);
    }),
  );
  const seen: unknown[] = [];
  const lab = await startLab(
    { port: backend.port },
    { trustedBackend: true },
    {
      startSession: (loggedIn) => {
        seen.push([...loggedIn.parameters.keys()], loggedIn.backendPid, loggedIn.user, loggedIn.database, loggedIn.replication);
        return passThrough(loggedIn);
      },
    },
  );
  const client = await RawClient.connect(lab.port);
  client.send(startup('u', { database: '' }));
  await client.until((c) => c.types() === 'vRSKSZS');
  assert.deepEqual(readNegotiateProtocolVersion(messages(client.received)[0]!), { version: 0x0003_0002, unknownOptions: ['_pq_.x'] });
  assert.deepEqual(seen, [['a', 'long'], 77, 'u', 'u', false]);
  const key = keyOf(client);
  assert.equal(key.pid, 77);
  assert.equal(key.secret.length, 32);
  assert.notDeepEqual(key.secret, secret);
  // The cancel reaches the backend with its own key, and is not over before the backend closes.
  const canceller = await RawClient.connect(lab.port);
  canceller.send(cancelRequest(key));
  await canceller.until(() => packets.length === 2);
  assert.deepEqual(packets, [startup('u', { database: '' }), cancelRequest({ pid: 77, secret })]);
  await sleep(300);
  assert.equal(canceller.ended, false);
  backend.connections[1]!.end();
  await canceller.toEnd();
  client.socket.destroy();
  await lab.listener.stop();
  backend.stop();
});

test('a backend without a cancel key, or with an empty one, gives the client none', async () => {
  const empty = Buffer.from([0x4b, 0, 0, 0, 8, 0, 0, 0, 5]);
  for (const key of [Buffer.alloc(0), empty]) {
    const backend = await fakeBackend((socket) => socket.once('data', () => socket.write(Buffer.concat([ok, key, readyForQuery('I')]))));
    const lab = await startLab({ port: backend.port }, { trustedBackend: true });
    const client = await RawClient.connect(lab.port);
    client.send(startup());
    await client.until((c) => c.types() === 'RZ');
    client.socket.destroy();
    await lab.listener.stop();
    backend.stop();
  }
});

test('at most 64 cancels go out at once, and the others have their turn', async () => {
  const registry = new CancelRegistry();
  let running = 0;
  let most = 0;
  let delivered = 0;
  const handle = {
    cancel: async () => {
      most = Math.max(most, ++running);
      await sleep(5);
      running--;
      delivered++;
    },
    done: new Promise<void>(() => {}),
  } as unknown as SessionHandle;
  const key = { pid: 1, secret: Buffer.from('abcd') };
  registry.register(key, handle);
  await Promise.all(Array.from({ length: 300 }, () => registry.cancel(key)));
  assert.deepEqual([most, delivered], [64, 300]);
});

test('stop ends sessions, and a login under way is told 57P03', async () => {
  const backend = await fakeBackend(() => {});
  const lab = await startLab({ port: backend.port });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  await client.until(() => backend.connections.length === 1);
  const stopped = lab.listener.stop();
  assert.equal(errorIn(await client.toEnd()), 'FATAL 57P03 PgPier is shutting down');
  client.socket.destroy();
  await stopped;
  backend.stop();
});
