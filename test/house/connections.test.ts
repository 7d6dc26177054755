/** The table of docs/connections.md has a row for each scheme that PgPier knows, no other, and names tests that are there and speak of it. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { keyServices } from '../../external/kms/keyServices.ts';
import { sinks } from '../../external/sinks/sinks.ts';
import { storages } from '../../external/storage/storages.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(`${root}docs/connections.md`, 'utf8');

interface Row {
  readonly schemes: readonly string[];
  readonly cells: readonly string[];
  readonly tests: readonly string[];
}

const codes = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(([, code]) => code!);
const lines = page.slice(page.indexOf('| scheme | created |')).split('\n\n')[0]!.split('\n').slice(2);
const rows: readonly Row[] = lines.map((line) => {
  const cells = line.split('|').slice(1, -1);
  const [, name] = /\[(.+?)\]\([a-z-]+\.md#.+?\)/.exec(cells[0]!)!;
  return { schemes: codes(name!), cells, tests: codes(cells.at(-1)!) };
});

/** `webhook-http` is known only to be refused. */
const known = new Set([...storages, ...keyServices, ...sinks].map(({ scheme }) => scheme).filter((scheme) => scheme !== 'webhook-http'));

test('each scheme has one row, and each row a scheme', () => {
  assert.deepEqual(rows.flatMap(({ schemes }) => schemes).sort(), [...known].sort());
  for (const { cells } of rows) assert.equal(cells.length, 11, cells[0]);
});

test('the tests that a row names are there, and one of them speaks of each scheme', () => {
  for (const { schemes, tests } of rows) {
    assert.ok(tests.length > 0, schemes[0]);
    for (const file of tests) assert.ok(existsSync(`${root}test/${file}`), file);
    const text = tests.map((file) => readFileSync(`${root}test/${file}`, 'utf8')).join('');
    for (const scheme of schemes) assert.ok(text.includes(scheme), `${scheme} in ${tests.join(', ')}`);
  }
});
