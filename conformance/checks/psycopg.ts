/** psycopg 3's own tests, pipeline mode among them, plain and through TLS. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Endpoint, Item, OwnServer } from '../check.ts';
import { missingCommand } from '../sources.ts';
import { type Clone, cloned, missingClone } from '../suites/clone.ts';
import { pytest, pytestNames, pythonEnvironment } from '../suites/python.ts';

const clone: Clone = { name: 'psycopg', version: '3.3.4', commit: '83f110367cdd249cc0a352e2246ecea9e878e5a0' };

const settings = { max_prepared_transactions: '10', max_connections: '300' };
const hba = `local all all trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`;
const hbaTls = 'local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n';

function check(name: string, how: string, server: OwnServer, dsn: (endpoint: Endpoint) => string): Check {
  const suite = (endpoint: Endpoint, args: readonly string[]): Promise<Item[]> => {
    const cwd = join(endpoint.directory, 'psycopg');
    cpSync(cloned(clone), cwd, { recursive: true });
    const env = { PSYCOPG_TEST_DSN: dsn(endpoint), PSYCOPG_IMPL: 'binary' };
    return pytest(endpoint, pythonEnvironment('psycopg'), cwd, args, env);
  };
  return {
    name,
    description: `psycopg ${clone.version}'s own tests, pipeline mode among them, but those marked slow or timing and those of the pool, ${how}`,
    missing: () => missingCommand('python3', 'git') || missingClone(clone),
    prepare() {
      cloned(clone);
      pythonEnvironment('psycopg');
    },
    server,
    // `timing`: "can fail on cheese hardware". The pool's tests are of threads and clocks, not of the server; those of tests/crdb would only skip.
    run: (endpoint) => suite(endpoint, ['-m', 'not timing and not slow', '--ignore=tests/crdb', '--ignore=tests/pool', 'tests']),
    rerun: (endpoint, names) => suite(endpoint, pytestNames(names)),
  };
}

export const psycopg = check(
  'psycopg',
  'plain',
  { postgres: { hba, settings } },
  ({ host, port, user, database }) => `host=${host} port=${port} user=${user} dbname=${database} sslmode=disable`,
);

export const psycopgTls = check(
  'psycopg-tls',
  'through TLS, each login by SCRAM with channel binding',
  { postgres: { hba: hbaTls, settings }, tls: 'everywhere' },
  ({ port, user, database, rootCertificate }) =>
    `host=localhost port=${port} user=${user} dbname=${database} password=secret sslmode=verify-full sslrootcert=${rootCertificate} channel_binding=require`,
);
