import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingPostgres, postgresBin } from '../servers/postgres.ts';
import { type Address, type DriverLab, runClient, startDriverLab } from './driverLab.ts';

describe('psql and its companions', { skip: missingPostgres(15) }, () => {
  let lab: DriverLab;
  let scratch: string;
  const psql = join(postgresBin(15) ?? '', 'psql');
  before(async () => {
    lab = await startDriverLab();
    scratch = mkdtempSync(join(tmpdir(), 'pgpier-psql-'));
  });
  after(async () => {
    await lab?.stop();
    rmSync(scratch, { recursive: true, force: true });
  });
  const run = (address: Address, input: string, ...args: string[]) =>
    runClient(address, '/bin/sh', ['-c', 'exec "$0" -X "$@" 2>&1', psql, ...args], { input });

  test('psql prints the same through the proxy, errors, \\gdesc, \\gexec, \\watch and \\copy included', async () => {
    const file = join(scratch, 'rows.tsv');
    writeFileSync(file, Array.from({ length: 500 }, (_, i) => `${i}\tvalue ${i}\n`).join(''));
    const script = `
drop table if exists p; create table p (id int primary key, v text);
\\copy p from '${file}'
select count(*), min(v), max(v) from p;
\\copy (select * from p order by id limit 3) to stdout
copy p to program 'cat >/dev/null';
copy (select 1) to stdout; select 2; copy p from stdin;
1000	thousand
\\.
select * from p where id >= 499 order by 1;
select 1/0;
select nope;
select 'ä', 1 frmo;
select id as number, v, now() is null as never from p \\gdesc
select 'select ' || i || ' as made' from generate_series(1, 3) i \\gexec
create sequence s;
select nextval('s') as n, 1/(3 - currval('s')) as d \\watch 0.02
begin; insert into p values (1, 'again');
select 1;
rollback;
\\set AUTOCOMMIT off
insert into p values (2000, 'gone');
rollback;
\\set AUTOCOMMIT on
\\set FETCH_COUNT 7
select id from p order by id limit 20;
\\unset FETCH_COUNT
\\d p
\\dt
\\l+ template0
\\encoding latin1
select chr(228);
\\encoding utf8
do $$ begin raise notice 'hello'; raise warning 'careful' using hint = 'really'; end $$;
prepare q as select $1::int * 2; execute q(21); deallocate q;
select 1 as a \\; select 2 as b \\; select 3 as c;
listen here; notify here, 'payload'; select 1;
drop table p; drop sequence s;
\\echo done`;
    const clean = ({ output }: { output: string }) =>
      output.replaceAll(/server process with PID \d+/g, 'server process').replaceAll(/^\w{3} \w{3} .* \(every 0\.02s\)$/gm, 'watched');
    const truth = clean(await run(lab.bare, script));
    assert.match(truth, /done/);
    assert.equal(clean(await run(lab.proxied, script)), truth);
  });

  test('psql -1, -c strings and ON_ERROR_STOP end with the same code', async () => {
    for (const args of [
      ['-c', 'select 1; select 2'],
      ['-c', 'select 1', '-c', 'select 1/0'],
      ['-1', '-v', 'ON_ERROR_STOP=1', '-c', 'create table one (a int)', '-c', 'select 1/0'],
      ['-At', '-c', "select to_regclass('one')"],
      ['-d', 'nowhere', '-c', 'select 1'],
      ['-U', 'nobody_here', '-c', 'select 1'],
    ]) {
      const [truth, heard] = [await run(lab.bare, '', ...args), await run(lab.proxied, '', ...args)];
      const clean = (text: string) => text.replaceAll(/port \d+/g, 'port');
      assert.deepEqual([heard.code, clean(heard.output)], [truth.code, clean(truth.output)], args.join(' '));
    }
  });

  test('psql runs our statements: create, show, \\gdesc, grant, export, errors, drop', async () => {
    const { output } = await run(
      lab.proxied,
      `\\set VERBOSITY verbose
create external connection k as 'nodelocal://self/psql';
show external connections;
show external connection k \\gdesc
create role reader;
grant usage on external connection k to reader;
begin;
create external connection gone as 'nodelocal://self/gone';
show external connection nothing;
commit;
show external connections;
export into csv 'external://k/sub' from select i, 'row ' || i from generate_series(1, 10) i;
create external connection k as as;
select 1; show external connections;
select 1 \\; show external connections;
drop external connection k;
drop role reader;
`,
      '-At',
    );
    const expected = [
      /^CREATE EXTERNAL CONNECTION$/,
      /^k\|nodelocal:\/\/self\/psql\|STORAGE$/,
      /^connection_name\|text$/,
      /^connection_uri\|text$/,
      /^connection_type\|text$/,
      /^CREATE ROLE$/,
      /^GRANT$/,
      /^BEGIN$/,
      /^CREATE EXTERNAL CONNECTION$/,
      /ERROR: {2}42704: external connection with name nothing does not exist/,
      /^ROLLBACK$/,
      /^k\|nodelocal:\/\/self\/psql\|STORAGE$/,
      /^export\w+-n1\.0\.csv\|10\|\d+$/,
      /ERROR: {2}42601: syntax error at or near "as"/,
      /^LINE 1: create external connection k as as;$/,
      /^ +\^$/,
      /^1$/,
      /^k\|nodelocal:\/\/self\/psql\|STORAGE$/,
      /ERROR: {2}0A000:/,
      /^HINT:/,
      /^DROP EXTERNAL CONNECTION$/,
      /^DROP ROLE$/,
    ];
    const lines = output
      .trimEnd()
      .split('\n')
      .map((line) => line.replace(/^psql:<stdin>:\d+: /, ''));
    for (const [i, pattern] of expected.entries()) assert.match(lines[i] ?? '', pattern, `line ${i + 1} of\n${output}`);
    assert.equal(lines.length, expected.length, output);
    const files = readdirSync(join(lab.pgpier.externalDirectory, 'psql', 'sub'));
    assert.equal(files.length, 1);
  });

  test('\\watch repeats a statement of ours until Ctrl-C', async () => {
    const { host, port } = lab.proxied;
    const watcher = spawn(psql, ['-X', '-h', host, '-p', String(port), '-U', 'postgres'], {
      env: { ...process.env, PGSSLMODE: 'disable' },
    });
    let output = '';
    watcher.stdout.on('data', (text) => {
      output += text;
    });
    watcher.stdin.write('show external connections \\watch 0.05\n');
    for (let waited = 0; (output.match(/connection_name/g) ?? []).length < 3 && waited < 10_000; waited += 50) await sleep(50);
    assert.ok((output.match(/connection_name/g) ?? []).length >= 3, output);
    watcher.kill('SIGINT');
    watcher.stdin.end("select 'after' as word;\n");
    await new Promise((resolve) => watcher.once('close', resolve));
  });

  for (const mode of ['simple', 'extended', 'prepared']) {
    test(`pgbench runs in mode ${mode}`, async () => {
      const pgbench = join(postgresBin(15) ?? '', 'pgbench');
      const initialised = await runClient(lab.proxied, pgbench, ['-i', '-s', '1', '-q']);
      assert.equal(initialised.code, 0, initialised.output);
      for (const extra of [['-S'], []]) {
        const { code, output } = await runClient(lab.proxied, pgbench, ['-n', '-M', mode, '-c', '4', '-j', '2', '-t', '50', ...extra]);
        assert.equal(code, 0, output);
        assert.match(output, /number of transactions actually processed: 200\/200/);
      }
    });
  }

  test('pgbench runs a statement of ours in every mode', async () => {
    const script = join(scratch, 'own.sql');
    writeFileSync(script, 'show external connections;\nselect 1;\n');
    for (const mode of ['simple', 'extended', 'prepared']) {
      const { code, output } = await runClient(lab.proxied, join(postgresBin(15) ?? '', 'pgbench'), [
        '-n',
        '-M',
        mode,
        '-c',
        '2',
        '-t',
        '20',
        '-f',
        script,
      ]);
      assert.equal(code, 0, output);
      assert.match(output, /actually processed: 40\/40/, mode);
    }
  });

  test('pgbench pipelines with \\startpipeline', async () => {
    const script = join(scratch, 'pipe.sql');
    writeFileSync(script, '\\startpipeline\nselect 1;\nselect 2;\nshow external connections;\nselect 3;\n\\endpipeline\n');
    for (const mode of ['extended', 'prepared']) {
      const { code, output } = await runClient(lab.proxied, join(postgresBin(15) ?? '', 'pgbench'), [
        '-n',
        '-M',
        mode,
        '-c',
        '2',
        '-t',
        '20',
        '-f',
        script,
      ]);
      assert.equal(code, 0, output);
    }
  });

  test('pg_dump and pg_restore through the proxy make the same dump', async () => {
    await run(lab.bare, 'create database source; create database target');
    await run(
      lab.bare,
      `create table d (id serial primary key, v text, b bytea); insert into d (v, b) select 'v' || i, decode(md5(i::text), 'hex') from generate_series(1, 3000) i;
create view dv as select * from d; create function df() returns int language sql as 'select 1'; comment on table d is 'äöü';
select lo_create(4711); select lo_put(4711, 0, 'large');`,
      '-d',
      'source',
    );
    const dump = async (address: Address, ...args: string[]) => {
      const run = await runClient(address, join(postgresBin(15) ?? '', 'pg_dump'), args);
      // \restrict carries a random key.
      return { ...run, stdout: run.stdout.replaceAll(/^\\(un)?restrict \S+$/gm, '\\restrict') };
    };
    const truth = await dump(lab.bare, 'source');
    const heard = await dump(lab.proxied, 'source');
    assert.equal(heard.code, 0, heard.output);
    assert.equal(heard.stdout, truth.stdout);
    const archive = join(scratch, 'archive');
    const parallel = await dump(lab.proxied, '-Fd', '-j', '2', '-f', archive, 'source');
    assert.equal(parallel.code, 0, parallel.output);
    const restored = await runClient(lab.proxied, join(postgresBin(15) ?? '', 'pg_restore'), ['-j', '2', '-d', 'target', archive]);
    assert.equal(restored.code, 0, restored.output);
    assert.equal((await dump(lab.bare, 'target')).stdout, truth.stdout);
  });
});
