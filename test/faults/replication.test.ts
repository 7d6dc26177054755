/** Replication sessions under strain: a consumer that stalls longer than wal_sender_timeout, and either side gone in mid-stream (pitfalls: REPL-3). */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres } from '../servers/postgres.ts';
import { onLinux, residentMiB } from '../servers/processes.ts';
import { WireSession } from '../wire/wireSession.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';

const WAL_SENDER_TIMEOUT_MS = 1_500;
const rows = 400;
const rowBytes = 100_000;

describe('replication', { skip: missingPostgres(15) || onLinux }, () => {
  let lab: FaultLab;
  before(async () => {
    lab = await startFaultLab({
      settings: {
        wal_level: 'logical',
        max_wal_senders: '10',
        max_replication_slots: '10',
        wal_sender_timeout: `${WAL_SENDER_TIMEOUT_MS}ms`,
      },
    });
    await lab.sql('create table changed (t text); alter table changed alter t set storage external');
  });
  after(() => lab?.stop());

  const endpoints = () =>
    [
      ['PostgreSQL alone', { host: '127.0.0.1', port: lab.postgres.port }],
      ['PgPier', { host: lab.pgpier.host, port: lab.pgpier.port }],
    ] as const;

  /** A stream of the logical slot, which exists and has much to tell. */
  async function stream(endpoint: { host: string; port: number }, slot: string): Promise<WireSession> {
    const session = await WireSession.open(endpoint, { user: 'postgres', database: 'clients', replication: 'database' });
    await session.send(`Q "START_REPLICATION SLOT ${slot} LOGICAL 0/0"`);
    assert.equal((await session.next())?.letter, 'W');
    return session;
  }

  async function filledSlot(slot: string): Promise<void> {
    await lab.sql(`select pg_create_logical_replication_slot('${slot}', 'test_decoding')`);
    await lab.sql(`insert into changed select repeat('x', ${rowBytes}) from generate_series(1, ${rows})`);
  }

  const senders = async (slot: string): Promise<number> =>
    Number((await lab.sql(`select count(*) from pg_replication_slots where slot_name = '${slot}' and active`))[0]!.count);

  test('a consumer that stalls longer than wal_sender_timeout and goes on answering keeps its stream, and PgPier stays small', async () => {
    await filledSlot('slow');
    const session = await stream(endpoints()[1][1], 'slow');
    const before = residentMiB(lab.pgpier.pid);
    session.reading(false);
    for (let stalled = 0; stalled < 2.5 * WAL_SENDER_TIMEOUT_MS; stalled += 200) {
      await session.write(standbyStatus());
      await sleep(200);
    }
    assert.equal(await senders('slow'), 1, 'the stream has survived the stall');
    assert.ok(residentMiB(lab.pgpier.pid) - before < 48, `${(residentMiB(lab.pgpier.pid) - before).toFixed(0)} MiB`);
    session.reading(true);
    let inserted = 0;
    while (inserted < rows) {
      const message = await session.next();
      assert.equal(message?.letter, 'd', 'the stream goes on');
      if (message!.body.includes('INSERT: t[text]')) inserted++;
      else if (message!.body[0] === 0x6b && message!.body.at(-1) === 1) await session.write(standbyStatus());
    }
    session.close();
    await eventually('the walsender is gone', async () => (await senders('slow')) === 0);
  });

  test('a consumer that says nothing at all is ended by wal_sender_timeout, as without PgPier', async () => {
    for (const [name, endpoint] of endpoints()) {
      const slot = `mute_${endpoint.port}`;
      await lab.sql(`select pg_create_logical_replication_slot('${slot}', 'test_decoding')`);
      const session = await stream(endpoint, slot);
      const since = Date.now();
      let message = await session.next(WAL_SENDER_TIMEOUT_MS * 5);
      while (message) message = await session.next(WAL_SENDER_TIMEOUT_MS * 5);
      assert.ok(Date.now() - since > WAL_SENDER_TIMEOUT_MS / 2, name);
      assert.equal(await senders(slot), 0, name);
      session.close();
    }
  });

  for (const how of ['closes', 'stalls and closes'] as const) {
    test(`a consumer that ${how} in mid-stream leaves no walsender`, async () => {
      const slot = how.replaceAll(' ', '_');
      await filledSlot(slot);
      const session = await stream(endpoints()[1][1], slot);
      if (how === 'closes') for (let seen = 0; seen < 10; seen++) assert.equal((await session.next())?.letter, 'd');
      else {
        session.reading(false);
        await sleep(300);
      }
      session.close();
      await eventually('the walsender is gone', async () => (await senders(slot)) === 0);
    });
  }

  test('a walsender that is terminated in mid-stream is told to its consumer in the same words as without PgPier', async () => {
    const heard: string[] = [];
    for (const [, endpoint] of endpoints()) {
      const slot = `ended_${endpoint.port}`;
      await filledSlot(slot);
      const session = await stream(endpoint, slot);
      for (let seen = 0; seen < 10; seen++) await session.next();
      await lab.sql(`select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = '${slot}'`);
      for (let message = await session.next(); message; message = await session.next())
        if (message.letter !== 'd') heard.push(`${message.letter} ${message.body.toString('latin1').replace(/[LW][^\0]*\0/g, '')}`);
      session.close();
    }
    assert.equal(heard.length, 2);
    assert.match(heard[0]!, /C57P01/);
    assert.equal(heard[1], heard[0]);
  });
});

/** Standby status update: nothing is confirmed, no answer is asked for. */
function standbyStatus(): Buffer {
  const message = Buffer.alloc(5 + 34);
  message.write('d', 'latin1');
  message.writeInt32BE(38, 1);
  message.write('r', 5, 'latin1');
  return message;
}
