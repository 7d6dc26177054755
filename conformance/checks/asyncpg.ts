/** asyncpg's own tests, at a server that they do not start themselves. */
import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Endpoint, Item } from '../check.ts';
import { environment } from '../programs.ts';
import { command, made, missingCommand } from '../sources.ts';
import { pytest, pytestNames, pythonEnvironment, sourceArchive } from '../suites/python.ts';

const version = '0.32.0';
const sum = '45e64e56714d888330b884aad1dfb363d0bf43fb343e3d1a8968525f3bade478';

const hba = `local all all trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`;

export const asyncpg: Check = {
  name: 'asyncpg',
  description: `asyncpg ${version}'s own tests, less those that start and change a server themselves`,
  missing: () => missingCommand('python3', 'pip3'),
  prepare() {
    tests();
    pythonEnvironment('asyncpg');
  },
  server: { postgres: { hba, settings: { max_connections: '300' } }, database: 'postgres' },
  run: (endpoint) => suite(endpoint, ['tests']),
  rerun: (endpoint, names) => suite(endpoint, pytestNames(names)),
};

/** Without the package beside them: they are to import the one that is installed. */
function tests(): string {
  return made(`asyncpg-${version}`, (directory) => {
    command('tar', ['-xzf', sourceArchive('asyncpg', version, sum), '-C', directory, '--strip-components=1', `asyncpg-${version}/tests`]);
  });
}

function suite(endpoint: Endpoint, args: readonly string[]): Promise<Item[]> {
  cpSync(join(tests(), 'tests'), join(endpoint.directory, 'tests'), { recursive: true });
  const { PGHOST, PGPORT, PGUSER, PGDATABASE } = environment(endpoint) as Record<string, string>;
  const env = { PGHOST: PGHOST!, PGPORT: PGPORT!, PGUSER: PGUSER!, PGDATABASE: PGDATABASE! };
  return pytest(endpoint, pythonEnvironment('asyncpg'), endpoint.directory, args, env);
}
