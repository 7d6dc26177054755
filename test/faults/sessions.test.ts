/** Sessions that end in the middle of something: nothing may be left on the server, and everybody must hear why. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres } from '../servers/postgres.ts';
import { cancelPacket } from '../wire/encode.ts';
import type { WireSession } from '../wire/wireSession.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';

describe('sessions that end badly', { skip: missingPostgres(15) }, () => {
  let lab: FaultLab;
  before(async () => {
    lab = await startFaultLab();
  });
  after(() => lab?.stop());

  const running = (text: string) =>
    eventually(`${text} runs`, async () => (await lab.backends()).some(({ state, query }) => state === 'active' && query.includes(text)));
  const cancel = async (session: WireSession): Promise<void> => {
    const socket = connect(lab.pgpier.port, lab.pgpier.host);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.resume().write(cancelPacket(session.pid, session.key));
    await closed;
  };
  const terminate = (session: WireSession) => lab.sql(`select pg_terminate_backend(${session.pid})`);

  test('the backend is killed in mid-query: the client hears 57P01 and is closed', async () => {
    const session = await lab.wire();
    await session.send('Q "select pg_sleep(30)"');
    await running('pg_sleep(30)');
    await terminate(session);
    const heard = await session.untilEnd();
    assert.match(heard.at(-2) ?? '', /^E FATAL 57P01 /);
    assert.equal(heard.at(-1), 'eof');
    await lab.noBackendLeft();
  });

  test('the backend is killed while the session is idle: the client hears it at once', async () => {
    const session = await lab.wire();
    await terminate(session);
    const heard = await session.untilEnd();
    assert.match(heard[0] ?? '', /^E FATAL 57P01 /);
  });

  test('the backend is killed while an own statement of the session runs', async () => {
    const session = await lab.wire();
    await session.send(`Q "export into csv 'nodelocal://self/killed' from select pg_sleep(30)"`);
    await running('pg_sleep(30)');
    await terminate(session);
    const heard = await session.untilEnd();
    assert.equal(heard.at(-1), 'eof', heard.join('\n'));
    assert.ok(
      heard.some((line) => line.startsWith('E ')),
      heard.join('\n'),
    );
    await lab.noBackendLeft();
  });

  for (const [how, leave] of [
    ['closes', (session: WireSession) => session.close()],
    ['resets', (session: WireSession) => session.reset()],
    ['half-closes', (session: WireSession) => session.halfClose()],
  ] as const) {
    test(`the client ${how} in an idle block: its backend goes`, async () => {
      const session = await lab.wire();
      await session.ask('Q "begin; select 1"');
      leave(session);
      await lab.noBackendLeft();
      session.close();
    });
  }

  for (const [how, leave] of [
    ['closes', (session: WireSession) => session.close()],
    ['resets', (session: WireSession) => session.reset()],
  ] as const) {
    test(`the client ${how} in the middle of an export: the export ends, and no backend is left`, async () => {
      const session = await lab.wire();
      await session.send(
        `Q "export into csv 'nodelocal://self/gone-${how}' from select i, pg_sleep(0.01) from generate_series(1, 100000) i"`,
      );
      await running('generate_series');
      leave(session);
      await lab.noBackendLeft();
      assert.deepEqual(await lab.sql("select rolname from pg_roles where rolname like 'pgpier_job%'"), []);
    });
    test(`the client ${how} in the middle of an export in the extended protocol`, async () => {
      const session = await lab.wire();
      await session.send(`P "" "export into csv 'nodelocal://self/gone' from select pg_sleep(60)" []`, 'B', 'E', 'S');
      await running('pg_sleep(60)');
      leave(session);
      await lab.noBackendLeft();
    });
  }

  test('the client is gone in mid-query: the backend is left no longer than by a client of its own', async () => {
    const session = await lab.wire();
    await session.ask('Q "set client_connection_check_interval = \'200ms\'"');
    await session.send('Q "select pg_sleep(60)"');
    await running('pg_sleep(60)');
    session.reset();
    await lab.noBackendLeft();
  });

  test('the client is gone in the middle of a result that nobody reads', async () => {
    const session = await lab.wire();
    session.reading(false);
    await session.send(`Q "select repeat('x', 1000) from generate_series(1, 1000000)"`);
    await running('generate_series');
    await sleep(300);
    session.reset();
    await lab.noBackendLeft();
  });

  test('the client is gone in copy-in: nothing is kept', async () => {
    await lab.sql('create table if not exists copied (a int)');
    const session = await lab.wire();
    await session.send('Q "copy copied from stdin"');
    await session.until('G');
    await session.send('d "1\\n2\\n"');
    session.reset();
    await lab.noBackendLeft();
    assert.deepEqual(await lab.sql('select * from copied'), []);
  });

  test('cancel of a running select', async () => {
    const session = await lab.wire();
    await session.send('Q "select pg_sleep(30)"');
    await running('pg_sleep(30)');
    await cancel(session);
    const heard = await session.until('Z');
    assert.match(heard[0] ?? '', /T |E ERROR 57014/);
    assert.ok(
      heard.some((line) => /^E ERROR 57014 "canceling statement due to user request"/.test(line)),
      heard.join('\n'),
    );
    assert.deepEqual((await session.ask('Q "select 1 as a"')).slice(1), ['D ("1")', 'C SELECT 1', 'Z I']);
    session.close();
  });

  test('cancel of an idle session changes nothing, a hundred times', async () => {
    const session = await lab.wire();
    for (let i = 0; i < 100; i++) {
      await session.ask('Q "select 1"');
      await cancel(session);
      const heard = await session.ask('Q "show external connections"');
      assert.ok(!heard.some((line) => line.startsWith('E ')), `round ${i}: ${heard.join('\n')}`);
    }
    session.close();
  });

  test('cancel with a wrong key or pid is ignored', async () => {
    const session = await lab.wire();
    await session.send('Q "select pg_sleep(0.8), \'whole\'"');
    await running('pg_sleep(0.8)');
    for (const [pid, key] of [
      [session.pid, Buffer.from('00000000', 'hex')],
      [session.pid + 1, session.key],
      [session.pid, Buffer.alloc(32, 7)],
      [session.pid, Buffer.alloc(0)],
    ] as const) {
      const socket = connect(lab.pgpier.port, lab.pgpier.host);
      const closed = new Promise((resolve) => socket.once('close', resolve));
      socket
        .on('error', () => {})
        .resume()
        .write(cancelPacket(pid, key));
      await closed;
    }
    const heard = await session.until('Z');
    assert.ok(heard.includes('D ("", "whole")'), heard.join('\n'));
    session.close();
  });

  test('cancel of an export ends it with 57014 and leaves session and server clean', async () => {
    for (const extended of [false, true]) {
      const session = await lab.wire();
      const text = "export into csv 'nodelocal://self/cancelled' from select i, pg_sleep(0.01) from generate_series(1, 100000) i";
      await session.send(...(extended ? [`P "" "${text}" []`, 'B', 'E', 'S'] : [`Q "${text}"`]));
      await running('generate_series');
      await cancel(session);
      const heard = await session.until('Z');
      assert.match(heard.at(-2) ?? '', /^E ERROR 57014 "canceling statement due to user request"/, heard.join('\n'));
      assert.equal(heard.at(-1), 'Z I');
      assert.deepEqual((await session.ask('Q "select 1 as a"')).slice(1), ['D ("1")', 'C SELECT 1', 'Z I']);
      session.close();
      await lab.noBackendLeft();
      assert.deepEqual(await lab.sql("select rolname from pg_roles where rolname like 'pgpier_job%'"), []);
    }
  });

  test('messages sent while an export runs wait, and are answered behind it', async () => {
    const session = await lab.wire();
    await session.send(
      `Q "export into csv 'nodelocal://self/slow' from select pg_sleep(0.5)"`,
      'Q "select 2 as two"',
      'Q "show external connections"',
    );
    const heard = await session.until('Z', 3);
    assert.deepEqual(
      heard.filter((line) => /^[ZCE] /.test(line)).map((line) => line.split(' ', 2).join(' ')),
      ['C EXPORT', 'Z I', 'C SELECT', 'Z I', 'C SHOW', 'Z I'],
    );
    session.close();
  });

  test('hundred sessions opened and killed leave no backend', async () => {
    const sessions = await Promise.all(Array.from({ length: 100 }, () => lab.wire()));
    await Promise.all(
      sessions.map(async (session, i) => {
        if (i % 4 === 0) await session.send('Q "begin; select 1"');
        if (i % 4 === 1) await session.send('P "" "select i from generate_series(1, 100000) i" []', 'B', 'E "" 10', 'H');
        if (i % 4 === 2) await session.send('Q "show external connections"');
      }),
    );
    for (const [i, session] of sessions.entries()) {
      if (i % 2) session.reset();
      else session.close();
    }
    await lab.noBackendLeft();
    const session = await lab.wire();
    assert.equal((await session.ask('Q "select 1"')).at(-1), 'Z I');
    session.close();
  });

  test('a client that hangs up during login leaves no backend', async () => {
    for (let i = 0; i < 20; i++) {
      const socket = connect(lab.pgpier.port, lab.pgpier.host);
      socket.on('error', () => {});
      await new Promise((resolve) => socket.once('connect', resolve));
      const packet = Buffer.from('0000002a00030000', 'hex');
      socket.write(Buffer.concat([packet, Buffer.from('user\0postgres\0database\0clients\0\0')]));
      if (i % 2) await sleep(i);
      socket.resetAndDestroy();
    }
    await lab.noBackendLeft();
  });
});
