/** Walsender sessions through the endpoint: base backup, WAL, logical decoding, a subscription (pitfalls: REPL-1 to REPL-3). */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Check, Item } from '../check.ts';
import { ended, missingProgram, run, sql } from '../programs.ts';

export const replication: Check = {
  name: 'replication',
  description: 'pg_basebackup with pg_verifybackup, pg_receivewal, pg_recvlogical, CREATE SUBSCRIPTION',
  missing: () => missingProgram('pg_basebackup', 'pg_verifybackup', 'pg_receivewal', 'pg_recvlogical', 'psql'),
  async run(endpoint) {
    const items: Item[] = [];
    const backup = join(endpoint.directory, 'base');
    items.push(ended('pg_basebackup -X stream', await run(endpoint, 'pg_basebackup', ['-D', backup, '-X', 'stream', '-c', 'fast'])));
    items.push(ended('pg_verifybackup', await run(endpoint, 'pg_verifybackup', [backup])));

    const wal = join(endpoint.directory, 'wal');
    mkdirSync(wal);
    const slot = `conformance_${endpoint.name}`;
    items.push(ended('pg_receivewal: slot', await run(endpoint, 'pg_receivewal', ['--create-slot', '-S', slot])));
    const until = (await sql(endpoint, 'select pg_switch_wal(); select pg_current_wal_lsn();')).out.trim().split('\n').at(-1)!;
    const received = await run(endpoint, 'pg_receivewal', ['-D', wal, '-S', slot, '-E', until, '--no-loop']);
    items.push(ended('pg_receivewal', received, wholeSegments(wal)));
    items.push(ended('pg_receivewal: drop slot', await run(endpoint, 'pg_receivewal', ['--drop-slot', '-S', slot])));

    const logical = `${slot}_logical`;
    const database = ['-d', endpoint.database, '-S', logical];
    items.push(ended('table', await sql(endpoint, 'create table changed (id int primary key, t text);')));
    items.push(ended('pg_recvlogical: slot', await run(endpoint, 'pg_recvlogical', [...database, '--create-slot', '-P', 'test_decoding'])));
    await sql(
      endpoint,
      "insert into changed select i, repeat('x', 1000) from generate_series(1, 2000) i; delete from changed where id > 1990;",
    );
    const end = (await sql(endpoint, 'select pg_current_wal_lsn();')).out.trim();
    const file = join(endpoint.directory, 'decoded');
    const decoded = await run(endpoint, 'pg_recvlogical', [
      ...database,
      '--start',
      '-f',
      file,
      '--endpos',
      end,
      '--no-loop',
      '-o',
      'include-xids=off',
    ]);
    items.push(ended('pg_recvlogical', decoded, readFileSync(file, 'utf8')));
    items.push(ended('pg_recvlogical: drop slot', await run(endpoint, 'pg_recvlogical', [...database, '--drop-slot'])));
    return [...items, ...(await subscription(endpoint))];
  },
};

/** Publisher behind the endpoint, subscriber a database of the same server: its apply worker connects to the endpoint. */
async function subscription(endpoint: Parameters<Check['run']>[0]): Promise<Item[]> {
  const copy = `${endpoint.database}_copy`;
  const name = `conformance_${endpoint.name}_sub`;
  const subscriber = { ...endpoint, database: copy, ...endpoint.server };
  const items = [ended('createdb', await run(endpoint, 'createdb', [copy]))];
  items.push(ended('publication', await sql(endpoint, 'create publication p for table changed;')));
  // A slot made before: the same server on both sides would wait for itself.
  const made = await sql(endpoint, `select pg_create_logical_replication_slot('${name}', 'pgoutput') is not null;`);
  items.push(ended('slot', made));
  const address = `host=${endpoint.host} port=${endpoint.port} user=${endpoint.user} dbname=${endpoint.database}`;
  const created = await sql(
    subscriber,
    `create table changed (id int primary key, t text);
     create subscription ${name} connection '${address}' publication p with (create_slot = false, slot_name = '${name}');`,
  );
  items.push(ended('CREATE SUBSCRIPTION', created));
  const query = 'select count(*), sum(id), max(length(t)) from changed;';
  items.push(ended('initial rows arrive', await settled('1990|1981045|1000\n')));
  await sql(
    endpoint,
    "insert into changed select i, repeat('y', 20000) from generate_series(3000, 3500) i; update changed set t = 'z' where id = 1;",
  );
  items.push(ended('changes arrive', await settled('2491|3609295|20000\n')));
  items.push(ended('DROP SUBSCRIPTION', await sql(subscriber, `drop subscription ${name};`)));
  return items;

  async function settled(wanted: string) {
    for (let waited = 0; ; waited += 200) {
      const result = await sql(subscriber, query);
      if (result.out === wanted || result.code !== 0) return result;
      if (waited > 30_000) return { ...result, code: 'a wait of 30 s', error: `rows: ${result.out}` };
      await sleep(200);
    }
  }
}

/** Received segments, whole ones by the name that pg_receivewal gives them at their end; their number differs from run to run. */
function wholeSegments(directory: string): string {
  return readdirSync(directory).some((name) => /^[0-9A-F]{24}$/.test(name)) ? 'whole segments' : 'none';
}
