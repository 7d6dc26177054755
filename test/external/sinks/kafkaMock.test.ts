/** Kafka sinks against librdkafka's mock cluster: three brokers that speak Kafka's protocol and know no request to create a topic. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openSink } from '../../../external/sinks/sinks.ts';
import { end, findBinary } from '../../servers/localServer.ts';

test('several brokers are found, and a topic is made by the message where it cannot be created', async (t) => {
  const kcat = findBinary('kcat');
  if (kcat === undefined) return t.skip('kcat: not on the PATH');
  // It lives as long as its input is open; nobody waits for what it was to send.
  const mock = spawn(kcat, ['-P', '-b', 'ignored:1', '-t', 'seed', '-X', 'test.mock.num.brokers=3', '-d', 'mock'], { stdio: 'pipe' });
  t.after(() => end(mock.pid!, 'SIGKILL'));
  let told = '';
  mock.stderr.on('data', (chunk) => (told += String(chunk)));
  let brokers: string | undefined;
  for (let waited = 0; brokers === undefined && waited < 20_000; waited += 50) {
    await sleep(50);
    brokers = /bootstrap\.servers=(\S+)/.exec(told)?.[1];
  }
  assert.ok(brokers, told);
  // The last one alone, which names the others.
  const sink = await openSink(
    { uri: `kafka://${brokers.split(',').at(-1)}?topic_name=orders`, trusted: true },
    { nodeId: 1, allowedNetworks: [] },
  );
  t.after(() => sink.close());
  assert.match((await sink.describe()).summary, /^3 brokers, 1 topic, no topic "orders" yet$/);
  const { where, bytes } = await sink.probe();
  assert.deepEqual([where, bytes], ['topic "orders.pgpier_check"', 52]);
  assert.match((await sink.describe()).summary, /^3 brokers, 2 topics, /);
});
