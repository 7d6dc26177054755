/** A backend that lies: lengths that no message has, messages that answer nothing, in the greeting and afterwards. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { onLinux } from '../servers/processes.ts';
import { encodeLine, startupPacket } from '../wire/encode.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';
import { type LyingPath, startLyingPath } from './lyingPath.ts';

/** Both proxies share the catalog. */
const key = Buffer.alloc(32, 6).toString('base64');
/** What the relay takes notice of, what it only counts, and what no message begins with. */
const types = 'DCEZSKRN\xff'.split('');
const lengths = [-2_147_483_648, -1, 0, 3, 4, 5, 1_073_741_824, 2_147_483_647];

const readyForQuery = Buffer.from([0x5a, 0, 0, 0, 5, 0x49]);

/** A head with what follows it, as far as that is little. */
function message(type: string, length: number, body = Buffer.alloc(Math.max(0, Math.min(length - 4, 100)))): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(length, 1);
  return Buffer.concat([head, body]);
}

describe('a lying backend', { skip: missingPostgres(15) || onLinux }, () => {
  let lab: FaultLab;
  let path: LyingPath;
  let proxy: Pgpier;
  before(async () => {
    lab = await startFaultLab({ env: { PGPIER_SECRET_KEY: key } });
    path = await startLyingPath({ path: `${lab.postgres.socketDir}/.s.PGSQL.${lab.postgres.port}` });
    proxy = await startPgpier({
      env: {
        PGPIER_BACKEND: `postgres://postgres@127.0.0.1:${path.port}/postgres?sslmode=disable`,
        // Its own connections are told the truth.
        PGPIER_CATALOG: lab.postgres.connectionString('pgpier'),
        PGPIER_TRUST_BACKEND: 'on',
        PGPIER_SECRET_KEY: key,
      },
    });
  });
  after(async () => {
    await proxy?.stop();
    path?.stop();
    await lab?.stop();
  });

  /** What a client hears of a lie told while it logs in, or when it asks, after so many true answers: up to the server's end. */
  async function heard(port: number, lie: Buffer, when: 'login' | readonly string[], truths?: number): Promise<string> {
    const socket = connect(port, '127.0.0.1');
    let received = Buffer.alloc(0);
    let ended = false;
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
    });
    const over = new Promise<void>((resolve) => {
      socket.once('end', resolve).once('close', resolve);
    }).then(() => {
      ended = true;
    });
    socket.on('error', () => {});
    // Connections of PgPier's own come at moments of their own.
    const told = truths === undefined ? 'clients' : '';
    if (when === 'login') path.lie(lie, 0, told);
    socket.write(startupPacket({ user: 'postgres', database: 'clients' }));
    if (when !== 'login') {
      await eventually('the greeting', () => received.includes(readyForQuery));
      received = Buffer.alloc(0);
      path.lie(lie, truths, told);
      // FIN: where less is said than the lie waits for, the session ends with its answers.
      socket.end(Buffer.concat(when.map(encodeLine)));
    }
    await Promise.race([over, sleep(10_000, undefined, { ref: false })]);
    path.tellTruth();
    socket.destroy();
    assert.ok(ended, `the session hangs after ${lie.subarray(0, 5).toString('hex')} at ${when}`);
    return received.toString('latin1');
  }

  const fewLies = 'DEZ1'.split('').flatMap((type) => [3, 5].map((length) => message(type, length)));
  const everyLie = types.flatMap((type) => lengths.map((length) => message(type, length)));

  test('what it says in a session reaches the client as it is, and the session ends with it', async () => {
    for (const lie of everyLie) {
      const bare = await heard(path.port, lie, ['Q "select 1"']);
      assert.equal(await heard(proxy.port, lie, ['Q "select 1"']), bare, lie.subarray(0, 5).toString('hex'));
    }
    await lab.noBackendLeft();
  });

  test('a lie in place of any answer that a statement of ours needs ends the session, and nothing else', async () => {
    const show = 'show external connections';
    const statements = [
      [`Q "${show}"`],
      // Refused: PostgreSQL's error is replaced by ours.
      [`Q "${show} of"`],
      [`P s "${show}"`, 'D S s', 'B p s', 'D P p', 'E p', 'C S s', 'S'],
      [`P s "${show} of"`, 'S'],
      ['Q "begin"', `Q "${show}"`, 'Q "commit"'],
    ];
    for (const statement of statements) {
      for (const truths of [0, 1, 2]) for (const lie of fewLies) await heard(proxy.port, lie, statement, truths);
    }
    await lab.noBackendLeft();
    await serves();
  });

  test('a lie in the login, instead of the greeting or in it, ends the login with an error', async () => {
    const authenticationOk = message('R', 8, Buffer.alloc(4));
    for (const lie of everyLie) {
      for (const told of [lie, Buffer.concat([authenticationOk, lie])]) {
        const received = await heard(proxy.port, told, 'login');
        // An error, even an empty one, is the backend's to tell; at a ReadyForQuery the login is over, and with it the session.
        if (lie[0] === 0x45 && received !== '') continue;
        if (lie[0] === 0x5a && told !== lie && received.endsWith(lie.toString('latin1'))) continue;
        assert.match(received, /SFATAL\0.*\0C08(?:P01|006)\0M/s, told.subarray(0, 14).toString('hex'));
      }
    }
    await lab.noBackendLeft();
    await serves();
  });

  async function serves(): Promise<void> {
    const client = new pg.Client(proxy.connectionString('clients'));
    await client.connect();
    assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
    assert.deepEqual((await client.query('show external connections')).rows, []);
    await client.end();
  }
});
