/** Networks, numbers of clients and of a role's sessions: the limits before the backend. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import pg from 'pg';
import type { PgPierError } from '../../errors.ts';
import { clientLimits } from '../../server/login/clientLimits.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const skip = missingPostgres(15);
let postgres: Postgres;
let proxy: Pgpier;

before(async () => {
  if (skip) return;
  postgres = await startPostgres({ version: 15 });
  const env = { PGPIER_MAX_CONNECTIONS: '3', PGPIER_MAX_CONNECTIONS_PER_ROLE: '1', PGPIER_LOGIN_TIMEOUT: '1' };
  proxy = await startPgpier({ backend: postgres, env });
  await asSuperuser('create role limited login connection limit 1; create role a login; create role b login; create role c login');
});
after(async () => {
  await proxy?.stop();
  await postgres?.stop();
});

test('a client’s network is told by address, IPv4 in its IPv6 form too', async () => {
  const limits = clientLimits({ clientNetworks: ['10.1.0.0/16', 'fd00::/8'] });
  for (const inside of ['10.1.2.3', '::ffff:10.1.255.1', 'fd12::1']) (await limits.enter(inside))();
  for (const outside of ['10.2.0.1', '::ffff:10.2.0.1', '127.0.0.1', 'fe80::1%eth0', undefined])
    await assert.rejects(limits.enter(outside), ({ data }: PgPierError) => data.sqlstate === '28000', String(outside));
});

test('an empty list of networks lets nobody in', async () => {
  await assert.rejects(clientLimits({ clientNetworks: [] }).enter('127.0.0.1'), /connections from 127\.0\.0\.1 are refused/);
});

test('a second session of a role is refused as PostgreSQL refuses it for CONNECTION LIMIT, and let in after the first has gone', {
  skip,
}, async () => {
  const direct = await connect(postgres.connectionString('postgres', 'limited'));
  const truth = await refusal(postgres.connectionString('postgres', 'limited'));
  await direct.end();
  const first = await connect(proxy.connectionString('postgres', 'a'));
  const ours = await refusal(proxy.connectionString('postgres', 'a'));
  assert.equal(ours.code, truth.code);
  assert.equal(ours.severity, truth.severity);
  assert.equal(ours.message, truth.message!.replace('limited', 'a'));
  await first.end();
  await (await patiently(() => connect(proxy.connectionString('postgres', 'a')))).end();
});

test('above PGPIER_MAX_CONNECTIONS a client is refused as by PostgreSQL; refused logins leave no place taken', { skip }, async () => {
  const clients = [];
  for (const role of ['a', 'b', 'c']) clients.push(await patiently(() => connect(proxy.connectionString('postgres', role))));
  for (let i = 0; i < 5; i++) {
    const { code, message } = await refusal(proxy.connectionString('postgres', 'limited'));
    assert.deepEqual([code, message], ['53300', 'sorry, too many clients already']);
  }
  await clients[0]!.end();
  for (let i = 0; i < 5; i++) assert.equal((await patiently(() => refusal(proxy.connectionString('postgres', 'nobody')))).code, '28000');
  clients[0] = await patiently(() => connect(proxy.connectionString('postgres', 'a')));
  for (const client of clients) await client.end();
});

test('clients of other networks are refused with the setting’s name', { skip }, async () => {
  const closed = await startPgpier({
    backend: postgres,
    env: { PGPIER_ALLOW_CLIENTS: '10.0.0.0/8', PGPIER_SECRET_KEY_FILE: keyOf(proxy) },
  });
  try {
    const error = await refusal(closed.connectionString());
    assert.deepEqual([error.severity, error.code, error.message], ['FATAL', '28000', 'connections from 127.0.0.1 are refused']);
    assert.match(error.hint!, /PGPIER_ALLOW_CLIENTS/);
  } finally {
    await closed.stop();
  }
});

test('a wrong network in the setting is told at start', async () => {
  await assert.rejects(
    startPgpier({ env: { PGPIER_ALLOW_CLIENTS: '10.0.0.0/33' } }),
    /PGPIER_ALLOW_CLIENTS holds "10\.0\.0\.0\/33"; a network is written/,
  );
});

function keyOf({ dataDirectory }: Pgpier): string {
  return `${dataDirectory}/secret.key`;
}

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  return client;
}

async function refusal(connectionString: string): Promise<pg.DatabaseError> {
  try {
    await (await connect(connectionString)).end();
  } catch (error) {
    if (error instanceof pg.DatabaseError) return error;
    throw error;
  }
  throw new Error('was let in');
}

/** A place is given back when the proxy has seen the other session's end, which no client can wait for. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      const result = await work();
      if (!(result instanceof pg.DatabaseError && result.code === '53300' && tries < 100)) return result;
    } catch (error) {
      if (!(error instanceof pg.DatabaseError && error.code === '53300') || tries >= 100) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function asSuperuser(sql: string): Promise<void> {
  const client = await connect(postgres.connectionString());
  await client.query(sql);
  await client.end();
}
