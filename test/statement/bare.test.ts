/** Nothing that we claim may be a statement of PostgreSQL's. These tests break the day PostgreSQL takes one of our words. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { classify } from '../../statement/classify.ts';
import { tokenize } from '../../statement/lexer.ts';
import { TokenReader } from '../../statement/parse/reader.ts';
import { reservedWords } from '../../statement/parse/reservedWords.ts';
import { findHead, statementHeads } from '../../statement/parse/statements.ts';
import { pick, seededRandom, testOnEachPostgres } from './eachPostgres.ts';
import { foreignTexts, ownTexts } from './ownStatements.ts';

const options = { standardConformingStrings: true };

test('every head of ours has a statement in the suite', () => {
  const heads = ownTexts.map(({ text }) => findHead(new TokenReader(text, tokenize(text, options))));
  const missing = statementHeads.filter((head) => !heads.includes(head));
  assert.deepEqual(
    missing.map(({ head }) => head),
    [],
  );
});

test('every statement of ours is claimed', () => {
  for (const { text } of ownTexts) assert.match(classify(text, options).kind, /^(own|malformed)$/, text);
});

test('every statement of PostgreSQL is foreign', () => {
  for (const text of foreignTexts) assert.equal(classify(text, options).kind, 'foreign', text);
});

testOnEachPostgres('bare PostgreSQL refuses every statement of ours as a syntax error', async (connection) => {
  for (const { text, sqlstate = '42601' } of ownTexts) {
    const reply = await connection.query(text);
    assert.equal(reply.sqlstate, sqlstate, `${text}: ${reply.message}`);
    assert.equal((await connection.prepare(text)).sqlstate, sqlstate, text);
  }
});

testOnEachPostgres('bare PostgreSQL reads every statement of its own', async (connection) => {
  for (const text of foreignTexts) assert.notEqual((await connection.prepare(text)).sqlstate, '42601', text);
});

testOnEachPostgres('no sequence of words that PostgreSQL accepts is claimed', async (connection, _version, t) => {
  const random = seededRandom(20261123);
  const first = 'grant revoke show create drop alter copy import export check list desc cancel attach'.split(' ');
  const words = [
    ...'system external connection connections on to from for option grant all privileges table stage schedule job jobs backup'.split(' '),
    ...'grants create select usage a b with admin cascade "system" "on" \'x\' ( ) , . ; @ begin into granted by set schedules'.split(' '),
  ];
  let accepted = 0;
  let claimed = 0;
  const check = async (text: string) => {
    const { kind } = classify(text, options);
    const reply = await connection.prepare(text);
    if (reply.sqlstate !== '42601') accepted++;
    if (kind === 'foreign') return;
    claimed++;
    const isListed = /^show (grants|jobs|schedules|connections|stages)[ ;]*$/i.test(text);
    assert.ok(reply.sqlstate === '42601' || isListed, `${kind} and accepted by PostgreSQL: ${text}`);
  };
  // Every keyword in every place where a word of PostgreSQL's grammar might follow ours.
  const places = ['show ?', 'show grants ?', 'show job ?', 'grant system ? to b', 'grant system ? x to b', 'revoke system ? for x from b'];
  places.push('revoke grant option for system ? from b', 'grant a on external ? to b', 'grant ? on external to b', 'create ? external x');
  const keywords = await connection.query('select word from pg_get_keywords()');
  for (const [keyword] of keywords.rows) for (const place of places) await check(place.replace('?', keyword!));
  for (let count = 0; count < 1000; count++) {
    const length = 1 + Math.floor(random() * 6);
    await check([pick(random, first), ...Array.from({ length }, () => pick(random, words))].join(' '));
  }
  // One change to a valid GRANT or REVOKE hits nearer than words at random.
  for (let count = 0; count < 1500; count++) {
    const tokens = pick(random, [...foreignTexts, ...ownTexts.map(({ text }) => text)]).match(/'[^']*'|"[^"]*"|\w+|\S/g)!;
    const at = Math.floor(random() * tokens.length);
    tokens.splice(at, Math.floor(random() * 2), pick(random, words));
    await check(tokens.join(' ').replace(/ ?\. ?/g, '.'));
  }
  t.diagnostic(`${accepted} accepted by PostgreSQL, ${claimed} claimed by us`);
  assert.ok(accepted > 200 && claimed > 200, `${accepted} accepted, ${claimed} claimed: too few to tell anything`);
});

testOnEachPostgres('the list of reserved words is PostgreSQL 18’s', async (connection, version) => {
  const reply = await connection.query("select word from pg_get_keywords() where catcode in ('R', 'T') order by word collate \"C\"");
  const words = reply.rows.map(([word]) => word!);
  assert.ok(words.length > 90, reply.message);
  if (version === 18) assert.deepEqual([...reservedWords].sort(), words);
  else for (const word of words) assert.ok(reservedWords.has(word), word);
});
