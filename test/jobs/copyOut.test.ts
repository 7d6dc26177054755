import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteSearch } from '../../jobs/transfer/byteSearch.ts';
import { CopyOutReader } from '../../jobs/transfer/copyOut.ts';

function message(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.write(type);
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** What the reader says of these bytes, sent in pieces that end where `cuts` says. */
function read(bytes: Buffer, cuts: readonly number[], rowsPerFile = 3): string[] {
  const said: string[] = [];
  let file: Buffer[] = [];
  let rows = 0;
  const close = () => {
    said.push(`file ${Buffer.concat(file).toString('latin1')}`);
    file = [];
    rows = 0;
  };
  const reader = new CopyOutReader(
    {
      payload: (chunk, from, to) => file.push(Buffer.from(chunk.subarray(from, to))),
      endRow: () => ++rows === rowsPerFile,
      cut: close,
    },
    (type, body) => {
      close();
      said.push(`${String.fromCharCode(type)} ${body.toString('latin1')}`);
    },
  );
  let at = 0;
  for (const cut of [...cuts, bytes.length]) {
    reader.read(Buffer.from(bytes.subarray(at, cut)));
    at = cut;
  }
  said.push(`rows ${reader.rows}`);
  return said;
}

const rows = ['a,b\n', '', 'x'.repeat(300), '"\n"\n', '\n', 'last\n', 'z\n'].map((row) => message('d', Buffer.from(row)));
const stream = Buffer.concat([
  message('H', Buffer.from([0, 0, 0])),
  ...rows.slice(0, 4),
  message('N', Buffer.from('SNOTICE\0\0')),
  ...rows.slice(4),
  message('c', Buffer.alloc(0)),
  message('C', Buffer.from('COPY 7\0')),
  message('Z', Buffer.from('I')),
]);

test('every way to cut the bytes in two gives the same rows, files and messages', () => {
  const whole = read(stream, []);
  assert.deepEqual(whole.slice(0, 5), ['file ', 'H \0\0\0', `file a,b\n${'x'.repeat(300)}`, 'file "\n"\n', 'N SNOTICE\0\0']);
  assert.equal(whole.at(-1), 'rows 7');
  for (let cut = 0; cut <= stream.length; cut++) assert.deepEqual(read(stream, [cut]), whole, `cut at ${cut}`);
});

test('a stream that comes byte by byte gives the same', () => {
  const cuts = Array.from({ length: stream.length - 1 }, (_, index) => index + 1);
  assert.deepEqual(read(stream, cuts), read(stream, []));
});

test('a length that no message can have is refused', () => {
  for (const length of [0, 3, -1]) {
    const bytes = message('d', Buffer.from('abc'));
    bytes.writeInt32BE(length, 1);
    assert.throws(() => read(bytes, []), RangeError);
  }
});

test('a byte string is found wherever block borders fall, and not when it is not there', () => {
  const needle = Buffer.from('\x01needle');
  const text = Buffer.concat([Buffer.from('\x01needl \x01\x01need'), Buffer.alloc(20, 0x2e), needle, Buffer.from('tail')]);
  for (let size = 1; size < text.length; size++) {
    const search = new ByteSearch(needle);
    let found = false;
    for (let at = 0; at < text.length; at += size) found ||= search.foundIn(text.subarray(at, at + size));
    assert.equal(found, true, `blocks of ${size}`);
    const without = new ByteSearch(needle);
    const rest = text.subarray(0, text.length - 5);
    for (let at = 0; at < rest.length; at += size) assert.equal(without.foundIn(rest.subarray(at, at + size)), false);
  }
});
