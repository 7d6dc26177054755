import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Crc32c } from '../../formats/crc32c.ts';

const sumOf = (...pieces: Uint8Array[]): Crc32c => {
  const sum = new Crc32c();
  for (const piece of pieces) sum.update(piece);
  return sum;
};

test('CRC-32C of the texts of RFC 3720, appendix B.4, and of Google’s documentation', () => {
  const bytes = (value: (index: number) => number) => Uint8Array.from({ length: 32 }, (_, index) => value(index));
  for (const [text, value] of [
    [bytes(() => 0), 0x8a9136aa],
    [bytes(() => 0xff), 0x62a8ab43],
    [bytes((index) => index), 0x46dd794e],
    [bytes((index) => 31 - index), 0x113fdb5c],
    [Buffer.from('123456789'), 0xe3069283],
    [Buffer.alloc(0), 0],
  ] as const)
    assert.equal(sumOf(text).value(), value);
  assert.equal(sumOf(Buffer.from('hello world')).base64(), 'yZRlqg==');
});

test('it does not matter where the bytes are cut', () => {
  const bytes = Buffer.from(Array.from({ length: 1000 }, (_, index) => (index * index * 7) & 255));
  const whole = sumOf(bytes).value();
  for (let cut = 0; cut <= 40; cut++)
    assert.equal(sumOf(bytes.subarray(0, cut), bytes.subarray(cut, 500 + cut), bytes.subarray(500 + cut)).value(), whole);
});
