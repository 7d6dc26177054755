import assert from 'node:assert/strict';
import { test } from 'node:test';
import { grant, noPrivileges, objectPrivileges, type PrivilegeSet, revoke } from '../../catalog/privilegeSet.ts';

/** Steps from nothing, and `{held} {grantable}` in the end, as CockroachDB stores it (spec §2.2). */
const table: readonly (readonly [string, string])[] = [
  ['GRANT USAGE', '{USAGE} {}'],
  ['GRANT USAGE; GRANT DROP,UPDATE', '{DROP,UPDATE,USAGE} {}'],
  ['GRANT USAGE; GRANT ALL', '{ALL} {}'],
  ['GRANT ALL; GRANT USAGE', '{ALL} {}'],
  ['GRANT ALL; REVOKE USAGE', '{DROP,UPDATE} {}'],
  ['GRANT ALL; REVOKE ALL', '{} {}'],
  ['GRANT USAGE; REVOKE DROP', '{USAGE} {}'],
  ['GRANT ALL+; REVOKE USAGE', '{DROP,UPDATE} {DROP,UPDATE}'],
  ['GRANT ALL+; REVOKE OPTION USAGE', '{ALL} {DROP,UPDATE}'],
  ['GRANT ALL+; REVOKE OPTION ALL', '{ALL} {}'],
  ['GRANT ALL; GRANT USAGE+', '{ALL} {USAGE}'],
  ['GRANT ALL; GRANT USAGE+; REVOKE USAGE', '{DROP,UPDATE} {}'],
  ['GRANT USAGE+; REVOKE USAGE', '{} {}'],
  ['GRANT USAGE+; GRANT USAGE', '{USAGE} {USAGE}'],
];

for (const [steps, expected] of table) {
  test(`${steps} leaves ${expected}`, () => {
    const set = steps.split('; ').reduce((held: PrivilegeSet, step) => {
      const [, verb, option, words, plus] = /^(GRANT|REVOKE) (OPTION )?([A-Z,]+)(\+)?$/.exec(step)!;
      const privileges = words!.split(',');
      return verb === 'GRANT' ? grant(held, privileges, plus === '+') : revoke(held, privileges, option !== undefined, objectPrivileges);
    }, noPrivileges);
    const print = (words: ReadonlySet<string>) => `{${[...words].sort().join(',')}}`;
    assert.equal(`${print(set.held)} ${print(set.grantable)}`, expected);
  });
}
