/** What C and TypeScript both say about the same bytes: the ledger and the look for statements of ours. The C side runs under sanitizers where the compiler has them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Ledger, type Sent, sent } from '../../server/session/ledger.ts';
import { candidateTables, mayBeOwn } from '../../statement/candidate.ts';
import { statementHeads } from '../../statement/parse/statements.ts';
import { missingCompiler } from './compiler.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const native = fileURLToPath(new URL('../../server/native/', import.meta.url));

/** Mulberry32. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function frame(kind: string, bytes: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head.write(kind, 'latin1');
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

describe('the addon and its twins in TypeScript', { skip: missingCompiler() }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgpier-probe-'));
  const probe = join(directory, 'probe');
  after(() => rmSync(directory, { recursive: true, force: true }));
  const sources = [join(here, 'probe.c'), join(native, 'ledger.c'), join(native, 'candidate.c')];
  const compile = (more: readonly string[]) =>
    spawnSync(process.env.CC || 'cc', ['-std=c11', '-g', '-O1', ...more, `-I${native}`, ...sources, '-o', probe], { encoding: 'utf8' });
  const sanitized = compile(['-fsanitize=address,undefined', '-fno-sanitize-recover=all']);
  const built = sanitized.status === 0 ? sanitized : compile([]);

  const ask = (frames: readonly Buffer[]): Buffer => {
    assert.equal(built.status, 0, built.stderr);
    const run = spawnSync(probe, [], { input: Buffer.concat(frames), maxBuffer: 1 << 28 });
    assert.equal(run.status, 0, run.stderr.toString());
    return run.stdout;
  };

  test('keep the same ledger over 2,000 random walks', () => {
    const random = randomNumbers(1);
    const types = [...'123nstTDCIZEGHWdcNASVXq'].map((letter) => letter.charCodeAt(0));
    const frames: Buffer[] = [];
    const expected: (number | boolean)[][] = [];
    for (let walk = 0; walk < 2_000; walk++) {
      const ledger = new Ledger<never>();
      const steps: number[] = [];
      // Some walks pipeline far ahead, so that the rings grow and wrap round.
      const sends = walk % 7 === 0 ? 0.8 : 0.5;
      for (let step = 0; step < 5 + random() * 120; step++) {
        if (random() < sends) {
          const kind = (1 + Math.floor(random() * Object.keys(sent).length)) as Sent;
          steps.push(0x73, kind);
          ledger.push(kind);
        } else {
          const type = types[Math.floor(random() * types.length)]!;
          steps.push(0x72, type);
          ledger.receive(type);
        }
        expected.push([ledger.length, ledger.skipping, ledger.copyingIn, ledger.executesSinceSync, ledger.unflushed, ledger.atRest]);
      }
      frames.push(frame('l', Uint8Array.from(steps)));
    }
    const answer = ask(frames);
    let at = 0;
    const heard = expected.map(() => {
      const length = answer.readUInt32LE(at);
      const [skipping, copyIn, executes] = answer.subarray(at + 4, at + 7);
      const kinds = answer.subarray(at + 7, at + 7 + length);
      at += 7 + length;
      const last = kinds.findLast((kind) => kind !== sent.copyEnd);
      const atRest = length === 0 && skipping === 0 && copyIn === 0 && executes === 0;
      return [length, skipping === 1, copyIn === 1, executes, last !== undefined && last < sent.sync, atRest];
    });
    assert.equal(at, answer.length);
    assert.deepEqual(heard, expected);
  });

  test('find the same texts suspicious, 30,000 of them', () => {
    const random = randomNumbers(2);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!;
    const pieces = [
      ...new Set(statementHeads.flatMap(({ head }) => [head, head.toUpperCase(), ...head.split(' ')])),
      ...[
        "'",
        ';',
        ';;',
        '[',
        '[show jobs]',
        '[ShOw',
        ' ',
        '\n',
        '\t',
        '\v',
        '/*',
        '*/',
        '/**/',
        '--',
        '-- x\n',
        '-',
        '/',
        '$$',
        '"',
        '\0',
      ],
      ...['select', 'selec', 'from', '@s', 'grant select on t to u', 'x'.repeat(300), `/*${'y'.repeat(254)}*/`, `/*${'z'.repeat(300)}`],
      ...['é', '\u0080', 'ª', '\r', '\f', 'CREATE', 'create table t', 'SHOW ALL', 'show'],
    ];
    const texts = Array.from({ length: 30_000 }, () =>
      Buffer.from(Array.from({ length: Math.floor(random() * 9) }, () => pick(pieces)).join(random() < 0.5 ? ' ' : ''), 'latin1'),
    );
    const [classes, words] = candidateTables;
    const tables = [frame('t', classes), frame('w', Buffer.from(words.buffer, words.byteOffset, words.byteLength))];
    const answers = ask([...tables, ...texts.map((text) => frame('c', text))]);
    const expected = Buffer.from(texts.map((text) => Number(mayBeOwn(text, 0, text.length))));
    const counts = [0, 1].map((each) => expected.filter((answer) => answer === each).length);
    assert.ok(Math.min(...counts) > 3_000, `both answers must be common: ${counts}`);
    for (const [index, text] of texts.entries()) assert.equal(answers[index], expected[index], JSON.stringify(text.toString('latin1')));
  });
});
