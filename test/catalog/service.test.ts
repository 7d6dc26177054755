import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openPool } from '../../catalog/service.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { collectingLog } from './lab.ts';

test('a connection that is lost while it is in use fails its next query, and ends nothing else', {
  skip: missingPostgres(15),
}, async () => {
  const server = await startPostgres({ version: 15 });
  const pool = openPool({ connectionString: server.connectionString() }, 2, collectingLog());
  try {
    const client = await pool.connect();
    const pid = (await client.query('select pg_backend_pid() as pid')).rows[0].pid;
    await client.query('begin');
    // Were the loss an event that nobody hears, it would be this test's (and the proxy's) uncaught exception.
    await pool.query('select pg_terminate_backend($1, 5000)', [pid]);
    // The loss is heard of while nothing is asked.
    await sleep(300);
    await assert.rejects(client.query('select 1'));
    client.release(true);
    assert.equal((await pool.query('select 1 as one')).rows[0].one, 1);
  } finally {
    await pool.end();
    await server.stop();
  }
});
