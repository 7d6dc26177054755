/** node-postgres' own tests: each file is a program that passes or not. */
import { cpSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Check, Endpoint, Item } from '../check.ts';
import { command, made } from '../sources.ts';
import { type Clone, cloned, missingClone } from '../suites/clone.ts';
import { runSuite, suiteEnvironment } from '../suites/program.ts';

const clone: Clone = { name: 'node-postgres', version: '8.23.0', commit: 'df274d1ba9ad9d11a8f1079314faeafde7208207' };
const modes = ['text', 'binary'] as const;

/** The roles and passwords of its continuous integration. */
const preparation = `
set password_encryption = 'scram-sha-256';
create role scram_test login password 'test4scram'; create role scram_unicode_test login password U&'IX-\\2168';
`;
const hba = `local all all trust
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`;

export const nodePostgres: Check = {
  name: 'node-postgres',
  description: `node-postgres ${clone.version}'s integration tests, a file an item, in text and in binary mode`,
  missing: () => missingClone(clone),
  prepare: () => void built(),
  server: { postgres: { hba }, preparation, tls: 'clients' },
  run: (endpoint) => suite(endpoint, () => true),
  rerun: (endpoint, names) => suite(endpoint, (name) => names.includes(name)),
};

/** The package with what it and its tests need, by the sums of a lock file. */
function built(): string {
  return made(`node-postgres-${clone.version}-built`, (directory) => {
    cpSync(join(cloned(clone), 'packages', 'pg'), directory, { recursive: true });
    const pins = fileURLToPath(new URL('../suites/pins/node-postgres/', import.meta.url));
    for (const file of ['package.json', 'package-lock.json']) cpSync(join(pins, file), join(directory, file));
    command('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: directory });
    cpSync(join(cloned(clone), 'packages', 'pg', 'package.json'), join(directory, 'package.json'));
  });
}

async function suite({ host, port, user, database, directory }: Endpoint, wanted: (name: string) => boolean): Promise<Item[]> {
  const cwd = built();
  const items: Item[] = [];
  const env = suiteEnvironment({
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGTESTNOSSL: 'true',
    SCRAM_TEST_PGUSER: 'scram_test',
    SCRAM_TEST_PGPASSWORD: 'test4scram',
    SCRAM_TEST_PGUSER_UNICODE: 'scram_unicode_test',
    SCRAM_TEST_PGPASSWORD_UNICODE: 'IX-\u2168',
  });
  for (const mode of modes) {
    for (const file of globSync('test/integration/**/*-tests.js', { cwd }).sort()) {
      const name = `${file.slice('test/integration/'.length)} (${mode})`;
      if (!wanted(name)) continue;
      const log = join(directory, `${name.replace(/\W+/g, '_')}.log`);
      const code = await runSuite({ program: process.execPath, args: [file, 'postgres://', mode], cwd, env, log });
      items.push({ name, ...(code !== 0 && { failure: `ended with ${code}, see ${log}` }) });
    }
  }
  return items;
}
