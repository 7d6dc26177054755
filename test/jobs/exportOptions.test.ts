import assert from 'node:assert/strict';
import { test } from 'node:test';
import { csvExportOptions } from '../../commands/exportOptions.ts';
import { PgPierError } from '../../errors.ts';

function options(...given: (readonly [string, string?])[]) {
  return csvExportOptions(
    given.map(([name, value], index) => ({
      name,
      position: 10 * (index + 1),
      ...(value === undefined ? {} : { value: { kind: 'string', value } as const }),
    })),
    (value) => (value.kind === 'string' ? value.value : ''),
  );
}

function refused(...given: (readonly [string, string?])[]): string {
  try {
    options(...given);
  } catch (error) {
    assert.ok(error instanceof PgPierError);
    return `${error.data.sqlstate} ${error.data.position} ${error.message}`;
  }
  return 'accepted';
}

test('without options, the defaults of CockroachDB', () => {
  assert.deepEqual(options(), { delimiter: ',', compression: 'none', chunkRows: 100_000, chunkSize: 33_554_432 });
});

test('sizes are read as CockroachDB reads them', () => {
  const sizes = { '32MB': 32e6, '1 GiB': 2 ** 30, '1.5kb': 1500, '4096': 4096, '2m': 2e6, ' .5 TiB ': 2 ** 39 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(options(['chunk_size', text]).chunkSize, bytes, text);
  for (const text of ['', '0', '-1', 'MB', '1 XB', '1i', '0.5', '1e9', '99999TiB', 'NaN'])
    assert.match(refused(['chunk_size', text]), /^22023 10 /, text);
});

test('every option takes what COPY will take, and nothing else', () => {
  assert.deepEqual(options(['delimiter', '\t'], ['nullas', ''], ['compression', 'GZIP'], ['chunk_rows', '1']), {
    delimiter: '\t',
    nullas: '',
    compression: 'gzip',
    chunkRows: 1,
    chunkSize: 33_554_432,
  });
  for (const bad of ['', '"', '\n', '\r', ',,', 'é', '\0', '😀'])
    assert.match(refused(['delimiter', bad]), /^22023 10 /, JSON.stringify(bad));
  for (const bad of ['a"b', 'a\nb', 'a,b', '\0']) assert.match(refused(['nullas', bad]), /^22023 10 /, JSON.stringify(bad));
  assert.match(refused(['nullas', 'a|b'], ['delimiter', '|']), /^22023 10 .*delimiter/);
  for (const bad of ['0', '-1', '1.5', 'many', '', '99999999999999999999']) assert.match(refused(['chunk_rows', bad]), /^22023 10 /, bad);
  assert.match(refused(['compression', 'zip']), /^22023 10 /);
  assert.match(refused(['compression', 'snappy']), /^0A000 10 /);
});

test('unknown, repeated and empty options are named where they stand', () => {
  assert.equal(refused(['nullas', 'x'], ['foo', 'x']), '42601 20 invalid option "foo"');
  assert.match(refused(['nullas', 'x'], ['nullas', 'y']), /^42601 20 option "nullas"/);
  assert.equal(refused(['chunk_rows']), '42601 10 option "chunk_rows" requires a value');
});
