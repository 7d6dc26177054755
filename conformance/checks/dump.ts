/** pg_dump in its formats, and what pg_restore makes of them; dumps are equal byte for byte. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Check, Item } from '../check.ts';
import { type Ended, ended, missingProgram, run, sql } from '../programs.ts';

const objects = `
create type colour as enum ('red', 'grün');
create table plain (id int primary key, t text, b bytea, n numeric, c colour, a int[]);
insert into plain select i, repeat(chr(9 + i % 200), i % 50), decode(md5(i::text), 'hex'), i / 7.0, 'grün', array[i, null] from generate_series(1, 5000) i;
create table wide as select i, repeat(md5(i::text), 3000) as t from generate_series(1, 60) i;
create view half as select * from plain where id % 2 = 0;
create function plus(int, int) returns int language sql as $$ select $1 + $2 /* ; 'x */ $$;
create sequence counter; select setval('counter', 42);
select lo_from_bytea(424242, decode(repeat('00ff', 5000), 'hex'));
`;

export const dump: Check = {
  name: 'pg_dump',
  description: 'pg_dump (plain, with INSERTs, custom, directory with two jobs) and pg_restore; dumps equal byte for byte',
  missing: () => missingProgram('pg_dump', 'pg_restore', 'psql'),
  async run(endpoint) {
    const items: Item[] = [ended('objects', await sql(endpoint, objects))];
    const plain = await run(endpoint, 'pg_dump', []);
    items.push(ended('plain', plain, digest(plain)));
    const inserts = await run(endpoint, 'pg_dump', ['--inserts', '--rows-per-insert=100']);
    items.push(ended('INSERTs', inserts, digest(inserts)));
    for (const [format, options] of [
      ['custom', ['-Fc']],
      ['directory', ['-Fd', '-j', '2']],
    ] as const) {
      const file = join(endpoint.directory, format);
      items.push(ended(`${format}: dump`, await run(endpoint, 'pg_dump', [...options, '-f', file])));
      const copy = `${endpoint.database}_${format}`;
      items.push(ended(`${format}: createdb`, await run(endpoint, 'createdb', ['-T', 'template0', copy])));
      items.push(ended(`${format}: restore`, await run(endpoint, 'pg_restore', ['-j', '2', '-d', copy, file])));
      const again = await run({ ...endpoint, database: copy }, 'pg_dump', []);
      items.push(ended(`${format}: dump of what was restored`, again, digest(again)));
    }
    const out = join(endpoint.directory, 'copied');
    items.push(ended('\\copy to', await sql(endpoint, `\\copy plain to '${out}' (format binary)`), sha256(readFileSync(out))));
    const back = await sql(
      endpoint,
      `create table copied (like plain);\n\\copy copied from '${out}' (format binary)\nselect count(*), count(*) filter (where left_row = right_row) from plain left_row join copied right_row using (id);`,
    );
    return [...items, ended('\\copy from', back, back.out)];
  },
};

/** pg_dump names the database in a comment or two and, since 15.14, a random key in \restrict. */
function digest({ out }: Ended): string {
  return sha256(Buffer.from(out.replace(/^\\(un)?restrict .*$/gm, '').replace(/conformance_\w+/g, 'database')));
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
