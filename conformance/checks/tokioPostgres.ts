/** The tests of tokio-postgres and of postgres, its blocking form, from their crates. Port 5433 is written into them. */
import { globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Check, Endpoint, Item } from '../check.ts';
import { archive, cache, command, made, missingCommand } from '../sources.ts';
import { runSuite, suiteEnvironment } from '../suites/program.ts';

/** As in crates.io's index; each crate's Cargo.lock has the sums of what it needs. */
const crates = [
  { name: 'tokio-postgres', version: '0.7.18', sum: 'a528f7d280f6d5b9cd149635c8705b0dd049754bc67d81d31fa25169a93809d3' },
  { name: 'postgres', version: '0.19.14', sum: '33ad20e0aa0b24f5a394eab4f78c781d248982b22b25cecc7e3aa46a681605bd' },
] as const;
type Crate = (typeof crates)[number];

const preparation = `
set password_encryption = 'md5'; create role md5_user login password 'password';
set password_encryption = 'scram-sha-256'; create role scram_user login password 'password'; create role pass_user login password 'password';
create extension hstore; create extension citext; create extension ltree;
`;
const hba = `local all all trust
host all postgres 127.0.0.1/32 trust
host all pass_user 127.0.0.1/32 password
host all md5_user 127.0.0.1/32 md5
host all all 127.0.0.1/32 scram-sha-256
`;

export const tokioPostgres: Check = {
  name: 'tokio-postgres',
  description: `the tests of tokio-postgres ${crates[0].version} and postgres ${crates[1].version} with all features`,
  missing: () => missingCommand('cargo', 'cc'),
  prepare() {
    for (const crate of crates)
      command('cargo', ['test', ...what, '--no-run', '--quiet'], { cwd: sources(crate), env: cargoEnvironment() });
  },
  server: { postgres: { hba }, preparation, port: 5433, database: 'postgres' },
  run: (endpoint) => suite(endpoint, []),
  rerun: (endpoint, names) => suite(endpoint, ['--exact', ...names.map((name) => name.split(' ')[1]!)]),
};

const what = ['--locked', '--all-features', '--lib', '--tests'] as const;

function cargoEnvironment(): NodeJS.ProcessEnv {
  return suiteEnvironment({ CARGO_TARGET_DIR: join(cache, 'cargo-target'), CARGO_TERM_COLOR: 'never' });
}

/** By way of an empty crate that needs it: cargo fetches nothing else by name. */
function sources({ name, version, sum }: Crate): string {
  return made(`${name}-${version}`, (directory) => {
    const tarball = archive(`${name}-${version}.crate`, sum, (partial) => {
      const asking = `${partial}.d`;
      mkdirSync(join(asking, 'src'), { recursive: true });
      writeFileSync(join(asking, 'src', 'lib.rs'), '');
      const manifest = `[package]\nname = "asking"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n${name} = "=${version}"\n`;
      writeFileSync(join(asking, 'Cargo.toml'), manifest);
      command('cargo', ['fetch', '--quiet'], { cwd: asking });
      const home = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
      const [crate] = globSync(join(home, 'registry', 'cache', '*', `${name}-${version}.crate`));
      if (crate === undefined) throw new Error(`cargo has no ${name}-${version}.crate`);
      writeFileSync(partial, readFileSync(crate));
    });
    command('tar', ['-xzf', tarball, '-C', directory, '--strip-components=1']);
  });
}

async function suite(endpoint: Endpoint, filter: readonly string[]): Promise<Item[]> {
  const items: Item[] = [];
  for (const crate of crates) {
    const log = join(endpoint.directory, `${crate.name}.log`);
    const args = ['test', ...what, '--no-fail-fast', '--', ...filter];
    await runSuite({ program: 'cargo', args, cwd: sources(crate), env: cargoEnvironment(), log });
    items.push(...itemsOf(crate.name, readFileSync(log, 'utf8')));
  }
  return items;
}

/** From libtest's own lines, and what a failed test said last. */
function itemsOf(crate: string, log: string): Item[] {
  return [...log.matchAll(/^test (\S+)(?: - should panic)? \.\.\. (ok|FAILED|ignored)/gm)].map(([, test, verdict]) => {
    const name = `${crate} ${test}`;
    if (verdict === 'ok') return { name };
    if (verdict === 'ignored') return { name, skipped: true };
    const said = log.split(`---- ${test} stdout ----\n`)[1]?.split('\n\n')[0] ?? '';
    return { name, failure: said.replace(/\s+/g, ' ').trim().slice(0, 300) };
  });
}
