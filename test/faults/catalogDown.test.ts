/** The catalog on a server of its own, which goes away and comes back: what is forwarded does not notice. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';

const skip = missingPostgres(15);
let backend: Postgres;
let catalog: Postgres;
let proxy: Pgpier;

before(async () => {
  if (skip) return;
  [backend, catalog] = await Promise.all([startPostgres({ version: 15 }), startPostgres({ version: 15 })]);
  const direct = new pg.Client({ connectionString: catalog.connectionString() });
  await direct.connect();
  await direct.query('create database kept_elsewhere');
  await direct.end();
  const PGPIER_CATALOG = catalog.connectionString('kept_elsewhere');
  proxy = await startPgpier({ backend, env: { PGPIER_CATALOG } });
});
after(async () => {
  await proxy?.stop();
  await catalog?.stop();
  await backend?.stop();
});

async function connect(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: proxy.connectionString() });
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** The postmaster and all its children: new connections and those that exist get no answer. */
function freeze(signal: 'STOP' | 'CONT'): void {
  process.kill(catalog.pid, `SIG${signal}`);
  execFileSync('pkill', [`-${signal}`, '-P', String(catalog.pid)]);
}

const names = async (client: pg.Client): Promise<unknown[]> =>
  (await client.query('show external connections')).rows.map((row) => row.connection_name);

test('while the catalog is down sessions and logins go on, statements of PgPier’s own fail in words, and afterwards all is as before', {
  skip,
}, async () => {
  const client = await connect();
  await client.query("create external connection kept as 'nodelocal://1/x'");
  assert.deepEqual(await names(client), ['kept']);
  const restarted = catalog.restart.bind(catalog);
  freeze('STOP');
  const started = Date.now();
  // Stopped in its tracks: worse than refused, nothing answers.
  const silent = assert.rejects(client.query('show external connections'), { code: '57P03' });
  const other = await connect();
  assert.equal((await other.query('select 1 as one')).rows[0].one, 1);
  await silent;
  assert.ok(Date.now() - started < 30_000);
  assert.equal((await client.query('select 2 as two')).rows[0].two, 2);
  freeze('CONT');

  catalog.kill('SIGINT');
  await sleep(500);
  await assert.rejects(names(client), { code: '57P03' });
  await client.query('begin');
  await client.query('create temporary table t (n int)');
  await assert.rejects(client.query("create external connection lost as 'nodelocal://1/y'"), { code: '57P03' });
  await assert.rejects(client.query('select 1'), { code: '25P02' });
  await client.query('rollback');
  const third = await connect();
  assert.equal((await third.query('select count(*)::int as n from pg_class')).rowCount, 1);

  await restarted();
  for (let waited = 0; ; waited += 200) {
    const found = await names(client).catch(() => undefined);
    if (found !== undefined) {
      assert.deepEqual(found, ['kept']);
      break;
    }
    assert.ok(waited < 20_000, 'the catalog is back, and PgPier has not noticed');
    await sleep(200);
  }
  await Promise.all([client, other, third].map((each) => each.end()));
});
