import assert from 'node:assert/strict';
import test from 'node:test';
import { backendType as backend } from '../../protocol/frame.ts';
import { Ledger, type Sent, sent } from '../../server/session/ledger.ts';

/** A client message with what a backend that carries it out replies, as PostgreSQL's protocol chapter lists it. */
interface Message {
  readonly name: string;
  readonly kind: Sent | undefined;
  readonly replies: readonly number[];
}

const message = (name: string, kind: Sent | undefined, ...replies: number[]): Message => ({ name, kind, replies });
const { parseComplete, bindComplete, closeComplete, commandComplete, portalSuspended, emptyQueryResponse, readyForQuery, errorResponse } =
  backend;
const { rowDescription, noData, parameterDescription, copyOutResponse, copyDone, functionCallResponse } = backend;

const alphabet: readonly Message[] = [
  message('P', sent.parse, parseComplete),
  message('P!', sent.parse, errorResponse),
  message('B', sent.bind, bindComplete),
  message('D', sent.describe, parameterDescription, rowDescription),
  message('Dn', sent.describe, noData),
  message('E', sent.execute, commandComplete),
  message('Es', sent.execute, portalSuspended),
  message('E!', sent.execute, errorResponse),
  message('Ei', sent.execute, emptyQueryResponse),
  message('Ecopy', sent.execute, copyOutResponse, copyDone, commandComplete),
  message('C', sent.close, closeComplete),
  message('H', undefined),
  message('S', sent.sync, readyForQuery),
  message('S!', sent.sync, errorResponse, readyForQuery),
  message('Q', sent.query, rowDescription, commandComplete, commandComplete, readyForQuery),
  message('Q!', sent.query, rowDescription, commandComplete, errorResponse, readyForQuery),
  message('F', sent.functionCall, functionCallResponse, readyForQuery),
  message('F!', sent.functionCall, errorResponse, readyForQuery),
];

/** PostgreSQL's rule, stated independently of the ledger: an error in an extended message discards all up to the next Sync. */
function repliesOf(sequence: readonly Message[]): { from: number; type: number }[] {
  const replies: { from: number; type: number }[] = [];
  let skipping = false;
  sequence.forEach((one, from) => {
    if (one.kind === sent.sync) skipping = false;
    if (skipping) return;
    for (const type of one.replies) replies.push({ from, type });
    const extended = one.kind !== undefined && one.kind < sent.sync;
    if (extended && one.replies.includes(errorResponse)) skipping = true;
  });
  return replies;
}

/** Sends the sequence and delivers the replies, each as late as `lag` allows: a reply comes when `lag` further messages have been sent. */
function walk(sequence: readonly Message[], lag: number): void {
  const label = `${sequence.map(({ name }) => name).join(' ')} (lag ${lag})`;
  const ledger = new Ledger<number>();
  const replies = repliesOf(sequence);
  let next = 0;
  const deliver = (upTo: number): void => {
    for (; next < replies.length && replies[next]!.from <= upTo; next++) {
      const { from, type } = replies[next]!;
      assert.equal(ledger.head, from, `${label}: reply ${String.fromCharCode(type)} belongs to message ${from}`);
      ledger.receive(type);
    }
  };
  sequence.forEach((one, index) => {
    if (one.kind !== undefined) ledger.push(one.kind, index);
    deliver(index - lag);
  });
  deliver(sequence.length);
  assert.equal(ledger.length, 0, `${label}: nothing is left`);
  assert.equal(ledger.noted, 0, `${label}: no note is left`);
}

function* sequences(length: number): Generator<readonly Message[]> {
  if (length === 0) {
    yield [];
    return;
  }
  for (const rest of sequences(length - 1)) for (const one of alphabet) yield [...rest, one];
}

test('every reply belongs to its message, for every sequence of up to four messages and every delay of the replies', () => {
  let walks = 0;
  for (let length = 1; length <= 4; length++) {
    for (const sequence of sequences(length)) {
      for (let lag = 0; lag <= length; lag++) {
        walk(sequence, lag);
        walks++;
      }
    }
  }
  assert.ok(walks > 500_000);
});

test('a long pipeline outgrows the ring and keeps its order', () => {
  const sequence = Array.from({ length: 1000 }, (_, index) => alphabet[index % alphabet.length]!);
  for (const lag of [0, 1, 63, 64, 65, 500, 1000]) walk(sequence, lag);
});

test('a Sync that the client pipelined before CopyInResponse is swallowed by the copy', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.execute, 'copy');
  ledger.push(sent.sync, 'swallowed');
  ledger.receive(backend.copyInResponse);
  assert.equal(ledger.length, 1);
  assert.equal(ledger.push(sent.sync), false, 'and so is one sent while the data flows');
  assert.ok(ledger.copyingIn);
  ledger.push(sent.copyEnd);
  assert.ok(ledger.push(sent.sync, 'counts'));
  ledger.receive(backend.commandComplete);
  assert.equal(ledger.head, 'counts');
  ledger.receive(backend.readyForQuery);
  assert.equal(ledger.length, 0);
  assert.equal(ledger.copyingIn, false);
});

test('a Sync behind a CopyDone that was sent blindly counts', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.execute, 'copy');
  ledger.push(sent.sync, 'swallowed');
  ledger.push(sent.copyEnd);
  ledger.push(sent.sync, 'counts');
  ledger.receive(backend.copyInResponse);
  ledger.receive(backend.commandComplete);
  assert.equal(ledger.head, 'counts');
});

test('late CopyDone after a failed copy leaves nothing behind', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.query, 'copy');
  ledger.receive(backend.copyInResponse);
  ledger.receive(backend.errorResponse);
  ledger.receive(backend.readyForQuery);
  ledger.push(sent.copyEnd);
  ledger.push(sent.query, 'next');
  assert.equal(ledger.head, 'next');
  ledger.receive(backend.readyForQuery);
  assert.equal(ledger.length, 0);
});

test('two copies in one Query each take their own data', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.query, 'copies');
  for (let copy = 0; copy < 2; copy++) {
    ledger.receive(backend.copyInResponse);
    ledger.push(sent.copyEnd);
    ledger.receive(backend.commandComplete);
    assert.equal(ledger.copyingIn, false);
  }
  ledger.receive(backend.readyForQuery);
  assert.equal(ledger.length, 0);
});

test('what waits only for a Flush is told apart from what is answered by itself', () => {
  const ledger = new Ledger<string>();
  assert.equal(ledger.unflushed, false);
  ledger.push(sent.parse);
  assert.equal(ledger.unflushed, true);
  ledger.push(sent.copyEnd);
  assert.equal(ledger.unflushed, true);
  ledger.push(sent.sync);
  assert.equal(ledger.unflushed, false);
});

test('Executes since the last Sync are counted, for what may be at stake', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.execute);
  ledger.push(sent.execute);
  assert.equal(ledger.executesSinceSync, 2);
  ledger.push(sent.sync);
  assert.equal(ledger.executesSinceSync, 0);
});

test('a pending note tells whether a Sync was sent behind it', () => {
  const ledger = new Ledger<string>();
  ledger.push(sent.parse, 'first');
  ledger.push(sent.sync);
  ledger.push(sent.parse, 'second');
  assert.deepEqual(
    [...ledger.pending()],
    [
      { note: 'second', syncAfter: false },
      { note: 'first', syncAfter: true },
    ],
  );
});
