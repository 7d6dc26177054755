/** Which of several hosts is taken, with answers made up: libpq's rules (PostgreSQL documentation, target_session_attrs). */
import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { PgPierError } from '../../errors.ts';
import type { HostList, SessionAttrs } from '../../server/configuration/connectionUri.ts';
import { HostChoice, type HostState } from '../../server/hosts/hostChoice.ts';

const primary: HostState = { inRecovery: false, readOnly: false };
const closedPrimary: HostState = { inRecovery: false, readOnly: true };
const standby: HostState = { inRecovery: true, readOnly: true };
type Answer = HostState | 'down' | 'silent';

/** Hosts a, b, c … that answer as `answers` says at the time; `asked` notes each question. */
function choiceOf(answers: Answer[], sessionAttrs: SessionAttrs, shuffled = false) {
  const names = 'abcdef'.slice(0, answers.length).split('');
  const list: HostList = { hosts: names.map((host) => ({ host, port: 5432 })), sessionAttrs, shuffled };
  const asked: string[] = [];
  const choice = new HostChoice(
    list,
    async ({ host }) => {
      asked.push(host);
      const answer = answers[names.indexOf(host)]!;
      if (answer === 'silent') await new Promise(() => {});
      if (answer === 'down' || answer === 'silent') throw new Error('connection refused');
      return answer;
    },
    { info: () => {}, warn: () => {} },
  );
  return { answers, asked, choice, chosen: async () => (await choice.choose()).host };
}

const reasonOf = (choose: Promise<unknown>): Promise<string> =>
  choose.then(
    () => 'chosen',
    (error: PgPierError) => `${error.data.severity} ${error.data.sqlstate} ${error.data.message}`,
  );

test('each of libpq’s kinds takes the first host in order that is of it', async () => {
  const servers: Answer[] = ['down', standby, closedPrimary, primary];
  const expected: Record<SessionAttrs, string> = {
    any: 'b',
    'read-write': 'd',
    'read-only': 'b',
    primary: 'c',
    standby: 'b',
    'prefer-standby': 'b',
  };
  for (const [attrs, host] of Object.entries(expected)) assert.equal(await choiceOf(servers, attrs as SessionAttrs).chosen(), host, attrs);
  assert.equal(await choiceOf([primary, 'down'], 'prefer-standby').chosen(), 'a');
});

test('where no host is of the kind, or none answers, the client is told which', async () => {
  assert.match(await reasonOf(choiceOf([standby, standby], 'primary').chosen()), /^FATAL 08\w+ .*none of its hosts is a primary/);
  assert.match(await reasonOf(choiceOf([primary, 'down'], 'standby').chosen()), /none of its hosts is a standby/);
  assert.match(await reasonOf(choiceOf([closedPrimary], 'read-write').chosen()), /none of its hosts takes writes/);
  assert.match(await reasonOf(choiceOf(['down', 'down'], 'any').chosen()), /none of its hosts lets PgPier in/);
});

test('an answer is believed for a second, and many logins ask once', async () => {
  const { asked, chosen } = choiceOf([standby, primary], 'primary');
  assert.deepEqual(await Promise.all(Array.from({ length: 50 }, chosen)), new Array(50).fill('b'));
  assert.deepEqual(asked, ['a', 'b']);
  const now = mock.method(performance, 'now', () => 1e9);
  try {
    await chosen();
    now.mock.mockImplementation(() => 1e9 + 999);
    await chosen();
    assert.equal(asked.length, 4);
    now.mock.mockImplementation(() => 1e9 + 1_001);
    await chosen();
    assert.equal(asked.length, 6);
  } finally {
    now.mock.restore();
  }
});

test('after a failover the other host is taken, and the first again when it is back', async () => {
  const { answers, choice, chosen } = choiceOf([standby, primary], 'primary');
  assert.equal(await chosen(), 'b');
  answers[1] = 'down';
  choice.failed({ host: 'b', port: 5432 });
  assert.match(await reasonOf(chosen()), /none of its hosts is a primary/);
  // A moment ago it was a standby: where nobody else is left, it is asked again at once.
  answers[0] = primary;
  assert.equal(await chosen(), 'a');
  answers[1] = standby;
  assert.equal(await chosen(), 'a');
});

test('a host in silence is waited for once, not by every login', async () => {
  const { answers, choice, asked, chosen } = choiceOf([primary, primary], 'any');
  assert.equal(await chosen(), 'a');
  answers[0] = 'silent';
  choice.failed({ host: 'a', port: 5432 });
  assert.equal(await chosen(), 'b');
  const later = performance.now() + 3_500;
  const now = mock.method(performance, 'now', () => later);
  try {
    for (let login = 0; login < 5; login++) assert.equal(await chosen(), 'b');
  } finally {
    now.mock.restore();
  }
  assert.equal(asked.filter((host) => host === 'a').length, 2, 'the second question is still open');
});

test('load_balance_hosts=random spreads over the hosts that fit', async () => {
  const { chosen } = choiceOf([standby, primary, standby, 'down', standby], 'standby', true);
  const counts = new Map<string, number>();
  for (let login = 0; login < 3_000; login++) {
    const host = await chosen();
    counts.set(host, (counts.get(host) ?? 0) + 1);
  }
  assert.deepEqual([...counts.keys()].sort(), ['a', 'c', 'e']);
  for (const [host, count] of counts) assert.ok(count > 800 && count < 1_200, `${host}: ${count}`);
});

test('what a login is told may contradict the choice', () => {
  const told = (attrs: SessionAttrs, inHotStandby: string | undefined): boolean =>
    choiceOf([primary], attrs).choice.contradicts(new Map(inHotStandby === undefined ? [] : [['in_hot_standby', inHotStandby]]));
  for (const attrs of ['primary', 'read-write'] as const) assert.deepEqual([told(attrs, 'on'), told(attrs, 'off')], [true, false], attrs);
  assert.deepEqual([told('standby', 'on'), told('standby', 'off')], [false, true]);
  for (const attrs of ['any', 'prefer-standby', 'read-only'] as const)
    assert.deepEqual([told(attrs, 'on'), told(attrs, 'off')], [false, false], attrs);
  assert.equal(told('primary', undefined), false, 'PostgreSQL before 14 does not say');
});
