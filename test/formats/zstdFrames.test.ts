/** Blocks of zstd frames against the zstd tool, in both directions, and against damage. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdCompressSync } from 'node:zlib';
import { PgPierError } from '../../errors.ts';
import { compressBlock, compressBlocks, decompressBlocks, MAX_BLOCK, ZstdFrameReader } from '../../formats/zstdFrames.ts';

const zstdMissing = spawnSync('zstd', ['--version']).status === 0 ? false : 'no zstd tool on this machine';

/** Bytes that compress somewhat, the same in every run. */
function sample(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let state = 12345;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    bytes[at] = at % 3 === 0 ? 0x20 : 48 + ((state >>> 16) % 64);
  }
  return bytes;
}

/** Noise: compressed it is longer than before. */
function noise(length: number): Buffer {
  const parts: Buffer[] = [];
  for (let n = 0; n * 32 < length; n++) parts.push(createHash('sha256').update(String(n)).digest());
  return Buffer.concat(parts).subarray(0, length);
}

function readAll(file: Buffer, chunk = file.length || 1): Buffer {
  const reader = new ZstdFrameReader('data/1-1.copy.zst');
  const blocks: Buffer[] = [];
  for (let at = 0; at < file.length; at += chunk) blocks.push(...reader.read(file.subarray(at, at + chunk)));
  reader.end();
  return Buffer.concat(blocks);
}

const contents: Readonly<Record<string, Buffer>> = {
  'no bytes': Buffer.alloc(0),
  'one byte': Buffer.from('x'),
  'one row': Buffer.from('1\tone\n'),
  'a block to the byte': sample(MAX_BLOCK),
  'a block and a byte': sample(MAX_BLOCK + 1),
  'two blocks to the byte': sample(2 * MAX_BLOCK),
  'many equal bytes': Buffer.alloc(5_000_000, 'a'),
  'noise over several blocks': noise(3_400_000),
  'text over several blocks': sample(7_654_321),
};

for (const [title, raw] of Object.entries(contents)) {
  test(`${title}: what was written is read again, in chunks of any size`, () => {
    const file = Buffer.concat([...compressBlocks(raw)]);
    for (const chunk of [file.length, 65_536, 1021, ...(file.length < 3_000_000 ? [1, 17] : [])]) {
      assert.ok(readAll(file, chunk).equals(raw), `chunks of ${chunk}`);
    }
  });

  test(`${title}: the zstd tool reads the file as it is, and finds no fault`, { skip: zstdMissing }, () => {
    const file = Buffer.concat([...compressBlocks(raw)]);
    execFileSync('zstd', ['-t', '-q'], { input: file });
    assert.ok(execFileSync('zstd', ['-dc'], { input: file, maxBuffer: 16 * MAX_BLOCK }).equals(raw));
  });
}

test('blocks of many sizes follow each other', { skip: zstdMissing }, () => {
  const raw = sample(1_500_000);
  const blocks: Buffer[] = [];
  for (let at = 0, size = 1; at < raw.length; at += size, size = (size * 7 + 3) % 200_000)
    blocks.push(compressBlock(raw.subarray(at, at + size)));
  const file = Buffer.concat(blocks);
  assert.ok(readAll(file, 4096).equals(raw));
  assert.ok(execFileSync('zstd', ['-dc'], { input: file, maxBuffer: 4 * MAX_BLOCK }).equals(raw));
});

test('every frame tells its content size and carries a checksum', () => {
  const block = compressBlock(Buffer.from('hello'));
  assert.equal(block.subarray(0, 16).toString('hex'), `502a4d1808000000${u32(block.length - 16)}${u32(5)}`);
  const descriptor = block[20]!;
  assert.ok((descriptor & 0x04) !== 0, 'checksum');
  assert.ok((descriptor & 0x20) !== 0, 'single segment, hence content size');
});

test('a block larger than 1 MiB is not written', () => {
  assert.throws(() => compressBlock(Buffer.alloc(MAX_BLOCK + 1)), RangeError);
});

test('a file is read from any source of chunks', async () => {
  const raw = sample(2_500_000);
  async function* source() {
    yield* compressBlocks(raw);
  }
  const blocks: Buffer[] = [];
  for await (const block of decompressBlocks('f', source())) blocks.push(block);
  assert.ok(Buffer.concat(blocks).equals(raw));
});

const good = Buffer.concat([...compressBlocks(sample(1_200_000))]);
const damaged = (change: (file: Buffer) => Buffer | undefined): Buffer => {
  const copy = Buffer.from(good);
  return change(copy) ?? copy;
};
const damages: Readonly<Record<string, Buffer>> = {
  'cut in the header': good.subarray(0, 7),
  'cut in a frame': good.subarray(0, good.length - 1),
  'cut behind a header': good.subarray(0, 16),
  'other magic': damaged((file) => void file.writeUInt8(0x51, 0)),
  'a frame that claims more raw bytes': damaged((file) => void file.writeUInt32LE(MAX_BLOCK - 1, 12)),
  'a raw length beyond a block': damaged((file) => void file.writeUInt32LE(MAX_BLOCK + 1, 12)),
  'a compressed length of gigabytes': damaged((file) => void file.writeUInt32LE(0xffffffff, 8)),
  'a compressed length of nothing': damaged((file) => void file.writeUInt32LE(0, 8)),
  'a compressed length too small': damaged((file) => void file.writeUInt32LE(file.readUInt32LE(8) - 1, 8)),
  'a wrong checksum': damaged((file) => void file.writeUInt8(file[file.length - 1]! ^ 1, file.length - 1)),
  'a flipped bit in the data': damaged((file) => void file.writeUInt8(file[1000]! ^ 0x10, 1000)),
  'a plain zstd file': zstdCompressSync(sample(100_000)),
  'no zstd at all': Buffer.from('-- PostgreSQL database dump\nSET statement_timeout = 0;\n'),
  'rubbish behind the end': Buffer.concat([good, Buffer.from('x')]),
  'a bomb: 100 MB in a frame that says 1 MiB': bomb(),
};
for (const [title, file] of Object.entries(damages)) {
  test(`${title}: an error that names the file`, () => {
    assert.throws(
      () => readAll(file, 10_000),
      (error) => error instanceof PgPierError && error.data.sqlstate === 'XX001' && error.message.includes('data/1-1.copy.zst'),
    );
  });
}

function bomb(): Buffer {
  const frame = zstdCompressSync(Buffer.alloc(100_000_000));
  const header = Buffer.from(`502a4d1808000000${u32(frame.length)}${u32(MAX_BLOCK)}`, 'hex');
  return Buffer.concat([header, frame]);
}

function u32(value: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes.toString('hex');
}
