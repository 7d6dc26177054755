import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import type { Service } from '../../catalog/service.ts';
import { outcomesOf, type Queryable } from '../../catalog/settle.ts';
import { collectingLog } from './lab.ts';

/** A catalog whose unsettled rows hold these ids. */
function catalogWith(xids: readonly string[]): Queryable {
  return { query: async () => ({ rows: xids.map((xid) => ({ xid })) }) as unknown as pg.QueryResult };
}

/** A cluster that gives each id its answers one after the other, the last one for ever. */
function clusterThatSays(answers: Readonly<Record<string, readonly (string | null | '22023')[]>>): Service {
  const asked = new Map<string, number>();
  return {
    async query(_text: string, values: readonly unknown[] = []) {
      const xids = values[0] as readonly string[];
      const future = xids.some((xid) => answers[xid]![0] === '22023');
      if (future) throw Object.assign(new pg.DatabaseError('transaction ID 9 is in the future', 0, 'error'), { code: '22023' });
      return xids.map((xid) => {
        const at = asked.get(xid) ?? 0;
        asked.set(xid, at + 1);
        return { xid, status: answers[xid]!.at(Math.min(at, answers[xid]!.length - 1)) };
      }) as never;
    },
  };
}

const table: readonly (readonly [string, Parameters<typeof clusterThatSays>[0], { committed: string[]; aborted: string[] }])[] = [
  ['nothing is pending', {}, { committed: [], aborted: [] }],
  ['a transaction is still open', { 5: ['in progress'] }, { committed: [], aborted: [] }],
  ['each has its own end', { 5: ['committed'], 6: ['aborted'], 7: ['in progress'] }, { committed: ['5'], aborted: ['6'] }],
  [
    'it commits between the answers for two of its ids',
    { 5: ['in progress', 'committed'], 6: ['committed'] },
    { committed: ['6', '5'], aborted: [] },
  ],
  [
    'it aborts between the answers for two of its ids',
    { 5: ['in progress', 'aborted'], 6: ['aborted'] },
    { committed: [], aborted: ['6', '5'] },
  ],
  ['the commit log no longer tells', { 5: [null], 6: ['committed'] }, { committed: ['6'], aborted: ['5'] }],
  ['an id comes from the future', { 5: ['22023'], 6: ['committed'], 7: ['in progress'] }, { committed: ['6'], aborted: ['5'] }],
];

for (const [title, answers, expected] of table) {
  test(`what became of pending changes when ${title}`, async () => {
    const outcomes = await outcomesOf(catalogWith(Object.keys(answers)), clusterThatSays(answers), collectingLog());
    assert.deepEqual({ committed: [...outcomes.committed], aborted: [...outcomes.aborted].sort().reverse() }, expected);
  });
}
