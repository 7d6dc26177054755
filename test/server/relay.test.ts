import assert from 'node:assert/strict';
import test from 'node:test';
import { serialize } from 'pg-protocol';
import { commandComplete } from '../../protocol/backend/commandComplete.ts';
import { dataRow } from '../../protocol/backend/dataRow.ts';
import { errorResponse, noticeResponse } from '../../protocol/backend/errorResponse.ts';
import { readyForQuery } from '../../protocol/backend/readyForQuery.ts';
import { frontendType, MessageWriter } from '../../protocol/frame.ts';
import type { Link } from '../../server/link/link.ts';
import type { Interceptor, Noted } from '../../server/session/interceptor.ts';
import { sent } from '../../server/session/ledger.ts';
import { largestHeld, Relay } from '../../server/session/relay.ts';

/** A link whose other end is the test: what was written is kept, `arrive` delivers. */
class FakeLink implements Link {
  readonly encrypted = false;
  readonly written: Buffer[] = [];
  busy = false;
  paused = true;
  ended = false;
  onBytes: Link['onBytes'] = () => true;
  onEnd: Link['onEnd'] = () => {};
  onClose: Link['onClose'] = () => {};
  onDrain: Link['onDrain'] = () => {};
  readonly bytesRead = 0;
  write(chunk: Uint8Array): boolean {
    this.written.push(Buffer.from(chunk));
    return !this.busy;
  }
  pause(): void {
    this.paused = true;
  }
  resume(): void {
    this.paused = false;
  }
  end(): void {
    this.ended = true;
  }
  destroy(): void {
    this.ended = true;
  }
  /** Delivers in a buffer that is overwritten afterwards, as a reused read buffer is. */
  arrive(bytes: Buffer): boolean {
    const lent = Buffer.from(bytes);
    const goesOn = this.onBytes(lent);
    if (goesOn) lent.fill(0xee);
    return goesOn;
  }
  get output(): Buffer {
    return Buffer.concat(this.written);
  }
}

interface Recorder extends Interceptor<Noted> {
  engaged: boolean;
  shown: string[];
  verdict: 'forward' | 'taken' | 'hold';
  relay?: Relay<Noted>;
}

const kinds = new Map<number, (typeof sent)[keyof typeof sent]>([
  [frontendType.query, sent.query],
  [frontendType.parse, sent.parse],
  [frontendType.bind, sent.bind],
  [frontendType.execute, sent.execute],
  [frontendType.close, sent.close],
]);

function recorder(): Recorder {
  return {
    engaged: false,
    forwardsOnly: true,
    shown: [],
    verdict: 'forward',
    clientMessage(type, message) {
      this.shown.push(message.toString('latin1'));
      if (this.verdict === 'forward') this.relay?.ledger.push(kinds.get(type)!);
      return this.verdict;
    },
    clientGiant: () => {},
    reply: () => 'swallow',
    ready: () => {},
    parameterStatus: () => {},
    moved: () => {},
    clientEnded: () => {},
    ended: () => {},
  };
}

function start(interceptor: Recorder): { client: FakeLink; backend: FakeLink; relay: Relay<Noted> } {
  const client = new FakeLink();
  const backend = new FakeLink();
  const relay = new Relay<Noted>(client, backend, interceptor);
  interceptor.relay = relay;
  relay.start(Buffer.alloc(0), Buffer.alloc(0));
  return { client, backend, relay };
}

/** Mulberry32: cuts must be the same at every run. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function* pieces(bytes: Buffer, next: () => number, largest: number): Generator<Buffer> {
  for (let position = 0; position < bytes.length; ) {
    const length = 1 + Math.floor(next() * largest);
    yield bytes.subarray(position, position + length);
    position += length;
  }
}

const copyData = (length: number): Buffer => new MessageWriter(frontendType.copyData).bytes(Buffer.alloc(length, 0x51)).finish();

const clientStream = Buffer.concat([
  serialize.query('select 1'),
  serialize.parse({ name: 's', text: 'select $1::text', types: [25] }),
  serialize.bind({ portal: '', statement: 's', values: ['Q\0\0\0\u0004'] }),
  serialize.describe({ type: 'P', name: '' }),
  serialize.execute({ portal: '', rows: 0 }),
  serialize.flush(),
  serialize.sync(),
  copyData(200_000),
  copyData(0),
  serialize.copyDone(),
  serialize.query(`select '${'x'.repeat(70_000)}'`),
  serialize.close({ type: 'S', name: 's' }),
  serialize.sync(),
]);

const backendStream = Buffer.concat([
  noticeResponse({ sqlstate: '00000', message: 'hello' }),
  dataRow([{ name: 'a', type: 'text' }], ['x'.repeat(300_000)]),
  commandComplete('SELECT 1'),
  readyForQuery('I'),
  ...Array.from({ length: 500 }, () => dataRow([{ name: 'a', type: 'text' }], ['row'])),
  commandComplete('SELECT 500'),
  readyForQuery('T'),
]);

test('bytes pass unchanged in both directions, however they are cut', () => {
  for (const engaged of [false, true]) {
    for (const [seed, largest] of [
      [1, 1],
      [2, 7],
      [3, 100],
      [4, 70_000],
      [5, 1_000_000],
    ] as const) {
      const interceptor = recorder();
      interceptor.engaged = engaged;
      const { client, backend, relay } = start(interceptor);
      const next = random(seed);
      for (const piece of pieces(clientStream, next, largest)) client.arrive(piece);
      assert.ok(backend.output.equals(clientStream), `client to backend, cuts up to ${largest}, engaged ${engaged}`);
      for (let index = relay.ledger.length; index > 0; index--) relay.ledger.receive(0x45);
      for (const piece of pieces(backendStream, next, largest)) backend.arrive(piece);
      assert.ok(client.output.equals(backendStream), `backend to client, cuts up to ${largest}, engaged ${engaged}`);
    }
  }
});

test('a message that may be ours is shown once and whole, however it is cut', () => {
  const own = serialize.query("create external connection x as 'nodelocal://self/x'");
  const stream = Buffer.concat([serialize.query('select 1'), own, serialize.query('select 2')]);
  for (const largest of [1, 3, 10, 1000]) {
    const interceptor = recorder();
    interceptor.verdict = 'taken';
    const { client, backend } = start(interceptor);
    for (const piece of pieces(stream, random(largest), largest)) client.arrive(piece);
    assert.deepEqual(interceptor.shown, [own.toString('latin1')]);
    assert.ok(backend.output.equals(Buffer.concat([serialize.query('select 1'), serialize.query('select 2')])));
  }
});

test('what is held waits, in order, and goes on after release', () => {
  const own = serialize.query("create external connection x as 'nodelocal://self/x'");
  const interceptor = recorder();
  interceptor.verdict = 'hold';
  const { client, backend, relay } = start(interceptor);
  client.arrive(Buffer.concat([serialize.query('select 1'), own, serialize.query('select 2')]));
  client.arrive(serialize.query('select 3'));
  assert.ok(backend.output.equals(serialize.query('select 1')));
  assert.ok(relay.holding);
  interceptor.verdict = 'taken';
  relay.release();
  assert.ok(backend.output.equals(Buffer.concat(['select 1', 'select 2', 'select 3'].map((text) => serialize.query(text)))));
  assert.equal(interceptor.shown.length, 2, 'shown again after the hold');
});

test('a client that goes on writing while held is stopped at a limit and read again later', () => {
  const interceptor = recorder();
  const { client, relay } = start(interceptor);
  relay.hold();
  let goesOn = true;
  let delivered = 0;
  while (goesOn) {
    goesOn = client.arrive(copyData(100_000));
    delivered += 100_005;
  }
  assert.ok(delivered > largestHeld && delivered < largestHeld + 200_010);
  client.paused = true;
  relay.release();
  assert.equal(client.paused, false);
});

test('a full receiver stops its producer and no other', () => {
  const { client, backend } = start(recorder());
  client.busy = true;
  assert.equal(backend.arrive(backendStream), false);
  assert.equal(client.arrive(serialize.query('select 1')), true);
  backend.paused = true;
  client.busy = false;
  client.onDrain();
  assert.equal(backend.paused, false);
});

test('a stream that makes no sense passes unread, for PostgreSQL to judge', () => {
  const { client, backend } = start(recorder());
  const garbage = Buffer.concat([Buffer.from([0x51, 0, 0, 0, 3]), Buffer.from('anything at all')]);
  for (const piece of pieces(garbage, random(1), 2)) client.arrive(piece);
  assert.ok(backend.output.equals(garbage));
});

test('a Query longer than what is held passes as it comes', () => {
  const interceptor = recorder();
  const { client, backend } = start(interceptor);
  const long = serialize.query(`backup into '${'x'.repeat(2 * largestHeld)}'`);
  let largestWait = 0;
  let arrived = 0;
  for (const piece of pieces(long, random(1), 60_000)) {
    client.arrive(piece);
    arrived += piece.length;
    largestWait = Math.max(largestWait, arrived - backend.output.length);
  }
  assert.ok(backend.output.equals(long));
  assert.equal(interceptor.shown.length, 0);
  assert.ok(largestWait < 70_000, `held at most ${largestWait} bytes`);
});

test("the client's FIN passes when everything before it has", () => {
  const interceptor = recorder();
  const { client, backend, relay } = start(interceptor);
  relay.hold();
  client.arrive(serialize.query('select 1'));
  client.onEnd();
  assert.equal(backend.ended, false);
  relay.release();
  assert.ok(backend.ended);
  assert.ok(backend.output.equals(serialize.query('select 1')));
});

test('a FATAL error is the farewell of the backend, whatever it has left unanswered; an ERROR is none while something is', () => {
  const interceptor = recorder();
  interceptor.engaged = true;
  const { client, backend, relay } = start(interceptor);
  client.arrive(Buffer.concat([serialize.query('copy t from stdin'), serialize.query('select 1')]));
  const error = errorResponse({ sqlstate: '08P01', message: 'unexpected message type 0x50 during COPY from stdin' });
  backend.arrive(error);
  assert.equal(relay.farewell, false);
  const fatal = errorResponse({ severity: 'FATAL', sqlstate: '08P01', message: 'protocol synchronization was lost' });
  backend.arrive(fatal);
  assert.equal(relay.farewell, true);
  assert.ok(client.output.equals(Buffer.concat([error, fatal])));
});
