/** docs/errors.md and errors.ts say the same; every SQLSTATE is one that PostgreSQL knows. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { errors } from '../../errors.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const table: Readonly<Record<string, { sqlstate: string; text: string; hint?: string }>> = errors;
const cell = (text: string): string => text.replaceAll('|', '\\|');
const row = (name: string): string => {
  const { sqlstate, text, hint } = table[name]!;
  return `| \`${name}\` | ${sqlstate} | ${cell(text)} | ${cell(hint ?? '')} |`;
};

test('docs/errors.md has each error of the table, in its words and its order, and no other', () => {
  const documented = readFileSync(`${root}docs/errors.md`, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  assert.deepEqual(documented, Object.keys(table).map(row));
});

test('every SQLSTATE is five characters, and XX000 is for defects alone', () => {
  for (const [name, { sqlstate }] of Object.entries(table)) {
    assert.match(sqlstate, /^[0-9A-Z]{5}$/, name);
    if (sqlstate === 'XX000') assert.equal(name, 'internal');
  }
});

test('every error of the table is raised somewhere', () => {
  const sources = globSync('{server,commands,catalog,jobs,external,formats,protocol,statement}/**/*.ts', { cwd: root }).map((file) =>
    readFileSync(root + file, 'utf8'),
  );
  sources.push(readFileSync(`${root}errors.ts`, 'utf8'));
  const unused = Object.keys(table).filter((name) => !sources.some((text) => text.includes(`'${name}'`)));
  assert.deepEqual(unused, []);
});
