/**
 * `npm run conformance`: runs every check against PostgreSQL 15 itself and through PgPier before the same server, and prints both side by side.
 * `-- --list`, `-- --only pg_dump,psql`, `-- --write` (puts the table into docs/compatibility.md). Exit code 1 if PgPier did anything otherwise.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startPgpier } from '../test/servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../test/servers/postgres.ts';
import type { Check, Endpoint, Item } from './check.ts';
import { checks } from './checks.ts';
import { compare, type Row } from './compare.ts';
import { run, sql } from './programs.ts';

const page = new URL('../docs/compatibility.md', import.meta.url);
const { values } = parseArgs({ options: { list: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' } } });
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const names = values.only?.split(',');
const unknown = names?.filter((name) => !checks.some((check) => check.name === name)) ?? [];
if (unknown.length > 0) {
  say(`there is no check ${unknown.join(', ')}; there are ${checks.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
if (values.write && names) {
  say('--write needs all checks: it would leave a table of some');
  process.exit(2);
}
const chosen = checks.filter(({ name }) => names?.includes(name) ?? true);
if (values.list) for (const { name, description, missing } of checks) say(`${name.padEnd(14)}${missing() || description}`);
else if (missingPostgres(15)) {
  say(`conformance cannot run: ${missingPostgres(15)}`);
  process.exitCode = 2;
}
if (!values.list && !missingPostgres(15)) process.exitCode = await main();

async function main(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'pgpier-conformance-'));
  chmodSync(directory, 0o755);
  const settings = {
    wal_level: 'logical',
    synchronous_commit: 'on',
    max_wal_senders: '10',
    max_replication_slots: '10',
    max_connections: '100',
  };
  const hba =
    'local all all trust\nhost all all 127.0.0.1/32 trust\nhost replication all 127.0.0.1/32 trust\nlocal replication all trust\n';
  const postgres = await startPostgres({ version: 15, settings, hba });
  const proxy = await startPgpier({ backend: postgres });
  const skipped: string[] = [];
  const rows: Row[] = [];
  try {
    for (const check of chosen) {
      const reason = check.missing();
      if (reason) {
        skipped.push(`${check.name}: ${reason}`);
        continue;
      }
      const bare = await runAt('bare', postgres.port, check);
      const row = compare(check.name, bare, await runAt('pgpier', proxy.port, check));
      rows.push(row);
      say(
        `${row.check.padEnd(14)} bare ${row.passedBare}/${row.items}   pgpier ${row.passedPgpier}/${row.items}   ${row.differences.length || 'no'} differences`,
      );
      for (const difference of row.differences) say(`    ${difference}`);
      for (const each of row.failBoth) say(`    on both: ${each}`);
    }
    for (const each of skipped) say(`skipped: ${each}`);
    const server = (await sql(place('bare', postgres.port, 'postgres', directory), 'show server_version;')).out.trim();
    if (values.write) write(rows, skipped, server);
  } finally {
    await proxy.stop();
    await postgres.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  return rows.some(({ differences }) => differences.length > 0) ? 1 : 0;

  async function runAt(name: Endpoint['name'], port: number, check: Check): Promise<readonly Item[]> {
    const own = join(directory, `${check.name}-${name}`);
    mkdirSync(own, { mode: 0o755 });
    const database = `conformance_${check.name.replace(/\W/g, '')}_${name}`;
    await run(place('bare', postgres.port, 'postgres', own), 'createdb', ['-T', 'template0', database]);
    try {
      return await check.run(place(name, port, database, own));
    } catch (error) {
      return [{ name: `the check itself at ${name}`, failure: String(error) }];
    }
  }

  function place(name: Endpoint['name'], port: number, database: string, own: string): Endpoint {
    return {
      name,
      host: '127.0.0.1',
      port,
      user: 'postgres',
      database,
      directory: own,
      server: { host: '127.0.0.1', port: postgres.port },
    };
  }
}

function write(rows: readonly Row[], skipped: readonly string[], server: string): void {
  const head = '| check | what | PostgreSQL alone | through PgPier | differences |\n|---|---|---|---|---|\n';
  const described = (name: string): string => checks.find((check) => check.name === name)!.description.replaceAll('|', '\\|');
  const body = rows.map(
    (row) =>
      `| ${row.check} | ${described(row.check)} | ${row.passedBare} of ${row.items} | ${row.passedPgpier} of ${row.items} | ${row.differences.length || 'none'} |\n`,
  );
  const notes = rows.flatMap(({ check: name }) => checks.find((check) => check.name === name)?.note?.() ?? []).map((each) => `${each}\n`);
  const left = skipped.map((each) => `Skipped: ${each}.\n`).join('');
  const table = `PostgreSQL ${server}, ${new Date().toISOString().slice(0, 10)}:\n\n${head}${body.join('')}${notes.length > 0 ? `\n${notes.join('')}` : ''}${left && `\n${left}`}`;
  const text = readFileSync(page, 'utf8');
  writeFileSync(
    page,
    text.replace(
      /(<!-- conformance -->\n)[\s\S]*(<!-- end of conformance -->)/,
      (_, start: string, end: string) => `${start}${table}${end}`,
    ),
  );
}
