/** Readers that stall and writers that do not read: memory must not grow with what is in between. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres } from '../servers/postgres.ts';
import { onLinux, residentMiB } from '../servers/processes.ts';
import { encodeLine } from '../wire/encode.ts';
import { type FaultLab, startFaultLab } from './faultLab.ts';

const ALLOWED_MIB = 48;

describe('flow', { skip: missingPostgres(15) || onLinux }, () => {
  let lab: FaultLab;
  before(async () => {
    lab = await startFaultLab();
    // Warm: what is measured is growth, not the first touch of code paths.
    const session = await lab.wire();
    await session.send(`Q "copy (select repeat('x', 1000) from generate_series(1, 20000)) to stdout"`);
    await session.until('Z');
    session.close();
  });
  after(() => lab?.stop());

  const watched = async <T>(work: () => Promise<T>): Promise<{ result: T; grown: number }> => {
    const start = residentMiB(lab.pgpier.pid);
    let most = start;
    const timer = setInterval(() => {
      most = Math.max(most, residentMiB(lab.pgpier.pid));
    }, 20);
    const result = await work();
    clearInterval(timer);
    return { result, grown: most - start };
  };

  /** Counts bytes of CopyData and DataRow without keeping them. */
  const drained = async (session: Awaited<ReturnType<FaultLab['wire']>>): Promise<number> => {
    let bytes = 0;
    for (;;) {
      const message = await session.next(30_000);
      if (!message || message.letter === 'Z') return bytes;
      if (message.letter === 'E') throw new Error(message.body.toString());
      bytes += message.body.length;
    }
  };

  for (const [what, text] of [
    ['COPY out of 200 MB', "copy (select repeat('x', 1000) from generate_series(1, 200000)) to stdout"],
    ['a SELECT of 200 MB', "select repeat('x', 1000) from generate_series(1, 200000)"],
    ['rows of 20 MB each', "select repeat('x', 20000000) from generate_series(1, 10)"],
  ] as const) {
    test(`${what} to a client that stalls keeps the proxy small`, async () => {
      const session = await lab.wire();
      const { result, grown } = await watched(async () => {
        session.reading(false);
        await session.send(`Q "${text}"`);
        await sleep(1500);
        session.reading(true);
        return drained(session);
      });
      session.close();
      assert.ok(result >= 200_000_000, `${result} bytes`);
      assert.ok(grown < ALLOWED_MIB, `grew by ${grown.toFixed(0)} MiB`);
    });
  }

  test('a client that writes 50 MB of queries before it reads gets every answer, and the proxy stays small', async () => {
    const session = await lab.wire();
    const query = encodeLine(`Q "select 1 /* ${'x'.repeat(10_000)} */"`);
    const count = 5000;
    session.reading(false);
    const { result, grown } = await watched(async () => {
      const writing = session.write(Buffer.concat(Array.from({ length: count }, () => query)));
      // Nothing is read until the writer had time to fill every buffer on the way.
      await sleep(1000);
      session.reading(true);
      let answers = 0;
      while (answers < count) {
        const message = await session.next(30_000);
        if (!message) break;
        if (message.letter === 'Z') answers++;
      }
      await writing;
      return answers;
    });
    session.close();
    assert.equal(result, count);
    assert.ok(grown < ALLOWED_MIB, `grew by ${grown.toFixed(0)} MiB`);
  });

  test('the same pipelined in the extended protocol, ours among them', async () => {
    const session = await lab.wire();
    const pad = 'x'.repeat(5000);
    const foreign = Buffer.concat([`P "" "select 1 /* ${pad} */" []`, 'B', 'E', 'S'].map(encodeLine));
    const own = Buffer.concat(['P "" "show external connections" []', 'B', 'E', 'S'].map(encodeLine));
    const count = 2000;
    session.reading(false);
    const { result, grown } = await watched(async () => {
      const writing = session.write(Buffer.concat(Array.from({ length: count }, (_, i) => (i % 100 === 50 ? own : foreign))));
      await sleep(500);
      session.reading(true);
      let answers = 0;
      while (answers < count) {
        const message = await session.next(30_000);
        if (!message) break;
        if (message.letter === 'E') throw new Error(message.body.toString());
        if (message.letter === 'Z') answers++;
      }
      await writing;
      return answers;
    });
    session.close();
    assert.equal(result, count);
    assert.ok(grown < ALLOWED_MIB, `grew by ${grown.toFixed(0)} MiB`);
  });

  test('COPY in of 100 MB while notices come back keeps both directions moving', async () => {
    await lab.sql(`create table noisy (a text);
      create function tell() returns trigger language plpgsql as $$ begin raise notice '%', repeat('n', 500); return new; end $$;
      create trigger tell before insert on noisy for each row execute function tell()`);
    const session = await lab.wire();
    await session.send('Q "copy noisy from stdin"');
    await session.until('G');
    const line = `${'y'.repeat(999)}\n`;
    const chunk = encodeLine(`d ${JSON.stringify(line.repeat(60))}`);
    const { result, grown } = await watched(async () => {
      const writing = (async () => {
        for (let i = 0; i < 1700; i++) await session.write(chunk);
        await session.send('c');
      })();
      let notices = 0;
      for (;;) {
        const message = await session.next(60_000);
        if (!message || message.letter === 'Z') break;
        if (message.letter === 'N') notices++;
      }
      await writing;
      return notices;
    });
    session.close();
    assert.equal(result, 1700 * 60);
    assert.ok(grown < ALLOWED_MIB, `grew by ${grown.toFixed(0)} MiB`);
  });
});
