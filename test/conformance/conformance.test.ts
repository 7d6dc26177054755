/** The conformance command: its quick checks hold, and it tells a difference when there is one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { compare } from '../../conformance/compare.ts';
import { missingPostgres } from '../servers/postgres.ts';

const command = fileURLToPath(new URL('../../conformance/run.ts', import.meta.url));

for (const check of ['psql', 'pgbench', 'pg_dump', 'replication']) {
  test(`${check} does through PgPier what it does on PostgreSQL alone`, { skip: missingPostgres(15) }, async () => {
    const { code, out } = await run('--only', check);
    assert.equal(code, 0, out);
    assert.match(out, new RegExp(`^${check} +bare (\\d+)/\\1 +pgpier \\1/\\1 +no differences$`, 'm'));
  });
}

test('a check that does not exist is told, with those that do', async () => {
  const { code, out } = await run('--only', 'nothing');
  assert.equal(code, 2);
  assert.match(out, /there is no check nothing; there are psql, /);
});

test('other output, a new failure, a missing and an additional item are differences; what fails on both alike is none', () => {
  const bare = [
    { name: 'same', output: 'a\nb' },
    { name: 'other', output: 'a\nb' },
    { name: 'worse' },
    { name: 'gone' },
    { name: 'fails', failure: 'x', output: 'd' },
  ];
  const pgpier = [
    { name: 'same', output: 'a\nb' },
    { name: 'other', output: 'a\nc' },
    { name: 'worse', failure: 'ended with 1' },
    { name: 'fails', failure: 'x', output: 'd' },
    { name: 'new' },
  ];
  const row = compare('check', bare, pgpier);
  assert.deepEqual(row.differences, [
    'other: line 2 is "c", bare "b"',
    'worse: ended with 1',
    'gone: missing through PgPier',
    'new: only through PgPier',
  ]);
  assert.deepEqual([row.passedBare, row.passedPgpier, row.failBoth], [4, 1, ['fails: x']]);
});

test('a check that ran nothing is no check that found nothing', () => {
  assert.deepEqual(compare('empty', [], []).differences, ['nothing was run']);
});

test('a table of some checks is not written over that of all', async () => {
  const { code, out } = await run('--only', 'psql', '--write');
  assert.equal(code, 2);
  assert.match(out, /--write needs all checks/);
});

function run(...args: string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, out: stdout + stderr }),
    );
  });
}
