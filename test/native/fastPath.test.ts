/** The fast path alone, between sockets of the test's: what passes, when it stops, and what it hands over. */
import assert from 'node:assert/strict';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sent } from '../../server/session/ledger.ts';
import { eventually } from '../faults/faultLab.ts';
import { encodeLine } from '../wire/encode.ts';
import { missingAddon } from './compiler.ts';
import { type NativeLab, startNativeLab } from './sessionLab.ts';

const reply = (type: string, body = ''): Buffer => {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(4 + Buffer.byteLength(body, 'latin1'), 1);
  return Buffer.concat([head, Buffer.from(body, 'latin1')]);
};
const ready = reply('Z', 'I');
const query = (text: string): Buffer => encodeLine(`Q ${JSON.stringify(text)}`);

async function forwarding(t: TestContext): Promise<NativeLab> {
  const lab = await startNativeLab();
  t.after(() => lab.close());
  lab.fastPath.begin('I');
  assert.equal(lab.fastPath.forwarding, true);
  return lab;
}

const hears = (lab: NativeLab, who: 'clientPeer' | 'backendPeer', bytes: Buffer): Promise<void> =>
  eventually(`${bytes.length} bytes at ${who}`, () => lab[who].heard.length >= bytes.length).then(() =>
    assert.ok(lab[who].heard.equals(bytes), `${who} heard something else`),
  );

describe('the native fast path', { skip: missingAddon() }, () => {
  test('passes a statement and its answer, and JavaScript hears nothing of it', async (t) => {
    const lab = await forwarding(t);
    const question = query('select 1; select 2 -- create table backup');
    lab.clientPeer.socket.write(question);
    await hears(lab, 'backendPeer', question);
    assert.equal(lab.fastPath.idle, false);
    const answer = Buffer.concat([reply('T', '\0\0'), reply('D', '\0\0'), reply('C', 'SELECT 1\0'), ready]);
    lab.backendPeer.socket.write(answer);
    await hears(lab, 'clientPeer', answer);
    assert.equal(lab.fastPath.idle, true);
    assert.deepEqual(lab.told, []);
    assert.equal(lab.client.bytesRead, question.length);
  });

  test('stops before a message that may be ours, and hands over what is unanswered', async (t) => {
    const lab = await forwarding(t);
    const before = Buffer.concat([query('select 1'), encodeLine('P "s" "select $1" []'), encodeLine('S')]);
    const after = Buffer.concat([query('  /* x */ SHOW jobs'), query('select 3')]);
    lab.clientPeer.socket.write(Buffer.concat([before, after]));
    await eventually('the path is left', () => lab.left.length === 1);
    await hears(lab, 'backendPeer', before);
    const [left] = lab.left;
    assert.ok(left!.clientBytes.equals(after));
    assert.deepEqual([...left!.pending], [sent.query, sent.parse, sent.sync]);
    assert.equal(lab.fastPath.forwarding, false);
    // From here JavaScript is told, and may write.
    lab.backendPeer.socket.write(ready);
    await eventually('the backend is heard in JavaScript', () => lab.told.includes('backend 6'));
    lab.client.write(Buffer.from('from JavaScript'));
    await hears(lab, 'clientPeer', Buffer.from('from JavaScript'));
  });

  test('tells of parameters that changed, and passes them', async (t) => {
    const lab = await forwarding(t);
    const message = reply('S', 'TimeZone\0UTC\0');
    // In two parts: it is told of whole.
    lab.backendPeer.socket.write(message.subarray(0, 9));
    await sleep(20);
    assert.equal(lab.clientPeer.heard.length, 0);
    lab.backendPeer.socket.write(Buffer.concat([message.subarray(9), message]));
    await hears(lab, 'clientPeer', Buffer.concat([message, message]));
    await eventually('both are told', () => lab.told.join().split('TimeZone').length === 3);
    assert.equal(lab.fastPath.forwarding, true);
  });

  for (const [what, bytes] of [
    ['an error that answers nothing', reply('E', 'SFATAL\0C57P01\0M\0\0')],
    ['a length that cannot be', Buffer.from([0x43, 0, 0, 0, 3, 1, 2])],
    ['a ReadyForQuery without a status', reply('Z')],
  ] as const) {
    test(`stops before ${what} of the backend`, async (t) => {
      const lab = await forwarding(t);
      const notice = reply('N', 'SNOTICE\0\0');
      lab.backendPeer.socket.write(Buffer.concat([notice, bytes]));
      await eventually('the path is left', () => lab.left.length === 1);
      assert.ok(lab.left[0]!.backendBytes.equals(bytes));
      await hears(lab, 'clientPeer', notice);
    });
  }

  test('stops when a peer ends, and tells what was half said', async (t) => {
    const lab = await forwarding(t);
    const half = query('select 1').subarray(0, 9);
    lab.clientPeer.socket.end(half);
    await eventually('the end is told', () => lab.told.includes('client end'));
    assert.deepEqual(lab.told, ['left', 'client end']);
    assert.ok(lab.left[0]!.clientBytes.equals(half));
    lab.backend.end();
    await eventually('the backend hears of it', () => lab.backendPeer.ended);
    lab.backendPeer.socket.resetAndDestroy();
    await eventually('the reset is told', () => lab.told.includes('backend close'));
  });

  test('is left by JavaScript in mid-message, and goes on from there', async (t) => {
    const lab = await forwarding(t);
    const copied = Buffer.concat([Buffer.from('d\0\x01\0\x04', 'latin1'), Buffer.alloc(65_536, 7)]);
    lab.clientPeer.socket.write(copied.subarray(0, 1000));
    lab.backendPeer.socket.write(Buffer.from('C\0\0\0', 'latin1'));
    await hears(lab, 'backendPeer', copied.subarray(0, 1000));
    await eventually('the backend was read', () => lab.backend.bytesRead === 4);
    const left = lab.fastPath.leave()!;
    assert.equal(left.clientPassing, copied.length - 1000);
    assert.equal(left.backendBytes.toString('latin1'), 'C\0\0\0');
    assert.equal(lab.fastPath.leave(), undefined);
  });

  test('holds both sides to the reader that stalls, loses nothing, and keeps little', async (t) => {
    const lab = await forwarding(t);
    lab.backendPeer.socket.pause();
    const line = Buffer.concat([Buffer.from('d\0\0\x03\xec', 'latin1'), Buffer.alloc(1000, 0x61)]);
    const total = 48 * 1024 * 1024;
    const sending = Buffer.concat(Array.from({ length: Math.floor(total / line.length) }, () => line));
    const before = process.memoryUsage().rss;
    lab.clientPeer.socket.write(sending);
    let read = -1;
    await eventually('reading stops', async () => {
      const last = read;
      await sleep(200);
      read = lab.client.bytesRead;
      return read === last;
    });
    assert.ok(read < sending.length, 'all of it was read, although nobody takes it');
    assert.ok(process.memoryUsage().rss - before < 16 * 1024 * 1024, 'what was not taken is in memory');
    // The other direction goes on meanwhile.
    lab.backendPeer.socket.write(reply('N', 'SNOTICE\0\0'));
    await hears(lab, 'clientPeer', reply('N', 'SNOTICE\0\0'));
    let heard = 0;
    lab.backendPeer.socket.removeAllListeners('data').on('data', (bytes: Buffer) => {
      assert.ok(bytes.equals(sending.subarray(heard, heard + bytes.length)), `other bytes from ${heard} on`);
      heard += bytes.length;
    });
    lab.backendPeer.socket.resume();
    await eventually('all arrives', () => heard === sending.length, 30_000);
    assert.deepEqual(lab.told, []);
  });

  test('passes the same bytes however they are cut', async (t) => {
    const lab = await forwarding(t);
    const down = Buffer.concat([
      query('select 1'),
      encodeLine('P "" "insert into t values (1)" []'),
      encodeLine('B "" "" [] [] []'),
      encodeLine('S'),
    ]);
    const up = Buffer.concat([reply('C', 'SELECT 1\0'), ready, reply('1'), reply('2'), reply('S', 'a\0b\0'), ready]);
    for (let size = 1; size <= 12; size++) {
      const turn = async (from: 'clientPeer' | 'backendPeer', to: 'clientPeer' | 'backendPeer', bytes: Buffer): Promise<void> => {
        lab[to].heard = Buffer.alloc(0);
        for (let at = 0; at < bytes.length; at += size) {
          lab[from].socket.write(bytes.subarray(at, at + size));
          await new Promise((resolve) => setImmediate(resolve));
        }
        await hears(lab, to, bytes);
      };
      await turn('clientPeer', 'backendPeer', down);
      await turn('backendPeer', 'clientPeer', up);
      assert.equal(lab.fastPath.idle, true);
    }
    assert.equal(lab.left.length, 0);
  });
});
