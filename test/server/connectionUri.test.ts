/** Several hosts in a URL, read as libpq reads them: psql tells which it tried. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { parseConnectionUri } from '../../server/configuration/connectionUri.ts';

const defaults = { user: 'somebody' };

/** host:port of each attempt that psql reports; nothing listens there. */
function triedByLibpq(url: string): Promise<{ tried: string[]; error: string }> {
  const env = { PATH: process.env.PATH, PGCONNECT_TIMEOUT: '2' };
  return new Promise((resolve) => {
    execFile('psql', ['-X', url], { env }, (_, __, stderr) => {
      const found = stderr.matchAll(/connection to server (?:at "([^"]+)", port (\d+)|on socket "(.*)\/\.s\.PGSQL\.(\d+)") failed/g);
      resolve({ tried: [...found].map(([, host, port, directory, number]) => `${host ?? directory}:${port ?? number}`), error: stderr });
    });
  });
}

function ours(url: string): string[] | string {
  const reading = parseConnectionUri(url, defaults);
  if ('mistakes' in reading) return reading.mistakes.join('; ');
  const { target } = reading;
  return (target.choice?.hosts ?? [target]).map(({ host, port }) => `${host}:${port}`);
}

test('hosts and ports are those that libpq tries', async (t) => {
  for (const url of [
    'postgres://u@127.0.0.1:1,127.0.0.2:2/d',
    'postgres://u@127.0.0.1:1,[::1]:2,127.0.0.3:3/d',
    'postgres://u@127.0.0.1:3,127.0.0.2/d?port=4',
    'postgres://u@/d?host=127.0.0.1,127.0.0.2&port=1,2',
    'postgres://u@/d?host=127.0.0.1,127.0.0.2&port=7',
    'postgres://u@/d?host=/nowhere,127.0.0.2&port=7,8',
    'postgres://u@%2Fnowhere:9,127.0.0.1:9/d',
    'postgres://u@127.0.0.1:6,127.0.0.1:7/d?target_session_attrs=prefer-standby&connect_timeout=2',
  ]) {
    const { tried, error } = await triedByLibpq(url);
    if (error.startsWith('Error: spawn')) return t.skip('psql is missing');
    assert.ok(tried.length > 1, error);
    // prefer-standby is two rounds.
    assert.deepEqual(ours(url), [...new Set(tried)], url);
  }
});

test('what libpq refuses is refused, without a word of the URL', async () => {
  for (const [url, words] of [
    ['postgres://u@h1,h2/d?port=1,2,3', /has 3 ports for 2 hosts/],
    ['postgres://u@h1/d?target_session_attrs=hunter2', /unknown target_session_attrs; it is one of any, read-write, read-only, primary/],
    ['postgres://u@h1,h2/d?load_balance_hosts=hunter2', /unknown load_balance_hosts; it is disable or random/],
    ['postgres://u@h1,h2/d?connect_timeout=hunter2', /connect_timeout that is not a number of seconds/],
    ['postgres://u@h1:1,h2:hunter2/d', /a port that is not a number from 1 to 65535/],
  ] as const) {
    const { tried } = await triedByLibpq(url.replace('load_balance_hosts', 'unknown_word'));
    assert.deepEqual(tried, [], url);
    assert.match(String(ours(url)), words);
    assert.doesNotMatch(String(ours(url)), /hunter2/);
  }
});

test('one host without more is taken as it is; with a kind of session it is asked', () => {
  const read = (query: string) => {
    const reading = parseConnectionUri(`postgres://u@h1/d${query}`, defaults);
    assert.ok('target' in reading);
    return reading.target;
  };
  assert.equal(read('').choice, undefined);
  assert.equal(read('?target_session_attrs=any').choice, undefined);
  assert.deepEqual(read('?target_session_attrs=primary').choice, {
    hosts: [{ host: 'h1', port: 5432 }],
    sessionAttrs: 'primary',
    shuffled: false,
  });
  assert.deepEqual([read('?connect_timeout=1').connectTimeoutMs, read('?connect_timeout=9').connectTimeoutMs], [2000, 9000]);
  assert.equal(read('?connect_timeout=0').connectTimeoutMs, undefined);
});
