/**
 * `npm run conformance`: runs every check against PostgreSQL 15 itself and through PgPier before the same server, and prints both side by side.
 * `-- --list`, `-- --only pg_dump,psql`, `-- --write` (puts what was run into the table of docs/compatibility.md), `-- --keep` (leaves what the checks wrote). Exit code 1 if PgPier did
 * anything otherwise.
 */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { missingPostgres } from '../test/servers/postgres.ts';
import type { Check, Endpoint, Item } from './check.ts';
import { checks } from './checks.ts';
import { compare, type Row } from './compare.ts';
import { run, sql } from './programs.ts';
import { type Servers, startServers } from './servers.ts';
import { settle } from './steadiness.ts';
import { withRows } from './table.ts';

const page = new URL('../docs/compatibility.md', import.meta.url);
const { values } = parseArgs({
  options: { list: { type: 'boolean' }, only: { type: 'string' }, write: { type: 'boolean' }, keep: { type: 'boolean' } },
});
const say = (text: string): void => void process.stdout.write(`${text}\n`);

const names = values.only?.split(',');
const unknown = names?.filter((name) => !checks.some((check) => check.name === name)) ?? [];
if (unknown.length > 0) {
  say(`there is no check ${unknown.join(', ')}; there are ${checks.map(({ name }) => name).join(', ')}`);
  process.exit(2);
}
const chosen = checks.filter(({ name }) => names?.includes(name) ?? true);
if (values.list) for (const { name, description, missing } of checks) say(`${name.padEnd(16)}${missing() || description}`);
else if (missingPostgres(15)) {
  say(`conformance cannot run: ${missingPostgres(15)}`);
  process.exitCode = 2;
}
if (!values.list && !missingPostgres(15)) process.exitCode = await main();

async function main(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'pgpier-conformance-'));
  chmodSync(directory, 0o755);
  const shared = await startServers();
  const skipped: string[] = [];
  const rows: Row[] = [];
  const runs = new Map<string, number>();
  try {
    for (const check of chosen) {
      const reason = check.missing() || unprepared(check);
      if (reason) {
        skipped.push(`${check.name}: ${reason}`);
        continue;
      }
      const row = await compared(check);
      rows.push(row);
      say(
        `${row.check.padEnd(16)} bare ${row.passedBare}/${row.items}   pgpier ${row.passedPgpier}/${row.items}   ${row.differences.length || 'no'} differences`,
      );
      for (const difference of row.differences) say(`    ${difference}`);
      for (const each of row.failBoth) say(`    on both: ${each}`);
      for (const each of row.unsteady) say(`    unsteady without PgPier: ${each}`);
      for (const each of row.anyRelay) say(`    with any relay: ${each}`);
    }
    for (const each of skipped) say(`skipped: ${each}`);
    const server = (await sql(place('bare', shared, 'postgres', directory), 'show server_version;')).out.split(' ')[0]!.trim();
    if (values.write)
      writeFileSync(page, withRows(readFileSync(page, 'utf8'), checks, rows, { server, date: new Date().toISOString().slice(0, 10) }));
  } finally {
    await shared.stop();
    if (values.keep) say(`kept: ${directory}`);
    else rmSync(directory, { recursive: true, force: true });
  }
  return rows.some(({ differences }) => differences.length > 0) ? 1 : 0;

  async function compared(check: Check): Promise<Row> {
    const bare = await runAt('bare', check, check.run);
    const pgpier = await runAt('pgpier', check, check.run);
    const { rerun } = check;
    if (!rerun) return compare(check.name, bare, pgpier);
    const settled = await settle(bare, pgpier, (side, names) => runAt(side, check, (endpoint) => rerun(endpoint, names)));
    return { ...compare(check.name, settled.bare, settled.pgpier), unsteady: settled.unsteady, anyRelay: settled.anyRelay };
  }

  async function runAt(side: Endpoint['name'], check: Check, work: Check['run']): Promise<readonly Item[]> {
    const name = `${check.name.replace(/\W+/g, '_')}_${side}`;
    const run = (runs.get(name) ?? 0) + 1;
    runs.set(name, run);
    const own = join(directory, run === 1 ? name : `${name}_${run}`);
    mkdirSync(own, { mode: 0o755 });
    let servers = shared;
    try {
      if (check.server) servers = await startServers(side, check.server);
      const endpoint = place(side, servers, check.server?.database ?? `conformance_${name}`, own);
      const atServer = { ...endpoint, ...endpoint.server };
      await createDatabase(atServer);
      if (check.server?.preparation) await prepared(atServer, check.server.preparation);
      return await work(endpoint);
    } catch (error) {
      return [{ name: 'the check itself', failure: String(error) }];
    } finally {
      if (servers !== shared) await servers.stop();
    }
  }
}

/** Why it cannot be prepared, as prepare() says; false when it is. */
function unprepared({ prepare }: Check): string | false {
  try {
    prepare?.();
    return false;
  } catch (error) {
    return (error as Error).message.split('\n')[0]!;
  }
}

async function createDatabase(endpoint: Endpoint): Promise<void> {
  await run(endpoint, 'createdb', ['-T', 'template0', endpoint.database]);
}

async function prepared(endpoint: Endpoint, preparation: string): Promise<void> {
  const { code, error } = await sql(endpoint, preparation);
  if (code !== 0) throw new Error(`the preparation failed: ${error}`);
}

function place(name: Endpoint['name'], { postgres, port, rootCertificate }: Servers, database: string, directory: string): Endpoint {
  return {
    name,
    host: '127.0.0.1',
    port: port(name),
    user: 'postgres',
    database,
    directory,
    server: { host: postgres.socketDir, port: postgres.port },
    ...(rootCertificate && { rootCertificate }),
  };
}
