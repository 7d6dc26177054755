import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { missingPostgres, startPostgres } from './postgres.ts';

for (const version of [15, 18] as const) {
  test(`a PostgreSQL ${version} comes up, answers over TCP and socket, restarts and leaves nothing behind`, {
    skip: missingPostgres(version),
  }, async () => {
    const server = await startPostgres({ version, settings: { log_statement: 'all' } });
    try {
      for (const connectionString of [
        server.connectionString(),
        `postgres://postgres@/postgres?host=${server.socketDir}&port=${server.port}`,
      ]) {
        const client = new pg.Client({ connectionString });
        await client.connect();
        const { rows } = await client.query("select current_user as who, current_setting('server_version_num')::int / 10000 as major");
        assert.deepEqual(rows, [{ who: 'postgres', major: version }]);
        await client.end();
      }
      await server.restart();
      const again = new pg.Client(server.connectionString());
      await again.connect();
      await again.query("select 'seen in the log'");
      await again.end();
      assert.match(readFileSync(server.logFile, 'utf8'), /seen in the log/);
    } finally {
      await server.stop();
    }
    assert.equal(existsSync(server.dataDir), false);
    assert.throws(() => process.kill(server.pid, 0), { code: 'ESRCH' });
  });
}

test('a server whose test process is killed goes away by itself', { skip: missingPostgres(15) }, async () => {
  const script = `import { startPostgres } from '${import.meta.resolve('./postgres.ts')}';
    const s = await startPostgres({ version: 15 }); console.log(s.pid + ' ' + s.dataDir); setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
  const line = await new Promise<string>((resolve) => child.stdout.once('data', (data) => resolve(String(data).trim())));
  const [pid, dataDir] = line.split(' ');
  child.kill('SIGKILL');
  for (let waited = 0; existsSync(dataDir!) && waited < 10_000; waited += 100) await sleep(100);
  assert.equal(existsSync(dataDir!), false);
  assert.equal(isRunning(Number(pid)), false);
});

/** One that has ended may still stand in the table of processes, where nothing takes in the orphans (a container without an init). */
function isRunning(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  if (existsSync('/proc/self/stat')) return existsSync(stat) && !/\) [ZX] /.test(readFileSync(stat, 'latin1'));
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
