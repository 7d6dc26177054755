/** postgres.js' own tests: one program, which stops at its first failure. Ports 5432 and 5433 are written into it. */
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPostgres } from '../../test/servers/postgres.ts';
import type { Check, Endpoint, Item } from '../check.ts';
import { verdict } from '../compare.ts';
import { startCopyingRelay } from '../copyingRelay.ts';
import { missingCommand } from '../sources.ts';
import { type Clone, cloned, missingClone } from '../suites/clone.ts';
import { runSuite, suiteEnvironment } from '../suites/program.ts';

const clone: Clone = { name: 'postgres', version: '3.4.9', commit: 'e7dfa14519f363229ccc3ead7b1b2f2051937efb' };

/** Its tests/pg_hba.conf. */
const hba = `local all all trust
host all postgres samehost trust
host postgres_js_test postgres_js_test samehost trust
host postgres_js_test postgres_js_test_md5 samehost md5
host postgres_js_test postgres_js_test_scram samehost scram-sha-256
`;

export const postgresJs: Check = {
  name: 'postgres.js',
  description: `postgres.js ${clone.version}'s own tests, TLS among them; they end at the first that fails: the best of three runs`,
  missing: () => missingCommand('psql', 'openssl') || missingClone(clone),
  prepare: () => void cloned(clone),
  server: {
    postgres: { hba, settings: { wal_level: 'logical', max_prepared_transactions: '100' } },
    // One test turns the server's own TLS off.
    tls: 'clients',
    port: 5432,
    database: 'postgres',
  },
  async run(endpoint) {
    const second = await startPostgres({ version: 15, port: 5433 });
    // One test wants a Unix socket, which PgPier does not listen on.
    const socket = await startCopyingRelay(endpoint.port, join(endpoint.directory, '.s.PGSQL.5432'));
    try {
      return await suite(endpoint);
    } finally {
      await socket.stop();
      await second.stop();
    }
  },
};

/** It stops at its first failure: of up to three runs the one that came furthest. */
async function suite(endpoint: Endpoint): Promise<Item[]> {
  const cwd = join(endpoint.directory, 'postgres');
  cpSync(cloned(clone), cwd, { recursive: true });
  const env = suiteEnvironment({ PGUSER: endpoint.user, PGHOST: endpoint.host, PGSOCKET: endpoint.directory });
  const source = readFileSync(join(cwd, 'tests', 'index.js'), 'utf8');
  let furthest: Item[] = [];
  for (let attempt = 1; attempt <= 3; attempt++) {
    const log = join(endpoint.directory, `tests-${attempt}.log`);
    // After a failure its connections keep it from ending.
    const code = await runSuite({ program: process.execPath, args: ['tests/index.js'], cwd, env, log, timeoutMs: 240_000 });
    const items = itemsOf(source, readFileSync(log, 'utf8'));
    if (passed(items) >= passed(furthest)) furthest = items;
    if (code === 0) break;
  }
  return furthest;
}

const passed = (items: readonly Item[]): number => items.filter((item) => verdict(item) === 'passed').length;

/** A tick for each test that passed, in the order of the file; then the one that did not, by its line. */
function itemsOf(source: string, log: string): Item[] {
  const names = [...source.matchAll(/^(?: {2})?(t|nt)\((['"`])(.*?)\2,/gm)].filter(([, kind]) => kind === 't').map(([, , , name]) => name!);
  const passed = log.split('✅').length - 1;
  const failure = /⛔️ (.*)/s.exec(log)?.[1]?.replace(/\s+/g, ' ').slice(0, 300) ?? 'it did not end';
  return names.map((name, i) => ({
    name: `${i + 1} ${name}`,
    ...(i === passed && { failure }),
    ...(i > passed && { skipped: true as const }),
  }));
}
