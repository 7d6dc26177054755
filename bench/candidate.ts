/**
 * What the hot-path test costs on every Query and Parse: nanoseconds a statement, best of five rounds, and the lexer's run that a
 * yes leads to. `node bench/candidate.ts`
 */
import { mayBeOwn } from '../statement/candidate.ts';
import { classify } from '../statement/classify.ts';

const long = 'select a.id, a.name, b.total from accounts a join orders b on b.account_id = a.id where a.region = $1 and b.total > $2 ';
const insert = `insert into events (id, payload) values ${Array.from({ length: 1900 }, (_, id) => `(${id}, '{"kind": "click; ${id}", "at": "2026-01-01"}')`).join(', ')}`;
const texts: Readonly<Record<string, string>> = {
  BEGIN: 'BEGIN',
  'pgbench select': 'SELECT abalance FROM pgbench_accounts WHERE aid = 4711;',
  'pgbench update': 'UPDATE pgbench_accounts SET abalance = abalance + -42 WHERE aid = 4711;',
  'pgbench insert': 'INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 4711, -42, CURRENT_TIMESTAMP);',
  'commented select': '/* app:web,controller:users */ select * from users where id = $1',
  'create table': 'CREATE TABLE pgbench_history(tid int,bid int,aid int,delta int,mtime timestamp,filler char(22))',
  show: 'SHOW transaction_isolation',
  'three statements': 'begin; update t set a = a + 1 where id = 7; commit',
  '1 KB select': long.repeat(9).slice(0, 1024),
  '100 KB insert': insert.replaceAll(';', ','),
  '100 KB insert, 1900 semicolons': insert,
  'GRANT (yes)': 'GRANT SELECT ON ALL TABLES IN SCHEMA public TO readonly',
  'own (yes)': "CREATE EXTERNAL CONNECTION backups AS 's3://bucket/path?AUTH=implicit'",
};

function nanoseconds(run: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  let times = 16;
  for (let round = 0; round < 5; ) {
    const began = process.hrtime.bigint();
    for (let count = 0; count < times; count++) run();
    const took = Number(process.hrtime.bigint() - began);
    if (took < 20e6) times *= 2;
    else {
      best = Math.min(best, took / times);
      round++;
    }
  }
  return best;
}

const line = (...cells: string[]): boolean =>
  process.stdout.write(
    `${cells[0]!.padEnd(32)}${cells
      .slice(1)
      .map((cell) => cell.padStart(12))
      .join('')}\n`,
  );
line('text', 'bytes', 'mayBeOwn ns', 'answer', 'classify ns');
for (const [name, text] of Object.entries(texts)) {
  const bytes = Buffer.from(text);
  const answer = mayBeOwn(bytes, 0, bytes.length);
  const candidate = nanoseconds(() => mayBeOwn(bytes, 0, bytes.length));
  const lexer = nanoseconds(() => classify(text, { standardConformingStrings: true }));
  line(name, String(bytes.length), candidate.toFixed(0), answer ? 'yes' : 'no', lexer.toFixed(0));
}
