/** The splitter against PostgreSQL: a text of harmless statements gets as many CommandComplete as it holds statements. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadModule, parseSync } from 'libpg-query';
import { split } from '../../statement/split.ts';
import { pick, seededRandom, testOnEachPostgres } from './eachPostgres.ts';
import type { RawConnection } from './rawConnection.ts';

const conforming = { standardConformingStrings: true };
const pieces = (text: string, options = conforming): string[] => split(text, options).map(({ start, end }) => text.slice(start, end));

const body = 'create or replace function pg_temp.f() returns int';
/** `|` marks the only cut; it stands for nothing. */
const vectors: readonly string[] = [
  'select 1 as foo$$; | select 2 as x$$y',
  'select $a$ $A$ ; $$ ; $a$; | select 2',
  'select $é$ ; $é$; | select 2',
  'select $_1$ ; $1$ ; $_1$; | select 2',
  "select E'a'\n'b\\';c'; | select 2",
  "select 'a' -- x\n'b;c'; | select 2",
  "select 'a' -- x;'\n  -- y;\r 'b;c'; | select 2",
  "select U&'a'\n'b;\\0041'; | select 2",
  "select b'01'\n'10', x'1f'; | select 2",
  "select E'\\'; BACKUP INTO x; --'; | select 2",
  "select U&'\\0041;'; | select 2",
  'select 1 as U&"d\\0061;t"; | select 2',
  'select 1 as "a;""b"; | select 2',
  "select N'a;b'; | select 2",
  "select 1 as ne, 'a\\'; | select '2'",
  '/* a /* ; */ ; */ select 1; | select 2',
  '/*/ ; */ select 1; | select 2',
  'select 1 /***/; | select 2 /* * / ; /**/ */',
  'select 5*/*;*/2; | select 2',
  'select 5+/*;*/-/**/2; | select 2',
  'select 1+--;\n2; | select 2',
  'select 1 --;\r; | select 2',
  'select 1-+-1; | select 2',
  `${body} begin atomic select 1 as "end"; select case 1 when 1 then 2 end; end; | select 3`,
  `${body} language sql begin atomic select 1 as end; select (select 1 as case); end; | select 3`,
  'create or replace procedure pg_temp.p() begin atomic end; | select 3',
  `${body} begin atomic ; ; select 1 ; ; end; | select 3`,
  `${body} return 1; | select 3`,
  'create or replace procedure pg_temp.p() begin atomic select 1; end; | select 3',
  'create temp view v as select begin atomic from (select 1 as begin) s; | select 2',
  'create temp table r(a int); | create rule x as on insert to r do also (select 1; select 2); | select 3',
  ';;select 1;;; | /* x */ select 2;; -- y',
  'select 1\f;\t| select 2',
  'select 1 as "\u00a0;"; | select 2 as \u00a0x',
  'begin; | select 1; | end; | select 2',
  'select (array[1,2])[1:2]; | select 1.5e3, .5, 1., 1e-1; | select 2',
  "select $$a$$; | select '$$;$$'; | select $$'$$",
  'prepare s as select $1::int; | execute s(1); | deallocate s',
  'do $do$ begin perform 1; end $do$; | select 1',
];

test('the cuts are where the marks are', () => {
  for (const vector of vectors) {
    const marked = vector.split('|');
    const text = marked.join('');
    let from = 0;
    const cuts = marked.map((part) => {
      from += part.length;
      return from;
    });
    const found = split(text, conforming);
    assert.equal(found.length, marked.length, vector);
    found.forEach(({ start, end }, index) => {
      assert.ok(start >= (cuts[index - 1] ?? 0) && end <= cuts[index]!, vector);
    });
  }
});

test('texts without a statement have none', () => {
  for (const text of ['', ' ', ';', ';;', '-- x', '/* ; */', '/* a */;-- b\n;\t']) assert.deepEqual(pieces(text), [], text);
});

test('a literal or comment that never ends takes the rest of the text', () => {
  for (const open of ["'a;", "E'a\\';", '"a;', '$x$;$y$', '/* /* ; */ ;', "U&';", "b';"]) {
    assert.deepEqual(pieces(`select 1; select ${open}`), ['select 1', `select ${open}`]);
  }
});

testOnEachPostgres('PostgreSQL counts the same statements in every vector', async (connection) => {
  await connection.query('create schema if not exists x');
  for (const vector of vectors) {
    const reply = await connection.query(vector.replaceAll('|', ''));
    assert.equal(reply.sqlstate, undefined, `${vector}: ${reply.message}`);
    assert.equal(reply.completed, vector.split('|').length, vector);
    await connection.query('discard all');
  }
  for (const text of ['', ' ', ';', ';;', '-- x', '/* ; */', '/* a */;-- b\n;\t']) assert.ok((await connection.query(text)).isEmpty, text);
});

testOnEachPostgres('with standard_conforming_strings off a backslash protects a quote', async (connection) => {
  await connection.query('set standard_conforming_strings = off; set escape_string_warning = off');
  for (const text of [
    "select 'a\\';b'; select 2",
    "select 'a'\n'\\';'; select N'\\';'",
    "select E'\\';'; select $$\\$$",
    'select 1 as "\\"; select 2',
  ]) {
    const reply = await connection.query(text);
    assert.equal(reply.completed, 2, `${text}: ${reply.message}`);
    assert.equal(split(text, { standardConformingStrings: false }).length, 2, text);
  }
});

const literals = [
  ...[
    "'a;b'",
    "'it''s;'",
    "E'\\';'",
    "e'\\\\'",
    "E'a'\n'\\';'",
    "'a' -- ;'\n';b'",
    "'a'\r\n  ';'",
    "U&'\\0041;'",
    "u&'!0041;' uescape '!'",
    "N';'",
  ],
  ...[
    "b'01'",
    "x'1F'",
    '$$;$$',
    '$a$;\'$b$"$a$',
    '$é$;$é$',
    '$A$ $a$ ; $A$',
    '1',
    '1.5',
    '.5',
    '1e5',
    '5*/*;*/2',
    '1+--;\n2',
    '5-/**/-1',
    '(select 1)',
  ],
  ...[
    "case when true then ';' end",
    "array[';','a']",
    "';'::text",
    "'\\'",
    "';' || ';'",
    '@-5',
    '2<>3',
    '1 as "a;b"',
    '1 as U&"\\0061;"',
    '1 as a$$',
    '1 as e',
    '1 as é$x$',
  ],
];
const gaps = [' ', '\n', '\t', '\r', '\f', ' /* ; */ ', "/* a /* ; */ ' */", " -- ;'\n", ' --"\r', '/*/ ; */', '/***/'];
const breakers = [
  "'",
  '"',
  '$',
  '$$',
  '$a$',
  '\\',
  '/*',
  '*/',
  '--',
  '\n',
  ';',
  '(',
  ')',
  "E'",
  "U&'",
  "''",
  "\\'",
  'a',
  'e',
  '1',
  '-',
  '/',
  '*',
  ' ',
  'begin atomic ',
  ' end ',
];
const seeds = [1, 7, 42, 2026];

function fuzzText(random: () => number): string {
  const gap = () => pick(random, gaps);
  const query = () => {
    const items = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(random, literals));
    return `select${gap()}${items.join(`${pick(random, ['', ...gaps])},${pick(random, ['', ...gaps])}`)}`;
  };
  const bodyStatements = () => Array.from({ length: Math.floor(random() * 3) }, () => `${query()}${gap()};`).join(gap());
  const statement = () => {
    const kind = random();
    if (kind < 0.8) return query();
    if (kind < 0.9) return `create or replace procedure pg_temp.p()${gap()}begin${gap()}atomic${gap()}${bodyStatements()}${gap()}end`;
    return `create or replace rule r as on insert to fuzzed do also${gap()}(${query()};${query()})`;
  };
  const statements = Array.from({ length: 1 + Math.floor(random() * 3) }, statement);
  let text = statements.join(`${gap()};${pick(random, ['', ';', ...gaps])}`) + pick(random, ['', ';', ' ; ', ...gaps]);
  if (random() < 0.6) {
    const at = Math.floor(random() * text.length);
    const breaker = pick(random, breakers);
    text = text.slice(0, at) + breaker + text.slice(at + (random() < 0.3 ? 1 : 0));
  }
  return text;
}

/** How many statements PostgreSQL sees; undefined for syntax errors, `many` where a runtime error hides the exact count. */
async function countedByPostgres(connection: RawConnection, text: string): Promise<number | 'many' | undefined> {
  const reply = await connection.query(text);
  if (reply.sqlstate === undefined) return reply.isEmpty ? 0 : reply.completed;
  const prepared = await connection.prepare(text);
  if (/cannot insert multiple commands/.test(prepared.message)) return 'many';
  // A statement that is read and then refused (an unknown column) is one; a scanner or grammar error says nothing.
  const isUnread = prepared.sqlstate === '42601' || /^22(021|025)|^0A000/.test(prepared.sqlstate ?? '');
  return isUnread ? undefined : 1;
}

for (const standardConformingStrings of [true, false]) {
  const setting = `standard_conforming_strings ${standardConformingStrings ? 'on' : 'off'}`;
  testOnEachPostgres(
    `2000 texts of quotes, comments and bodies are cut as PostgreSQL cuts them with ${setting}`,
    async (connection, _version, t) => {
      await connection.query('create table fuzzed(a int)');
      await connection.query(`set standard_conforming_strings = ${standardConformingStrings}`);
      let judged = 0;
      for (const seed of seeds) {
        const random = seededRandom(standardConformingStrings ? seed : seed + 100);
        for (let count = 0; count < 500; count++) {
          const text = fuzzText(random);
          const expected = await countedByPostgres(connection, text);
          if (expected === undefined) continue;
          judged++;
          const found = split(text, { ...conforming, standardConformingStrings }).length;
          if (expected === 'many') assert.ok(found > 1, `seed ${seed}: ${JSON.stringify(text)}`);
          else assert.equal(found, expected, `seed ${seed}: ${JSON.stringify(text)}`);
        }
      }
      t.diagnostic(`${judged} of 2000 judged`);
      assert.ok(judged > 700, `${judged} of 2000 texts were read by PostgreSQL: too few to tell anything`);
    },
  );
}

test('40,000 rows of tokens are cut as PostgreSQL’s own parser cuts them', async (t) => {
  await loadModule();
  const tokens = [
    ...[
      'select ',
      '1',
      '1.',
      '.5',
      '1e5',
      '0x1F',
      '1_0',
      'a',
      'e',
      'E',
      'u',
      'U&',
      'x',
      'b',
      'n',
      'é',
      '$',
      '$$',
      '$a$',
      '$1',
      '$é$',
      "'",
      "''",
    ],
    ...[
      '"',
      '""',
      '\\',
      '/*',
      '*/',
      '--',
      '\n',
      '\r',
      '\t',
      ' ',
      '; ',
      ';',
      '(',
      ')',
      '+',
      '-',
      '*',
      '/',
      '@',
      '=',
      '::int',
      ' as ',
      '[',
      ']',
      ',',
    ],
    ...[
      'case when 1 then 2 end ',
      'create function f() returns int ',
      'create or replace procedure p()',
      'begin ',
      'atomic ',
      'end',
      ' end;',
    ],
    ...['begin atomic ', 'create rule r as on insert to t do also (', '.', "uescape '!'", 'return 1'],
  ];
  const random = seededRandom(3);
  let judged = 0;
  for (let count = 0; count < 40_000; count++) {
    const text =
      (random() < 0.5 ? 'select ' : '') + Array.from({ length: 1 + Math.floor(random() * 14) }, () => pick(random, tokens)).join('');
    let expected: number;
    try {
      expected = parseSync(text).stmts?.length ?? 0;
    } catch {
      continue;
    }
    judged++;
    assert.equal(split(text, conforming).length, expected, JSON.stringify(text));
  }
  t.diagnostic(`${judged} of 40,000 judged`);
  assert.ok(judged > 1000, `${judged} of 40,000 texts were read: too few to tell anything`);
});
