/** Idle sessions are ended as PostgreSQL's own idle_session_timeout ends them; what is in use is not. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';

async function open(url: string): Promise<{ client: pg.Client; lost: Promise<string> }> {
  const client = new pg.Client(url);
  const lost = new Promise<string>((resolve) => {
    client.on('error', (error) => {
      const { severity, code, message } = error as pg.DatabaseError;
      if (code !== undefined) resolve(`${severity} ${code} ${message}`);
    });
  });
  await client.connect();
  return { client, lost };
}

describe('idle timeout', { skip: missingPostgres(18) }, () => {
  test('an idle session ends as with idle_session_timeout; one in a transaction or with a statement under way goes on', async (t) => {
    const postgres = await startPostgres({ version: 18 });
    t.after(() => postgres.stop());
    const proxy = await startPgpier({ backend: postgres, env: { PGPIER_IDLE_TIMEOUT: '1' } });
    t.after(() => proxy.stop());
    const [idle, inTransaction, sleeping, own, talking] = await Promise.all([1, 2, 3, 4, 5].map(() => open(proxy.connectionString())));
    await idle!.client.query('select 1');
    await inTransaction!.client.query('begin');
    const slept = sleeping!.client.query("select pg_sleep(3), 'slept' as what");
    // A first query that is ours, and a session that never sent one.
    const { rows } = await own!.client.query('SHOW EXTERNAL CONNECTIONS');
    assert.deepEqual(rows, []);
    const untalked = await open(proxy.connectionString());
    for (let times = 0; times < 12; times++) {
      await sleep(250);
      await talking!.client.query('select 1');
    }
    const direct = await open(postgres.connectionString());
    await direct.client.query("set idle_session_timeout = '200ms'");
    const expected = await direct.lost;
    assert.match(expected, /^FATAL 57P05 /);
    for (const ended of [idle!, own!, untalked]) assert.equal(await ended.lost, expected);
    assert.equal((await slept).rows[0].what, 'slept');
    assert.equal((await inTransaction!.client.query('select 1 as one')).rows[0].one, 1);
    await inTransaction!.client.query('rollback');
    assert.equal(await inTransaction!.lost, expected);
    // The backend's sessions are gone too, but for PgPier's own.
    const eyes = await open(postgres.connectionString());
    const left = `select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and application_name = '' and pid <> pg_backend_pid()`;
    for (let waited = 0; waited < 5_000 && (await eyes.client.query(left)).rows[0].n > 1; waited += 50) await sleep(50);
    assert.ok((await eyes.client.query(left)).rows[0].n <= 1);
    await eyes.client.end();
    await talking!.client.end().catch(() => {});
  });
});
