/** pgjdbc's own tests, from the sources that Maven Central has beside the driver. */
import { copyFileSync, cpSync, globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Endpoint, Item, OwnServer } from '../check.ts';
import { archive, command, made, missingCommand } from '../sources.ts';
import { itemsOfJunit } from '../suites/junit.ts';
import { runSuite, suiteEnvironment } from '../suites/program.ts';

const version = '42.7.13';
const sum = '4537ba157c6eab9022d0a48bb6e6ca5a736ced8cc7121e1276322fb104dd3718';

const server: OwnServer = {
  database: 'test',
  postgres: {
    hba: `local all all trust
host all postgres 127.0.0.1/32 trust
host replication postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
`,
    settings: {
      wal_level: 'logical',
      max_wal_senders: '10',
      max_replication_slots: '10',
      max_prepared_transactions: '64',
      synchronous_commit: 'on',
    },
  },
  preparation: `create role test login password 'test'; alter database test owner to test; alter schema public owner to test;`,
};

export const pgjdbc: Check = {
  name: 'pgjdbc',
  description: `pgjdbc ${version}'s own tests, most of them logged in by SCRAM; without those for certificates and standby servers`,
  missing: () => missingCommand('java', 'mvn', 'curl'),
  prepare: () => void compiled(),
  server,
  run: (endpoint) => suite(endpoint, []),
  rerun: (endpoint, names) => suite(endpoint, [`-Dtest=${classes(names).join(',')}`]),
};

/** The sources with their classes; what Maven fetches it compares with Maven Central's checksums. */
function compiled(): string {
  return made(`pgjdbc-${version}`, (directory) => {
    const artifact = `postgresql-${version}-jdbc-src`;
    const tarball = archive(`${artifact}.tar.gz`, sum, (partial) => {
      const get = [
        '-B',
        '-q',
        '-C',
        'dependency:copy',
        `-DoutputDirectory=${partial}.d`,
        `-Dartifact=org.postgresql:postgresql:${version}:tar.gz:jdbc-src`,
      ];
      command('mvn', get);
      copyFileSync(join(`${partial}.d`, `${artifact}.tar.gz`), partial);
    });
    command('tar', ['-xzf', tarball, '-C', directory, '--strip-components=1']);
    // And what running needs: this test talks to no server.
    command('mvn', ['-B', '-q', '-C', 'test-compile', 'surefire:test', '-Dtest=NumberParserTest', '-DskipShadeDependencies'], {
      cwd: directory,
    });
  });
}

async function suite(endpoint: Endpoint, args: readonly string[]): Promise<Item[]> {
  const cwd = join(endpoint.directory, 'pgjdbc');
  cpSync(compiled(), cwd, { recursive: true, preserveTimestamps: true });
  const { host, port, database } = endpoint;
  // Nobody listens at the standbys' ports: their tests see that and leave.
  const properties = {
    'test.url.PGHOST': host,
    'test.url.PGPORT': port,
    'test.url.PGDBNAME': database,
    secondaryPort1: 1,
    secondaryPort2: 2,
  };
  writeFileSync(
    join(cwd, 'build.local.properties'),
    Object.entries(properties)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  );
  await runSuite({
    program: 'mvn',
    args: ['-B', '-o', 'surefire:test', '-DtrimStackTrace=true', ...args],
    cwd,
    env: suiteEnvironment({}),
    log: join(endpoint.directory, 'mvn.log'),
  });
  const reports = globSync('target/surefire-reports/TEST-*.xml', { cwd });
  return reports.sort().flatMap((report) => itemsOfJunit(readFileSync(join(cwd, report), 'utf8')));
}

const classes = (names: readonly string[]): string[] => [...new Set(names.map((name) => name.split('::')[0]!.split('.').at(-1)!))];
