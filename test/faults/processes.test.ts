/** The proxy and its workers killed or told to stop. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres } from '../servers/postgres.ts';
import { descendants, onLinux, readProc } from '../servers/processes.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';

describe('processes that end', { skip: missingPostgres(15) || onLinux }, () => {
  let lab: FaultLab | undefined;
  afterEach(async () => {
    await lab?.stop();
    lab = undefined;
  });
  const alive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch {
      return false;
    }
  };
  const running = (text: string) =>
    eventually(`${text} runs`, async () => (await lab!.backends()).some(({ state, query }) => state === 'active' && query.includes(text)));
  const workers = (): number[] => descendants(lab!.pgpier.pid).filter((pid) => /worker/i.test(readProc(pid, 'cmdline')));

  test('SIGTERM with idle sessions: each hears 57P01, the process ends with 0, no child is left', async () => {
    lab = await startFaultLab();
    const idle = [await lab.wire(), await lab.wire()];
    await idle[0]!.ask('Q "show external connections"');
    const children = descendants(lab.pgpier.pid);
    lab.pgpier.kill('SIGTERM');
    for (const session of idle) {
      const heard = await session.untilEnd();
      assert.match(heard[0] ?? '', /^E FATAL 57P01 /);
      assert.equal(heard.at(-1), 'eof');
    }
    assert.equal(await lab.pgpier.exited, 0);
    await eventually('children are gone', () => !children.some(alive));
    await lab.noBackendLeft();
  });

  test('SIGTERM while a query runs: it is answered, then the session ends; new ones are refused', async () => {
    lab = await startFaultLab();
    const busy = await lab.wire();
    await busy.send('Q "select pg_sleep(1), \'finished\'"');
    await running('pg_sleep(1)');
    lab.pgpier.kill('SIGTERM');
    await sleep(100);
    await assert.rejects(async () => {
      const late = await lab!.wire();
      const greeting = late.greeting.join('\n');
      late.close();
      if (/^E FATAL 57P0/m.test(greeting) || greeting === '') throw new Error('refused');
    });
    const heard = await busy.untilEnd();
    assert.ok(heard.includes('D ("", "finished")'), heard.join('\n'));
    assert.equal(heard.at(-1), 'eof');
    assert.equal(await lab.pgpier.exited, 0);
    await lab.noBackendLeft();
  });

  test('SIGTERM with a block that never ends: the drain timeout cuts it', async () => {
    lab = await startFaultLab({ env: { PGPIER_DRAIN_TIMEOUT: '1' } });
    const session = await lab.wire();
    await session.ask('Q "begin; select 1"');
    lab.pgpier.kill('SIGTERM');
    const heard = await session.untilEnd();
    assert.equal(heard.at(-1), 'eof', heard.join('\n'));
    assert.equal(await lab.pgpier.exited, 0);
    await lab.noBackendLeft();
  });

  test('SIGTERM during an export: it finishes or fails with a reason, and leaves no half file', async () => {
    lab = await startFaultLab({ env: { PGPIER_DRAIN_TIMEOUT: '3' } });
    const session = await lab.wire();
    await session.send(`Q "export into csv 'nodelocal://self/term' from select i, pg_sleep(0.001) from generate_series(1, 100000) i"`);
    await running('generate_series');
    const { externalDirectory } = lab.pgpier;
    lab.pgpier.kill('SIGTERM');
    const heard = await session.untilEnd();
    assert.equal(heard.at(-1), 'eof', heard.join('\n'));
    await lab.pgpier.exited;
    await lab.noBackendLeft();
    assert.deepEqual(filesUnder(join(externalDirectory, 'term')), []);
  });

  test('SIGKILL: clients are cut, backends and workers go by themselves', async () => {
    lab = await startFaultLab();
    const session = await lab.wire();
    await session.ask('Q "begin; select 1"');
    const exporter = await lab.wire();
    await exporter.send(`Q "export into csv 'nodelocal://self/kill' from select i, pg_sleep(0.01) from generate_series(1, 100000) i"`);
    await running('generate_series');
    const children = descendants(lab.pgpier.pid);
    assert.ok(children.length > 0);
    lab.pgpier.kill('SIGKILL');
    assert.equal((await session.untilEnd()).at(-1), 'eof');
    await eventually('workers are gone', () => !children.some(alive), 15_000);
    await lab.noBackendLeft();
  });

  test('a worker killed in the middle of an export: the client hears it, the next export runs', async () => {
    lab = await startFaultLab();
    const session = await lab.wire();
    await session.send(`Q "export into csv 'nodelocal://self/worker' from select i, pg_sleep(0.01) from generate_series(1, 100000) i"`);
    await running('generate_series');
    const killed = workers();
    assert.ok(killed.length > 0, 'no worker found');
    for (const pid of killed) process.kill(pid, 'SIGKILL');
    const heard = await session.until('Z');
    assert.match(heard.find((line) => line.startsWith('E ')) ?? '', /^E ERROR 58000 /, heard.join('\n'));
    assert.equal(heard.at(-1), 'Z I');
    await eventually(
      'the job login is dropped',
      async () => (await lab!.sql("select from pg_roles where rolname like 'pgpier_job%'")).length === 0,
    );
    assert.deepEqual(filesUnder(join(lab.pgpier.externalDirectory, 'worker')), []);
    const again = await session.ask(`Q "export into csv 'nodelocal://self/again' from select 1"`);
    assert.equal(again.at(-1), 'Z I');
    assert.match(again.find((line) => line.startsWith('D ')) ?? again.join('\n'), /^D \("export\w+-n1\.0\.csv", "1", "2"\)/);
    session.close();
    await lab.noBackendLeft();
  });

  test('PostgreSQL restarts: sessions end, later ones work, and so do statements of ours', async () => {
    lab = await startFaultLab();
    const before = await lab.client();
    await before.query("create external connection kept as 'nodelocal://self/kept'");
    const session = await lab.wire();
    await lab.postgres.restart();
    assert.equal((await session.untilEnd()).at(-1), 'eof');
    await before.end().catch(() => {});
    const after = await lab.client();
    assert.deepEqual((await after.query('select 1 as a')).rows, [{ a: 1 }]);
    let names: string[] = [];
    await eventually('the catalog answers again', async () => {
      names = await after.query('show external connections').then(
        ({ rows }) => rows.map((row) => row.connection_name),
        () => [],
      );
      return names.length > 0;
    });
    assert.deepEqual(names, ['kept']);
    await after.end();
  });

  test('PostgreSQL is down: a client hears why, and the proxy lives on', async () => {
    lab = await startFaultLab();
    lab.postgres.kill('SIGINT');
    await eventually('the server is down', () => !alive(lab!.postgres.pid));
    const session = await lab.wire();
    assert.match(session.greeting[0] ?? '', /^E FATAL (57P03|08\w{3}) /, session.greeting.join('\n'));
    session.close();
    assert.ok(alive(lab.pgpier.pid));
  });
});

function filesUnder(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true }) as string[];
  } catch {
    return [];
  }
}
