/**
 * `npm run bench:relay`: PgPier against PgBouncer (session pooling; its default buffers and 64 KiB), HAProxy and a direct connection, on one
 * PostgreSQL 15 over its Unix socket; plain, then over TLS; then what idle sessions cost.
 *
 * `-- --rounds 6 --seconds 5 --mb 200 --sessions 1000,5000 --settle 3 --only plain,tls,idle`. CPU is utime + stime of the proxy and its
 * descendants from /proc (ticks of 10 ms) by transaction: the steadiest of the figures. README.md says how to read them.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { addonPath } from '../server/native/build.mjs';
import { missingPostgres, postgresBin, startPostgres } from '../test/servers/postgres.ts';
import { copyOut } from './relay/copyOut.ts';
import { type Backend, type Endpoint, Lab } from './relay/endpoint.ts';
import { idleSessions, startIdleBackend } from './relay/idleSessions.ts';
import { compare, printHead } from './relay/rounds.ts';
import { address, type Load, transactions } from './relay/transactions.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '6' },
    seconds: { type: 'string', default: '5' },
    mb: { type: 'string', default: '200' },
    sessions: { type: 'string', default: '1000,5000' },
    settle: { type: 'string', default: '3' },
    only: { type: 'string', default: 'plain,tls,idle' },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const megabytes = Number(values.mb);
const parts = values.only.split(',');

const loads: readonly (readonly [string, Omit<Load, 'seconds'>])[] = [
  ['simple c=8 tps', { mode: 'simple', clients: 8 }],
  ['prepared c=8 tps', { mode: 'prepared', clients: 8 }],
  ['simple c=1 tps', { mode: 'simple', clients: 1 }],
  ['prepared c=1 tps', { mode: 'prepared', clients: 1 }],
  ['connections c=4 /s', { mode: 'simple', clients: 4, reconnect: true }],
];

const hasAddon = existsSync(addonPath());
const say = (text: string): void => void process.stdout.write(`${text}\n`);
const missing = missingPostgres(15) || (process.platform === 'linux' ? false : 'Linux: /proc is needed');
if (missing) {
  say(`bench:relay skipped: ${missing}`);
  process.exit(0);
}

const lab = new Lab();
try {
  if (parts.includes('plain') || parts.includes('tls')) await forwardPath();
  if (parts.includes('idle')) await idle();
} finally {
  await lab.stop();
}

async function forwardPath(): Promise<void> {
  const settings = { shared_buffers: '256MB', max_connections: '400', autovacuum: 'off' };
  const postgres = await startPostgres({ version: 15, settings });
  lab.onStop(() => postgres.stop());
  const direct: Endpoint = { name: 'direct', port: postgres.port, tls: false };
  execFileSync(join(postgresBin(15)!, 'pgbench'), [...address(direct), '-i', '-s', '10', '-q', 'postgres'], { stdio: 'ignore' });
  const bulk = `create table bulk as select i, repeat(md5(i::text), 32) as t from generate_series(1, ${megabytes * 970}) i`;
  execFileSync(join(postgresBin(15)!, 'psql'), [...address(direct), '-qXc', bulk, '-c', 'vacuum analyze', 'postgres']);

  for (const [part, tls] of [['plain', false] as const, ['tls', true] as const].filter(([part]) => parts.includes(part))) {
    const proxies = [
      await lab.pgbouncer(tls ? 'pgbouncer-tls' : 'pgbouncer', postgres, tls),
      await lab.pgbouncer(tls ? 'pgb-64k-tls' : 'pgb-64k', postgres, tls, 65_536),
      tls ? undefined : await lab.haproxy('haproxy', postgres),
      ...(await pgpiers(tls, postgres)),
    ].filter((proxy) => proxy !== undefined);
    if (!proxies[0]?.name.startsWith('pgbouncer')) say('PgBouncer is not installed (apt-get install pgbouncer): no ratios to it');
    const endpoints = [direct, ...proxies];
    say(`\n${part}: ${rounds} rounds of ${seconds} s, interleaved; median (least-largest) of the ratios per round; direct is plain TCP`);
    printHead();
    for (const [label, load] of loads) {
      await compare(label, rounds, endpoints, (endpoint) => transactions(lab, endpoint, { ...load, seconds }));
    }
    await compare('copy out MB/s', rounds, endpoints, (endpoint) => copyOut(endpoint, megabytes));
  }
}

/** Both forward paths; under TLS there is one alone, whose backend leg is native where that is built. */
async function pgpiers(tls: boolean, backend: Backend): Promise<Endpoint[]> {
  if (tls) return [await lab.pgpier('pgpier-tls', backend, tls, hasAddon ? 'on' : 'off')];
  const native = hasAddon ? [await lab.pgpier('pgpier-native', backend, tls, 'on')] : [];
  return [...native, await lab.pgpier('pgpier-js', backend, tls, 'off')];
}

async function idle(): Promise<void> {
  const counts = values.sessions.split(',').map(Number);
  const postgres = await startPostgres({ version: 15 });
  lab.onStop(() => postgres.stop());
  const backend = await startIdleBackend(lab, postgres);
  say(
    `\nidle sessions, each used once, a stand-in behind: KiB of memory (PSS) a session\n${'endpoint'.padEnd(16)}before     ${counts.join('       ')}`,
  );
  for (const tls of [false, true]) {
    const suffix = tls ? '-tls' : '';
    const proxies = [
      await lab.pgbouncer(`pgbouncer${suffix}`, backend, tls, 4096, Math.max(...counts)),
      tls ? undefined : await lab.haproxy('haproxy', backend),
      ...(await pgpiers(tls, backend)),
    ].filter((proxy) => proxy !== undefined);
    for (const proxy of proxies) {
      const { before, each } = await idleSessions(proxy, counts, Number(values.settle));
      say(`${proxy.name.padEnd(16)}${`${(before / 1024).toFixed(0)} MiB`.padEnd(11)}${each.map((kib) => kib.toFixed(1)).join('       ')}`);
    }
  }
}
