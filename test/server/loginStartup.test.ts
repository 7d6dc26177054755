/** First packets, compared with what bare PostgreSQL answers to the same bytes. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gssencRequest } from '../../protocol/frontend/gssencRequest.ts';
import { sslRequest } from '../../protocol/frontend/sslRequest.ts';
import { asksForReplication } from '../../protocol/frontend/startupMessage.ts';
import { clientLimits } from '../../server/login/clientLimits.ts';
import { missingPostgres, type Postgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import { errorIn, fakeBackend, type Lab, messages, query, RawClient, startLab, startup } from './loginLab.ts';

const versions: readonly PostgresVersion[] = [15, 18];

function packet(length: number, code: number, rest = ''): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(length | 0, 0);
  head.writeInt32BE(code, 4);
  return Buffer.concat([head, Buffer.from(rest, 'latin1')]);
}

/** Sends all at once and says what came back: single answer bytes, message types up to the first `Z`, an error. */
async function answer(port: number, bytes: Buffer): Promise<{ types: string; error: string | undefined; closed: boolean }> {
  const client = await RawClient.connect(port);
  client.send(bytes);
  const done = (): boolean =>
    client.ended || client.closed || client.types().includes('Z') || (client.received.length > 0 && client.types() === '');
  await client.until(done, 1_500).catch(() => {});
  await new Promise((resolve) => setTimeout(resolve, 60));
  const plain = /^[NSG]+/.exec(client.received.toString('latin1'))?.[0] ?? '';
  const prefix = messages(client.received).length > 0 ? '' : plain;
  const result = {
    types: prefix + client.types(),
    error: errorIn(client.received.subarray(prefix.length)),
    closed: client.ended || client.closed,
  };
  client.socket.destroy();
  return result;
}

for (const version of versions) {
  const missing = missingPostgres(version);
  let postgres: Postgres;
  let lab: Lab;

  before(async () => {
    if (missing) return;
    postgres = await startPostgres({ version });
    lab = await startLab({ host: postgres.socketDir, port: postgres.port }, { trustedBackend: true });
  });
  after(async () => {
    await lab?.listener.stop();
    await postgres?.stop();
  });

  const same: Readonly<Record<string, Buffer>> = {
    'a length of 0': packet(0, 196608),
    'a length of 7': packet(7, 196608),
    'a length of 10 005': packet(10_005, 196608, 'user\0postgres\0\0'),
    'a length of 2^31': packet(2 ** 31, 196608),
    'a negative length': packet(-5, 196608),
    'a wrong terminator': packet(8 + 13, 196608, 'user\0postgres'),
    'a name without a value': packet(8 + 6, 196608, 'user\0\0'),
    'no parameters': packet(9, 196608, '\0'),
    'no user': packet(8 + 19, 196608, 'database\0postgres\0\0'),
    'an ordinary startup': startup(),
    'an empty application_name': startup('postgres', { application_name: '' }),
    'a user named twice': packet(8 + 27, 196608, 'user\0nobody\0user\0postgres\0\0'),
    'a missing database': startup('postgres', { database: 'absent' }),
    'a replication session': startup('postgres', { replication: 'database' }),
    'a replication value that is no boolean': startup('postgres', { replication: 'maybe' }),
    'two unknown options': startup('postgres', { '_pq_.one': '1', '_pq_.two': '2' }),
    'protocol 3.9999': startup('postgres', {}, { major: 3, minor: 9999 }),
    'protocol 3.2': startup('postgres', {}, { major: 3, minor: 2 }),
    SSLRequest: sslRequest(),
    GSSENCRequest: gssencRequest(),
    'SSLRequest with bytes behind it': Buffer.concat([sslRequest(), startup()]),
    'GSSENCRequest with bytes behind it': Buffer.concat([gssencRequest(), startup()]),
    'a direct TLS hello without TLS': Buffer.from('16030100050100000100', 'hex'),
  };
  for (const [name, bytes] of Object.entries(same)) {
    // Debian's 15 is built with GSSAPI and answers G, which we never do.
    if (version === 15 && name.startsWith('GSSENC')) continue;
    test(`${name} gets PostgreSQL ${version}'s own answer`, async (t) => {
      if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
      // The backend's TCP port: bytes reach it as they reach us.
      assert.deepEqual(await answer(lab.port, bytes), await answer(postgres.port, bytes));
    });
  }

  test(`protocols 2.0 and 4.0 are refused with PostgreSQL ${version}'s SQLSTATE and words`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    for (const major of [2, 4]) {
      const ours = (await answer(lab.port, startup('postgres', {}, { major, minor: 0 }))).error;
      const theirs = (await answer(postgres.port, startup('postgres', {}, { major, minor: 0 }))).error;
      assert.match(ours ?? '', new RegExp(`^FATAL 0A000 unsupported frontend protocol ${major}.0: server supports 3.0 to`));
      // To 2.0 PostgreSQL answers in that version's form, which has no SQLSTATE.
      if (major === 4) assert.equal(ours?.slice(0, -3), theirs?.slice(0, -3));
    }
  });

  test(`every packet may come one byte at a time (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const client = await RawClient.connect(lab.port);
    await client.sendBytewise(gssencRequest());
    await client.until((c) => c.received.length === 1);
    await client.sendBytewise(sslRequest());
    await client.until((c) => c.received.length === 2);
    assert.equal(client.received.toString(), 'NN');
    client.received = Buffer.alloc(0);
    await client.sendBytewise(startup());
    await client.until((c) => c.types().endsWith('Z'));
    await client.sendBytewise(query('select 42'));
    await client.until((c) => /ZTDCZ$/.test(c.types()));
    client.socket.destroy();
  });

  test(`a startup, a query and Terminate in one segment are all answered (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const client = await RawClient.connect(lab.port);
    client.send(startup(), query('select 1'), query('select 2'), Buffer.from([0x58, 0, 0, 0, 4]));
    await client.toEnd();
    assert.match(client.types(), /^RS+KZTDCZTDCZ$/);
  });

  test(`a client that half-closes after its query still gets the answer (${version})`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const client = await RawClient.connect(lab.port);
    client.socket.end(Buffer.concat([startup(), query('select 1')]));
    await client.toEnd();
    assert.match(client.types(), /^RS+KZTDCZ$/);
  });
}

test('a second SSLRequest, and a second GSSENCRequest, are refused as a version', async () => {
  const lab = await startLab({ port: 1 });
  for (const request of [sslRequest(), gssencRequest()]) {
    const client = await RawClient.connect(lab.port);
    client.send(request);
    await client.until((c) => c.received.length === 1);
    client.received = Buffer.alloc(0);
    client.send(request);
    assert.match(errorIn(await client.toEnd()) ?? '', /^FATAL 0A000 unsupported frontend protocol 1234\.56/);
  }
  await lab.listener.stop();
});

test('a client that says nothing is dropped at the deadline, without a word', async () => {
  const lab = await startLab({ port: 1 }, {}, { loginTimeoutMs: 150 });
  const silent = await RawClient.connect(lab.port);
  const half = await RawClient.connect(lab.port);
  half.send(startup().subarray(0, 20));
  assert.equal((await silent.toEnd()).length, 0);
  assert.equal((await half.toEnd()).length, 0);
  await lab.listener.stop();
});

test('a client whose backend says nothing is told of the timeout', async () => {
  const backend = await fakeBackend(() => {});
  const lab = await startLab({ port: backend.port }, {}, { loginTimeoutMs: 150 });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  assert.equal(errorIn(await client.toEnd()), 'FATAL 57014 canceling authentication due to timeout');
  await lab.listener.stop();
  backend.stop();
});

test('a backend that is not there is told without its address', async () => {
  const lab = await startLab({ port: 1 });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  assert.equal(errorIn(await client.toEnd()), 'FATAL 08001 could not connect to the backend: connection refused');
  assert.match(lab.log.text, /ECONNREFUSED 127\.0\.0\.1:1/);
  await lab.listener.stop();
});

test('a backend that closes in the middle of the login is told as 08006', async () => {
  const backend = await fakeBackend((socket) => socket.once('data', () => socket.end()));
  const lab = await startLab({ port: backend.port });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  assert.match(errorIn(await client.toEnd()) ?? '', /^FATAL 08006 /);
  await lab.listener.stop();
  backend.stop();
});

test('a client that leaves during its login takes the backend connection with it', async () => {
  const backend = await fakeBackend(() => {});
  const lab = await startLab({ port: backend.port });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  await client.until(() => backend.connections.length === 1);
  const closed = new Promise((resolve) => backend.connections[0]!.once('close', resolve));
  backend.connections[0]!.resume();
  client.socket.resetAndDestroy();
  await closed;
  await lab.listener.stop();
  backend.stop();
});

test('a taken port and a key that is not the certificate’s are errors at start', async () => {
  const lab = await startLab({ port: 1 });
  await assert.rejects(startLab({ port: 1 }, {}, { port: lab.port }), /cannot listen on 127\.0\.0\.1:\d+: the port is in use/);
  await assert.rejects(startLab({ port: 1 }, {}, { tls: { cert: 'x', key: 'y' } }), /the TLS certificate and key cannot be used/);
  await lab.listener.stop();
});

test('above maxConnections a client is refused with 53300', async () => {
  const backend = await fakeBackend(() => {});
  const lab = await startLab({ port: backend.port }, {}, { limits: clientLimits({ maxConnections: 1 }) });
  const first = await RawClient.connect(lab.port);
  first.send(startup());
  await first.until(() => backend.connections.length === 1);
  const second = await RawClient.connect(lab.port);
  second.send(startup());
  assert.equal(errorIn(await second.toEnd()), 'FATAL 53300 sorry, too many clients already');
  first.socket.destroy();
  await lab.listener.stop();
  backend.stop();
});

test('replication is any spelling that PostgreSQL takes for true, or database', () => {
  for (const value of ['database', 'true', 'TRUE', 't', 'tru', 'yes', 'y', 'on', 'ON', '1'])
    assert.equal(asksForReplication(value), true, value);
  for (const value of ['', 'false', 'off', 'of', 'o', '0', 'no', 'Database', '2', 'truex'])
    assert.equal(asksForReplication(value), false, value);
});
