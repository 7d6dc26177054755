import assert from 'node:assert/strict';
import { test } from 'node:test';
import { base64Error } from '../../external/base64.ts';

test('what is no base64 is told with the byte that Go 1.26 tells, measured with its encoding/base64', () => {
  for (const [text, byte] of [
    ['', undefined],
    ['abcd', undefined],
    ['ab==', undefined],
    ['abc=', undefined],
    ['a\nb\r\nc\nd\n', undefined],
    ['ab=\n=', undefined],
    ['ab==\n', undefined],
    ['!', 0],
    ['a', 0],
    ['ab', 0],
    ['abc', 0],
    ['abcde', 4],
    ['abcdefg', 4],
    ['aA\n\n+B/A', 6],
    ['ab\nb', 1],
    ['a=', 1],
    ['=', 0],
    ['ab=', 3],
    ['ab=c', 2],
    ['ab==x', 4],
    ['abcd=', 4],
    ['a b', 1],
    ['{"type"', 0],
    ['a-b_', 1],
    ['abcé', 3],
  ] as const)
    assert.equal(base64Error(text), byte === undefined ? undefined : `illegal base64 data at input byte ${byte}`, JSON.stringify(text));
});
