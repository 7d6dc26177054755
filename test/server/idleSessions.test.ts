/** PGPIER_IDLE_TIMEOUT and PGPIER_TCP_KEEPALIVE, beside PostgreSQL's own idle_session_timeout. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const skip = missingPostgres(15);
let postgres: Postgres;
let proxy: Pgpier;

before(async () => {
  if (skip) return;
  postgres = await startPostgres({ version: 15, settings: { wal_level: 'logical' } });
  proxy = await startPgpier({ backend: postgres, env: { PGPIER_IDLE_TIMEOUT: '1', PGPIER_TCP_KEEPALIVE: '77' } });
});
after(async () => {
  await proxy?.stop();
  await postgres?.stop();
});

test('an idle session ends with the error of PostgreSQL’s idle_session_timeout, and the next login works', { skip }, async () => {
  const direct = await connect(postgres.connectionString());
  await direct.query("set idle_session_timeout = '100ms'");
  const truth = await ending(direct);
  const ours = await ending(await connect(proxy.connectionString()));
  assert.deepEqual([ours.code, ours.severity, ours.message], [truth.code, truth.severity, truth.message]);
  await (await connect(proxy.connectionString())).end();
});

test('a session with an open transaction, one with a long statement, one that works and a replication session all stay', {
  skip,
}, async () => {
  const inTransaction = await connect(proxy.connectionString());
  await inTransaction.query('begin');
  const working = await connect(proxy.connectionString());
  const waiting = await connect(proxy.connectionString());
  const replication = new pg.Client({ connectionString: proxy.connectionString(), replication: 'database' } as pg.ClientConfig);
  await replication.connect();
  const long = waiting.query('select pg_sleep(2.6)');
  for (let i = 0; i < 13; i++) {
    await working.query('select 1');
    await sleep(200);
  }
  await long;
  // Idle from now on, not since it asked.
  await sleep(300);
  for (const client of [inTransaction, waiting]) assert.equal((await client.query('select 1 as one')).rows[0].one, 1);
  await replication.query('IDENTIFY_SYSTEM');
  await inTransaction.query('commit');
  for (const client of [inTransaction, working, waiting, replication]) await client.end();
});

const ss = (() => {
  try {
    execFileSync('ss', ['-V']);
    return false;
  } catch {
    return 'ss (iproute2) is not on this machine';
  }
})();

test('the kernel asks after a silent client when PGPIER_TCP_KEEPALIVE says', { skip: skip || ss }, async () => {
  const client = await connect(proxy.connectionString());
  await client.query('begin');
  let sockets = '';
  let timer: RegExpExecArray | null = null;
  // Until the client's kernel has acknowledged the reply, the retransmission timer is shown in its place.
  for (let i = 0; i < 50 && timer === null; i++) {
    sockets = execFileSync('ss', ['-tnoH', 'state', 'established', 'sport', '=', `:${proxy.port}`], { encoding: 'utf8' });
    timer = /timer:\(keepalive,(?:1min(\d+)sec|(\d+)sec)/.exec(sockets);
    if (timer === null) await sleep(50);
  }
  await client.end();
  assert.ok(timer, sockets);
  const seconds = timer[1] === undefined ? Number(timer[2]) : 60 + Number(timer[1]);
  assert.ok(seconds > 60 && seconds <= 77, sockets);
});

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  client.on('error', () => {});
  await client.connect();
  return client;
}

async function ending(client: pg.Client): Promise<pg.DatabaseError> {
  const [error] = (await once(client, 'error', { signal: AbortSignal.timeout(20_000) }).catch(() => [undefined])) as [pg.DatabaseError];
  return error;
}
