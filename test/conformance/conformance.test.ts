/** The conformance command: its quick checks hold, and it tells a difference when there is one. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Check } from '../../conformance/check.ts';
import { checks } from '../../conformance/checks.ts';
import { compare, type Row } from '../../conformance/compare.ts';
import { settle } from '../../conformance/steadiness.ts';
import { itemsOfJunit } from '../../conformance/suites/junit.ts';
import { withRows } from '../../conformance/table.ts';
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

test('--list names every check, and why one cannot run, without fetching anything', async () => {
  const { code, out } = await run('--list');
  assert.equal(code, 0);
  for (const { name } of checks) assert.match(out, new RegExp(`^${name} +\\S+`, 'm'));
});

test('the table gets the rows of what was run, and keeps the others with their dates', () => {
  const check = (name: string): Check => ({ name, description: `does ${name}`, missing: () => false, run: async () => [] });
  const row = (name: string, failing: number): Row => compare(name, [...items(3)], [...items(3 - failing)]);
  const items = (count: number) => Array.from({ length: count }, (_, i) => ({ name: String(i) }));
  const three = [check('one'), check('two'), check('three')];
  const page = 'before\n<!-- conformance -->\n<!-- end of conformance -->\nafter\n';
  const first = withRows(page, three, [row('two', 0), row('one', 1)], { server: '15.1', date: '2026-01-01' });
  const second = withRows(first, [...three.slice(1), check('four')], [row('three', 0)], { server: '15.2', date: '2026-02-02' });
  assert.equal(
    first,
    `before
<!-- conformance -->
| check | what | PostgreSQL alone | through PgPier | differences | PostgreSQL, date |
|---|---|---|---|---|---|
| one | does one | 3 of 3 | 2 of 3 | 1 | 15.1, 2026-01-01 |
| two | does two | 3 of 3 | 3 of 3 | none | 15.1, 2026-01-01 |

- one: differs: 2: missing through PgPier

Not run: three.
<!-- end of conformance -->
after
`,
  );
  assert.equal(
    second,
    `before
<!-- conformance -->
| check | what | PostgreSQL alone | through PgPier | differences | PostgreSQL, date |
|---|---|---|---|---|---|
| two | does two | 3 of 3 | 3 of 3 | none | 15.1, 2026-01-01 |
| three | does three | 3 of 3 | 3 of 3 | none | 15.2, 2026-02-02 |

Not run: four.
<!-- end of conformance -->
after
`,
  );
});

test('what differs is told apart: by PgPier, by any relay, by PostgreSQL alone now so and now otherwise', async () => {
  const passed = (name: string) => ({ name });
  const failed = (name: string) => ({ name, failure: 'no' });
  const bare = ['defect', 'relayed', 'unsteady', 'steady'].map(passed);
  const pgpier = [failed('defect'), failed('relayed'), failed('unsteady'), passed('steady')];
  let round = 0;
  const asked: string[] = [];
  const settled = await settle(bare, pgpier, async (side, names) => {
    asked.push(`${side} ${names.join(' ')}`);
    if (side === 'bare') return [passed('defect'), passed('relayed'), round++ === 1 ? failed('unsteady') : passed('unsteady')];
    return [side === 'relay' ? passed('defect') : failed('defect'), failed('relayed'), failed('unsteady')];
  });
  assert.equal(asked.length, 9);
  assert.equal(asked[0], 'bare defect relayed unsteady');
  const { differences } = compare('check', settled.bare, settled.pgpier);
  assert.equal(differences.length, 1);
  assert.match(
    differences[0]!,
    /^defect: no \(alone passed, .* through PgPier failed, failed, failed, failed; through a relay that only copies passed/,
  );
  assert.match(settled.anyRelay.join(), /^relayed: [^,]*(, passed){3}; .*failed$/);
  assert.match(settled.unsteady.join(), /^unsteady: alone passed, passed, failed, passed/);
});

test('a report of JUnit is read: passed, failed, skipped, with entities, angle brackets in attributes and output around them', () => {
  const items = itemsOfJunit(`<?xml version="1.0"?><testsuites><testsuite name="a" tests="4">
    <testcase classname="t.A" name="one[a&lt;b&#x2f;]" time="0.1"/>
    <testcase classname="t.A" name="two" time="0.1"><failure message="x &amp; y > z">trace</failure><system-out>no</system-out></testcase>
    <testcase classname="t.A" name="three"><error type="E"><![CDATA[boom]]></error></testcase>
    <testcase classname="t.A" name="four"><skipped message="later"/></testcase>
    <testcase classname="t.A" name="two" time="0.1"/></testsuite></testsuites>`);
  assert.deepEqual(
    items.map(({ name, failure, skipped }) => [name, failure, skipped]),
    [
      ['t.A::one[a<b/]', undefined, undefined],
      ['t.A::two', 'x & y > z', undefined],
      ['t.A::three', 'boom', undefined],
      ['t.A::four', undefined, true],
    ],
  );
});

function run(...args: string[]): Promise<{ code: number; out: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [command, ...args], { timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, out: stdout + stderr }),
    );
  });
}
