/** More than anybody means well: silent connections, storms of cancels, both sides that do not read, lengths that no message has. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { onLinux, residentMiB } from '../servers/processes.ts';
import { WireSession } from '../wire/wireSession.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';
import { startStoppable } from './stoppable.ts';

const LOGIN_TIMEOUT_S = 8;
/** Both proxies share the catalog. */
const key = Buffer.alloc(32, 5).toString('base64');
const openFiles = process.platform === 'linux' ? Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' })) || 1_000_000 : 0;
/** One file each, here and in the proxy. */
const silentConnections = Math.min(10_000, openFiles - 500);

describe('floods', { skip: missingPostgres(15) || onLinux }, () => {
  let lab: FaultLab;
  before(async () => {
    lab = await startFaultLab({ env: { PGPIER_LOGIN_TIMEOUT: String(LOGIN_TIMEOUT_S), PGPIER_SECRET_KEY: key } });
  });
  after(() => lab?.stop());

  const answers = async (): Promise<void> => {
    const client = await lab.client();
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    await client.end();
  };

  test(`${silentConnections} connections that say nothing cost little, keep nobody out, and are closed at the login timeout`, async () => {
    const before = residentMiB(lab.pgpier.pid);
    let closed = 0;
    const sockets: Socket[] = [];
    for (let opened = 0; opened < silentConnections; opened += 250) {
      const some = Array.from({ length: Math.min(250, silentConnections - opened) }, () => {
        const socket = connect({ host: lab.pgpier.host, port: lab.pgpier.port });
        socket.on('error', () => {}).on('close', () => closed++);
        return socket;
      });
      sockets.push(...some);
      await Promise.all(some.map((socket) => new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))));
    }
    const open = sockets.filter((socket) => !socket.destroyed);
    await answers();
    const grown = residentMiB(lab.pgpier.pid) - before;
    for (const socket of sockets) socket.resume();
    // The last was opened when the test's own work was done: some time beyond the timeout is its own.
    await eventually('all of them closed', () => closed === sockets.length, (LOGIN_TIMEOUT_S + 10) * 1000);
    await answers();
    assert.ok(open.length > 0, 'some were still open when others logged in');
    assert.ok(grown < silentConnections * 0.02 + 48, `${grown.toFixed(0)} MiB for ${silentConnections}`);
  });

  test('storms of cancel requests, right and wrong, cancel what runs and nothing else', async () => {
    const session = await lab.wire();
    const bystander = await lab.client();
    const storm = (secret: Buffer): Promise<unknown>[] =>
      Array.from({ length: 300 }, () => cancelOnce({ host: lab.pgpier.host, port: lab.pgpier.port }, session.pid, secret));
    await session.send('Q "select pg_sleep(60)"');
    await eventually('it runs', async () => (await lab.backends()).some(({ query }) => query.includes('pg_sleep')));
    const wrong = storm(Buffer.from(session.key.map((byte) => byte ^ 0xff)));
    for (let asked = 0; asked < 20; asked++) assert.equal((await bystander.query('select 1 as one')).rows[0].one, 1);
    await Promise.all(wrong);
    assert.ok((await lab.backends()).some(({ query, state }) => query.includes('pg_sleep') && state === 'active'));
    const right = storm(session.key);
    const heard = await session.until('Z');
    assert.ok(heard.some((line) => /^E ERROR 57014 "canceling statement due to user request"/.test(line)));
    await Promise.all(right);
    // A signal may still be on its way in PostgreSQL's own process when its connection has closed: to a session without us as well.
    await sleep(200);
    assert.deepEqual(await session.ask('Q "select 2 as two"'), ['T (two:23 size 4)', 'D ("2")', 'C SELECT 1', 'Z I']);
    session.close();
    await bystander.end();
  });

  test('a backend that does not read and a client that does not read, both at once, stall and cost nothing', async () => {
    const path = await startStoppable({ path: `${lab.postgres.socketDir}/.s.PGSQL.${lab.postgres.port}` });
    const proxy = await startPgpier({
      env: { PGPIER_BACKEND: `postgres://postgres@127.0.0.1:${path.port}/postgres`, PGPIER_TRUST_BACKEND: 'on', PGPIER_SECRET_KEY: key },
    });
    try {
      const session = await WireSession.open({ host: proxy.host, port: proxy.port }, { user: 'postgres', database: 'clients' });
      const before = residentMiB(proxy.pid);
      path.stopReading();
      session.reading(false);
      const text = `select '${'x'.repeat(100_000)}'`;
      let sent = 0;
      const sending = (async () => {
        for (; sent < 1_000; sent++) await session.send(`Q ${JSON.stringify(text)}`);
      })();
      await sleep(2_000);
      const stalledAt = sent;
      await sleep(500);
      assert.ok(sent < 1_000 && sent - stalledAt < 5, `${sent} queries of 100 kB were taken by nobody`);
      assert.ok(residentMiB(proxy.pid) - before < 48, `${(residentMiB(proxy.pid) - before).toFixed(0)} MiB`);
      path.readOn();
      session.reading(true);
      let rows = 0;
      while (rows < 1_000) if ((await session.next(30_000))?.letter === 'D') rows++;
      await sending;
      session.close();
    } finally {
      path.readOn();
      await proxy.stop();
      path.stop();
    }
  });

  test('every message with every length that it cannot have ends as it ends at PostgreSQL', async () => {
    const types = 'QPBEDCSHXdcfFpRZ\0\xff'.split('');
    const lengths = [-2_147_483_648, -1, 0, 3, 4, 5, 10_001, 1_073_741_824, 2_147_483_647];
    const endpoints = [
      { path: `${lab.postgres.socketDir}/.s.PGSQL.${lab.postgres.port}` } as const,
      { host: lab.pgpier.host, port: lab.pgpier.port } as const,
    ];
    for (const type of types) {
      const outcomes = await Promise.all(
        endpoints.map((endpoint) =>
          Promise.all(
            lengths.map(async (length) => {
              const session = await WireSession.open(endpoint, { user: 'postgres', database: 'clients' });
              const head = Buffer.alloc(5);
              head.write(type, 'latin1');
              head.writeInt32BE(length, 1);
              // What a whole message of that length would have; longer ones are left unfinished, and the client goes.
              await session.write(Buffer.concat([head, Buffer.alloc(Math.max(0, Math.min(length - 4, 10_000)))]));
              session.halfClose();
              const heard = await session.untilEnd().catch((error: Error) => [error.message]);
              session.close();
              return `${length}: ${heard.join(' | ')}`;
            }),
          ),
        ),
      );
      assert.deepEqual(outcomes[1], outcomes[0], JSON.stringify(type));
    }
    await lab.noBackendLeft();
    await answers();
  });
});

function cancelOnce(endpoint: { host: string; port: number }, pid: number, key: Buffer): Promise<void> {
  const packet = Buffer.alloc(12);
  packet.writeInt32BE(12 + key.length, 0);
  packet.writeInt32BE(80877102, 4);
  packet.writeInt32BE(pid, 8);
  return new Promise((resolve) => {
    const socket = connect(endpoint as NetConnectOpts);
    socket.on('error', () => {}).on('close', () => resolve());
    socket.resume().write(Buffer.concat([packet, key]));
  });
}
