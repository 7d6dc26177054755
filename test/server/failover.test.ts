/** A primary and its standby behind one PgPier: sessions, statements of ours and jobs go to the server that is of the kind wanted, after a failover too. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import * as net from 'node:net';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier as startProxy } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { cancelQueryOf } from './loginLab.ts';

const skip = missingPostgres(15);
const PGPIER_SECRET_KEY = randomBytes(32).toString('hex');
let first: Postgres;
let second: Postgres;

before(async () => {
  if (skip) return;
  first = await startPostgres({ version: 15 });
  second = await startPostgres({ version: 15, standbyOf: first });
});
after(async () => {
  await second?.stop();
  await first?.stop();
});

/** The standby is named first: order alone must not decide. */
const hosts = (): string => `127.0.0.1:${second.port},127.0.0.1:${first.port}`;

function startPgpier(parameters: string, env: Readonly<Record<string, string>> = {}, at = hosts()): Promise<Pgpier> {
  const PGPIER_BACKEND = `postgres://postgres@${at}/postgres?${parameters}`;
  return startProxy({ env: { PGPIER_BACKEND, PGPIER_TRUST_BACKEND: 'on', PGPIER_SECRET_KEY, PGPIER_LOG_LEVEL: 'info', ...env } });
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function patiently<T>(attempt: () => Promise<T>): Promise<T> {
  for (let waited = 0; ; waited += 200) {
    try {
      return await attempt();
    } catch (error) {
      if (waited > 15_000) throw error;
      await sleep(200);
    }
  }
}

const portOf = async (client: pg.Client): Promise<number> => Number((await client.query('show port')).rows[0].port);

test('standby and prefer-standby lead to the standby, any to the first, cancels too; what PgPier itself does goes to the primary', {
  skip,
}, async () => {
  for (const [attrs, expected] of [
    ['standby', second],
    ['prefer-standby', second],
    ['read-only', second],
    ['any', second],
    ['primary', first],
  ] as const) {
    const proxy = await startPgpier(`target_session_attrs=${attrs}`);
    const client = await connect(proxy.url);
    assert.equal(await portOf(client), expected.port, attrs);
    assert.deepEqual((await client.query('show external connections')).rows, []);
    const cancelled = assert.rejects(client.query('select pg_sleep(30)'), { code: '57014' });
    await sleep(200);
    await cancelQueryOf(client, proxy.port);
    await cancelled;
    await client.end();
    await proxy.stop();
  }
});

test('where no host is of the kind, a login is told, and PgPier goes on', { skip }, async () => {
  const proxy = await startPgpier('target_session_attrs=standby', {}, `127.0.0.1:${first.port}`);
  await assert.rejects(connect(proxy.url), (error: pg.DatabaseError) => {
    assert.match(error.message, /none of its hosts is a standby/);
    return error.severity === 'FATAL';
  });
  await assert.rejects(connect(proxy.url), /none of its hosts is a standby/);
  await proxy.stop();
});

test('a host that refuses and one that says nothing are passed over', { skip }, async () => {
  const silent = net.createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as net.AddressInfo;
  const proxy = await startPgpier('connect_timeout=2', {}, `127.0.0.1:1,127.0.0.1:${port},127.0.0.1:${first.port}`);
  const client = await connect(proxy.url);
  assert.equal(await portOf(client), first.port);
  await client.end();
  const others = await Promise.all(Array.from({ length: 10 }, () => connect(proxy.url)));
  await Promise.all(others.map((each) => each.end()));
  await proxy.stop();
  silent.close();
});

test('after a failover sessions, connections, an export and a backup are served by the new primary', { skip }, async () => {
  const proxy = await startPgpier('target_session_attrs=primary', { PGPIER_RELAYS: '2' });
  const session = await connect(proxy.url);
  assert.equal(await portOf(session), first.port);
  await session.query("create external connection kept as 'nodelocal://1/kept'");
  await session.query("export into csv 'external://kept/before' from select 1");
  const lost = new Promise<{ code?: string }>((resolve) => session.once('error', resolve));
  // The commits of the test servers do not wait for their WAL to be written: what is inserted counts.
  await patiently(async () => {
    const direct = await connect(first.connectionString());
    const { rows } = await direct.query('select replay_lsn >= pg_current_wal_insert_lsn() as caught_up from pg_stat_replication');
    await direct.end();
    assert.equal(rows[0]?.caught_up, true);
  });

  first.kill('SIGINT');
  // PostgreSQL's own words, relayed.
  assert.equal((await lost).code, '57P01');
  const standby = await connect(second.connectionString());
  await standby.query('select pg_promote()');
  await standby.end();

  const client = await patiently(() => connect(proxy.url));
  assert.equal(await portOf(client), second.port);
  await patiently(async () => {
    const { rows } = await client.query('show external connections');
    assert.deepEqual(
      rows.map((row) => row.connection_name),
      ['kept'],
    );
  });
  assert.equal((await client.query("export into csv 'external://kept/after' from select generate_series(1, 4)")).rows[0].rows, '4');
  const { rows } = await client.query("backup database postgres into 'external://kept/backup'");
  assert.equal(rows[0].status, 'succeeded');
  assert.match(proxy.stderr(), new RegExp(`127\\.0\\.0\\.1:${second.port} is a standby[^]*127\\.0\\.0\\.1:${second.port} is a primary`));
  await client.end();
  await proxy.stop();
});
