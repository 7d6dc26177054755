/** What psql does on the wire beyond plain queries: \\watch, \\gdesc, cursors, COPY, errors, notices. */
import type { Check } from '../check.ts';
import { missingProgram, run } from '../programs.ts';

/** Each is a session of its own. Timings and pids are kept out. */
const scripts: Readonly<Record<string, string>> = {
  '\\gdesc':
    'select 1 as one, null::numeric(5,2) as two, array[now()] as three \\gdesc\nselect from pg_class where false \\gdesc\ncreate table g(i int) \\gdesc\n',
  '\\gset, \\gexec': "select 3 as n \\gset\nselect :n + 1;\nselect format('select %s', i) from generate_series(1, 3) i \\gexec\n",
  '\\crosstabview': "select * from (values ('a','x',1),('b','y',2)) v(r,c,n) \\crosstabview\n",
  FETCH_COUNT:
    '\\set FETCH_COUNT 7\nselect i, repeat(chr(64 + i), i) from generate_series(1, 20) i;\nselect 1 / (i - 9) from generate_series(1, 20) i;\nselect 2;\n',
  'COPY in and out':
    'create table c(i int, t text);\ncopy c from stdin;\n1\ta\\tb\n2\t\\N\n\\.\ncopy c to stdout (format csv, header);\ncopy c from stdin;\nx\ty\n\\.\nselect count(*) from c;\n',
  errors:
    "select 1/0;\nselect 'a' || from x;\nselect * from missing;\n\\errverbose\nselect 'ü' as \"ä\", nope;\nbegin; select nope; select 1; rollback; select 2;\n",
  'several statements':
    'select 1 \\; select 2 \\; select 3;\nselect 1 \\; select 1/0 \\; select 3;\nbegin \\; create table m(i int) \\; insert into m values (1) \\; commit;\ntable m;\n',
  notices:
    "do $$ begin raise notice 'n%', 1; raise warning 'w' using hint = 'h', detail = 'd', errcode = '01999'; end $$;\nset client_min_messages = error;\ndo $$ begin raise notice 'hidden'; end $$;\n",
  encodings:
    "set client_encoding = latin1;\nselect convert_from('\\xc3a4', 'utf8') = chr(228);\nset client_encoding = sjis;\nselect 1;\nselect chr(9731);\nset client_encoding = utf8;\nselect chr(9731);\n",
  'prepared by hand': 'prepare p(int) as select $1 + 1;\nexecute p(41);\ndeallocate p;\nexecute p(1);\n',
  savepoints: '\\set ON_ERROR_ROLLBACK on\nbegin;\nselect 1/0;\nselect 1;\ncommit;\n',
  'large objects': "select lo_creat(-1) > 0;\nselect lo_put(lo_create(99), 0, '\\x00ff');\nselect lo_get(99);\n\\lo_unlink 99\n",
  'backslash commands': "create table d(i int primary key, t text default 'x');\n\\d d\n\\dt\n\\df pg_sleep\n\\l template*\n",
  'long query': `select length('${'x'.repeat(2_000_000)}');\n`,
  'many columns': `select ${Array.from({ length: 1600 }, (_, i) => i).join(',')};\n`,
  LISTEN: "listen c1;\nnotify c1, 'payload';\nselect 1;\n",
  'statements that look like others':
    "/* backup */ select 'BACKUP INTO x';\nselect $$ restore; $$;\nbackups;\nrestored x;\nshow jobsx;\nimports into;\ncopy x;\n",
};

export const psql: Check = {
  name: 'psql',
  description: 'psql: \\gdesc, \\gexec, cursors, COPY, errors with positions, notices, encodings, \\watch, long texts; output equal',
  missing: () => missingProgram('psql'),
  async run(endpoint) {
    const items = [];
    for (const [name, script] of Object.entries(scripts)) {
      const { code, out, error } = await run(endpoint, 'psql', ['-X', '-v', 'VERBOSITY=verbose', '-v', 'SHOW_CONTEXT=always'], script);
      const output = `${code}\n${out}\n${error}`
        .replaceAll(endpoint.database, 'database')
        .replace(/^LOCATION:.*$/gm, '')
        .replace(/with PID \d+/g, 'with PID n');
      items.push({ name, output });
    }
    const counted = await run(
      endpoint,
      'psql',
      ['-XqAt', '-f', '-'],
      "create sequence w;\nselect 1 / (nextval('w') < 4)::int \\watch 0.1\n",
    );
    items.push({
      name: '\\watch until an error',
      output: `${counted.code} ${counted.out.match(/^1$/gm)?.length} ${/division by zero/.test(counted.error)}`,
    });
    return items;
  },
};
