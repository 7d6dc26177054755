/** A manifest is a stranger's file: what is not as docs/backup-format.md says is told, and nothing else comes through. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';
import type { Manifest } from '../../jobs/backup/manifest.ts';
import { filesOf, largestManifest, parseManifest, readManifest } from '../../jobs/backup/readManifest.ts';
import { exampleBackup } from './backupBuilder.ts';

const folder = '2026/04/18-084211.25';
const example = exampleBackup().manifest;
const parse = (value: unknown): Manifest => parseManifest(folder, Buffer.from(JSON.stringify(value)));

type Key = string | number;

/** Every place in a document, outermost first. */
function* places(value: unknown, at: Key[] = []): Iterable<Key[]> {
  if (typeof value !== 'object' || value === null) return;
  for (const [key, inner] of Array.isArray(value) ? value.entries() : Object.entries(value)) {
    yield [...at, key];
    yield* places(inner, [...at, key]);
  }
}

/** A copy in which one place holds something else; undefined takes it out. */
function changed(at: readonly Key[], value: unknown): unknown {
  const copy = structuredClone(example);
  const last = at.at(-1)!;
  const parent = at.slice(0, -1).reduce((inner, key) => (inner as Record<Key, unknown>)[key], copy as unknown) as Record<Key, unknown>;
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return copy;
}

function refusal(value: unknown): PgPierError {
  try {
    parse(value);
  } catch (error) {
    assert.ok(error instanceof PgPierError, String((error as Error).stack));
    assert.match(error.data.sqlstate, /^(XX001|0A000)$/);
    return error;
  }
  assert.fail(`accepted: ${JSON.stringify(value).slice(0, 200)}`);
}

test('a manifest comes back as it was written, without the fields that nobody knows', () => {
  assert.deepEqual(parse(example), example);
  assert.deepEqual(parse({ ...example, more: 1, databases: example.databases.map((each) => ({ ...each, more: [] })) }), example);
  const full = structuredClone(example) as unknown as { databases: Record<string, unknown>[] };
  Object.assign(full.databases[0]!, { locale: 'de-DE', icuRules: '', largeObjects: { count: 0, files: [] }, localeProvider: 'icu' });
  assert.deepEqual(parse(full), full);
});

test('the files of a manifest are all that the folder holds', () => {
  assert.deepEqual([...filesOf(example)].map(({ path }) => path).sort(), [...exampleBackup().files.keys()].sort());
});

test('every place refuses what is of another kind, and optional fields alone may be left out', () => {
  let tried = 0;
  for (const at of places(example)) {
    const value = at.reduce((inner, key) => (inner as Record<Key, unknown>)[key], example as unknown);
    const strangers = [null, { a: 1 }, [1], true, -3, 1.5, 'x\0y', '\ud800'].filter(
      (stranger) => typeof stranger !== typeof value || typeof value !== 'boolean',
    );
    for (const stranger of strangers) {
      refusal(changed(at, stranger));
      tried++;
    }
    const isOptional = ['createStatement', 'privileges'].includes(String(at.at(-1))) || typeof at.at(-1) === 'number';
    if (!isOptional) refusal(changed(at, undefined));
  }
  assert.ok(tried > 500, `${tried}`);
});

const first = ['databases', 0] as const;
const dataFile = [...first, 'tables', 0, 'files', 0] as const;

test('paths that lead out of the folder, or are no plain names, are refused', () => {
  const paths = [
    '..',
    '../x',
    '/etc/passwd',
    '1/../../x',
    './x',
    'a//b',
    'a/',
    '',
    '.',
    'a/./b',
    '...',
    'a\\b',
    'a b',
    'a\nb',
    'é',
    '-x',
    'a/-x',
    'C:x',
    '~',
    '$HOME',
    '%2e%2e',
  ];
  for (const path of [...paths, 's3://b/x', 'BACKUP_MANIFEST', 'BACKUP-LOCK-1', 'a'.repeat(201)]) {
    for (const at of [dataFile, [...first, 'preData'], [...first, 'script']]) refusal(changed([...at, 'path'], path));
  }
});

test('numbers are whole, not negative, and exact', () => {
  for (const at of [
    [...dataFile, 'bytes'],
    [...dataFile, 'rawBytes'],
    [...first, 'objects', 0, 'bytes'],
    ['server', 'versionNumber'],
  ]) {
    for (const value of [-1, 0.5, 2 ** 53, 1e300, '1', null]) refusal(changed(at, value));
  }
  for (const value of ['', '1.0', '9223372036854775808', '-9223372036854775809', '0x10', ' 1', '99999999999999999999', 5]) {
    refusal(changed([...first, 'sequences', 0, 'lastValue'], value));
  }
  assert.equal(
    (parse(changed([...first, 'sequences', 0, 'lastValue'], '-9223372036854775808')) as Manifest).databases[0]!.sequences[0]!.lastValue,
    '-9223372036854775808',
  );
});

test('errors tell the place and never the value', () => {
  const told = (at: readonly Key[], value: unknown) => refusal(changed(at, value)).message;
  const prefix = 'the manifest of the backup "/2026/04/18-084211.25" is broken: ';
  assert.equal(told([...dataFile, 'rows'], -1), `${prefix}databases[0].tables[0].files[0].rows must be a whole number, 0 or more`);
  assert.equal(told([...dataFile, 'sha256'], 'SECRET'), `${prefix}databases[0].tables[0].files[0].sha256 must be a SHA-256 sum in hex`);
  assert.equal(told([...first, 'localeProvider'], 'SECRET'), `${prefix}databases[0].localeProvider must be one of libc, icu, builtin`);
  assert.equal(told(['databases'], []), `${prefix}databases must not be empty`);
  assert.equal(told(['startTime'], 'yesterday'), `${prefix}startTime must be a time such as 2026-04-18T08:42:11.250000Z`);
  assert.equal(told(['startTime'], '2026-99-18T08:42:11Z'), `${prefix}startTime is no time`);
  assert.equal(told([...first, 'tables', 0, 'rows'], 3), `${prefix}databases[0].tables[0].rows is not the sum of its files’ rows`);
  assert.equal(refusal(5).message, `${prefix}it must be an object`);
});

test('what is named twice is refused: databases, tables, sequences, files', () => {
  const [database] = example.databases;
  assert.match(refusal({ ...example, databases: [database, database] }).message, /databases names one twice/);
  assert.match(refusal(changed([...first, 'tables', 1], database!.tables[0])).message, /tables names one twice/);
  assert.match(
    refusal(changed([...first, 'sequences'], [database!.sequences[0], database!.sequences[0]])).message,
    /sequences names one twice/,
  );
  assert.match(refusal(changed([...dataFile, 'path'], '1/data/2-0.copy.zst')).message, /its list of files names one twice/);
});

test('a newer version is told as such, whatever else it holds; another format is none', () => {
  const error = refusal({ format: 'pgpier-backup', version: 2, all: 'new' });
  assert.equal(error.data.sqlstate, '0A000');
  assert.equal(error.message, 'the backup "/2026/04/18-084211.25" has format version 2, this program reads no newer one than 1');
  assert.equal(refusal({ ...example, format: 'other', version: 9 }).data.sqlstate, 'XX001');
  assert.equal(refusal({ ...example, version: 0 }).data.sqlstate, 'XX001');
});

test('names that JavaScript has a meaning for are names', () => {
  const copy = changed([...first, 'tables', 0, 'name'], '__proto__') as Manifest;
  assert.equal(parse(copy).databases[0]!.tables[0]!.name, '__proto__');
  const json = JSON.stringify(example).replace('"format":', '"__proto__":{"format":"x"},"constructor":5,"format":');
  assert.deepEqual(parseManifest(folder, Buffer.from(json)), example);
  assert.equal(refusal(JSON.parse(`{"__proto__":${JSON.stringify(example)}}`)).data.sqlstate, 'XX001');
});

test('what is no JSON in UTF-8 is told, whatever it is', () => {
  const json = Buffer.from(JSON.stringify(example));
  const bad = [
    Buffer.alloc(0),
    Buffer.from('x'),
    Buffer.from([0xff, 0xfe, 0x7b]),
    json.subarray(0, json.length - 1),
    json.subarray(1),
    Buffer.concat([json, json]),
  ];
  for (const bytes of [...bad, Buffer.from('['.repeat(100_000)), Buffer.from(`{"format":"${'x'.repeat(1e6)}`)]) {
    assert.throws(() => parseManifest(folder, bytes), { message: /is broken: it is not JSON in UTF-8$/ });
  }
});

test('any byte changed gives a manifest or an error of ours', () => {
  const json = Buffer.from(JSON.stringify(example));
  for (let at = 0; at < json.length; at += 3) {
    const copy = Buffer.from(json);
    copy[at]! ^= 1 << (at % 8);
    try {
      parseManifest(folder, copy);
    } catch (error) {
      assert.ok(error instanceof PgPierError, `${at}: ${(error as Error).stack}`);
    }
  }
});

test('a manifest that is too large is refused while it is read', async () => {
  let given = 0;
  const chunk = Buffer.alloc(64 * 1024 * 1024, 'x');
  const storage = {
    async *read() {
      for (;;) {
        given++;
        yield chunk;
      }
    },
  } as unknown as Storage;
  await assert.rejects(() => readManifest(storage, folder, new AbortController().signal), {
    message: new RegExp(`larger than ${largestManifest} bytes`),
  });
  assert.equal(given, 5);
});
