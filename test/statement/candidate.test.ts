/** A wrong no of the hot-path test would send a statement of ours, with its secrets, to PostgreSQL. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mayBeOwn } from '../../statement/candidate.ts';
import { classify } from '../../statement/classify.ts';
import { pick, seededRandom } from './eachPostgres.ts';
import { ownTexts } from './ownStatements.ts';

const options = { standardConformingStrings: true };

/** In the middle of other bytes, as in a read buffer. */
function asked(text: string): boolean {
  const bytes = Buffer.from(`;backup${text}\0; backup`);
  return mayBeOwn(bytes, 7, 7 + Buffer.byteLength(text));
}

const leads = [
  ...[
    '',
    ' ',
    '\n\t\r\f\v ',
    '/* x */',
    '/* a /* ; */ */ ',
    '-- x\n',
    '--\r',
    '/**//***/ -- ;\n ',
    `/* ${'x'.repeat(5000)} */`,
    `${' '.repeat(600)}`,
  ],
  ...['select 1;', ';;', "select ';' ; ", 'select 1 /* ; */; -- x\n', `select '${'é'.repeat(400)}';`, "insert into t values (';/*'); "],
];
const gaps = [' ', '\n', '/**/', ' /* ; */ ', ' -- ;\n', '\t\t', `/*${'x'.repeat(600)}*/`];

test('no statement of ours is overlooked, in any casing, behind any blanks, comments and semicolons', () => {
  const random = seededRandom(5);
  for (const { text } of ownTexts) {
    const mixed = [...text].map((letter) => (random() < 0.5 ? letter.toUpperCase() : letter.toLowerCase())).join('');
    for (const spelled of [text, text.toLowerCase(), text.toUpperCase(), mixed]) {
      for (const lead of leads) assert.ok(asked(lead + spelled), lead.slice(0, 40) + spelled);
      for (const gap of gaps) assert.ok(asked(spelled.replace(/ /g, gap)), JSON.stringify(spelled.replace(/ /g, gap).slice(0, 80)));
    }
  }
});

test('whatever classify does not call foreign was let through', () => {
  const random = seededRandom(11);
  const parts = [
    ...leads,
    ...gaps,
    ...ownTexts.map(({ text }) => text),
    'select 1',
    ';',
    "'",
    '"',
    '/*',
    '*/',
    '--',
    '\n',
    '$$',
    "E'\\'",
    '(',
    ')',
  ];
  let claimed = 0;
  for (let count = 0; count < 4000; count++) {
    const text = Array.from({ length: 1 + Math.floor(random() * 6) }, () => pick(random, parts)).join('');
    if (classify(text, options).kind === 'foreign') continue;
    claimed++;
    assert.ok(asked(text), JSON.stringify(text));
  }
  assert.ok(claimed > 1000, `${claimed} claimed`);
});

test('ordinary statements do not cost a run of the lexer', () => {
  const ordinary = [
    'BEGIN',
    'COMMIT',
    'select 1',
    'SELECT abalance FROM pgbench_accounts WHERE aid = 1;',
    'insert into t values (1); select 2;',
    'create table t (a int)',
    'create index on t (a)',
    'create extension hstore',
    'drop table t',
    'alter table t add b int',
    'copy t from stdin',
    'copy (select 1) to stdout',
    'show search_path',
    'SHOW transaction_isolation',
    'set x = 1',
    'update t set a = 1',
    'delete from t',
    '/* app:web */ select 1',
    '-- hello\nselect 1',
    'import foreign schema s from server r into t',
    '',
    ';',
    'listen x',
    'remover',
    'backups',
    'createx external',
    `insert into t values ('${'a; b '.repeat(5000)}')`,
  ];
  for (const text of ordinary) assert.equal(asked(text), false, text.slice(0, 80));
});

test('a text made to be slow is not', () => {
  for (const part of [
    ';/*',
    ';',
    ';--',
    '; ',
    ';create ',
    ";'",
    ';/**/',
    'export into csv x from table t;',
    ';show jobs',
    ';grant a',
    '[',
    ';[',
    '[/*',
    '[show ',
    ';x [show jobs',
    "''",
    '$$',
    '((',
    'case ',
  ]) {
    const bytes = Buffer.from(part.repeat(Math.ceil(1_000_000 / part.length)));
    const began = performance.now();
    mayBeOwn(bytes, 0, bytes.length);
    classify(bytes.toString('latin1'), options);
    classify(`export into csv x with ${'a,'.repeat(200_000)}b from select ${part}`, options);
    const took = performance.now() - began;
    assert.ok(took < 10_000, `${part}: ${took} ms`);
  }
});
