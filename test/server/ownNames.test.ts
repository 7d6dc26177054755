import assert from 'node:assert/strict';
import test from 'node:test';
import { type NameNote, OwnNames, type Prepared } from '../../server/session/ownNames.ts';

const prepared = {
  own: { statement: { kind: 'showExternalConnections' }, parameterCount: 0 },
  typeOids: [],
  declaredOids: [],
} as unknown as Prepared;
const bind = { portal: 'p', statement: 's', parameterFormats: [], values: [], resultFormats: [] };
const parse = (name: string, own: boolean): NameNote => ({ whole: false, kind: 'parse', name, prepared: own ? prepared : undefined });
const bound = (portal: string, statement: string, own: boolean): NameNote => ({
  whole: false,
  kind: 'bind',
  portal,
  statement,
  bind: own ? bind : undefined,
});
const behind = (note: NameNote, syncAfter = false) => ({ note, syncAfter });

test('a statement is ours once the backend confirmed its shadow', () => {
  const names = new OwnNames();
  assert.equal(names.statementOwnership('s', []), 'foreign');
  assert.equal(
    names.statementOwnership('s', [behind(parse('s', true))]),
    'own',
    'already while the Parse is on its way in the same pipeline',
  );
  names.confirm(parse('s', true));
  assert.equal(names.statementOwnership('s', []), 'own');
  assert.equal(names.empty, false);
});

test('a Parse that may fail alone leaves the name unsettled', () => {
  const names = new OwnNames();
  names.confirm(parse('s', false));
  assert.equal(names.statementOwnership('s', [behind(parse('s', true), true)]), 'unsettled');
  names.confirm(parse('s', true));
  assert.equal(names.statementOwnership('s', [behind(parse('s', true), true)]), 'own', 'ours either way');
  assert.equal(names.statementOwnership('s', [behind({ whole: false, kind: 'close', of: 'statement', name: 's' }, true)]), 'unsettled');
});

test('the newest pending message decides', () => {
  const names = new OwnNames();
  const pending = [behind(parse('', false)), behind(parse('', true))];
  assert.equal(names.statementOwnership('', pending), 'foreign');
});

test('a Query drops the unnamed statement and portal and no other', () => {
  const names = new OwnNames();
  for (const name of ['', 's']) {
    names.confirm(parse(name, true));
    names.confirm(bound(name, name, true));
  }
  const query: NameNote = { whole: false, kind: 'query' };
  assert.equal(names.statementOwnership('', [behind(query)]), 'foreign');
  assert.equal(names.portalOwnership('', [behind(query)]), 'foreign');
  names.confirm(query);
  assert.equal(names.portal(''), undefined);
  assert.notEqual(names.portal('s'), undefined);
});

test('closing a statement does not close its portals', () => {
  const names = new OwnNames();
  names.confirm(parse('s', true));
  names.confirm(bound('p', 's', true));
  names.confirm({ whole: false, kind: 'close', of: 'statement', name: 's' });
  assert.equal(names.statementOwnership('s', []), 'foreign');
  assert.equal(names.portalOwnership('p', []), 'own');
});

test('no portal outlives its transaction', () => {
  const names = new OwnNames();
  names.confirm(parse('s', true));
  names.confirm(bound('p', 's', true));
  names.forgetPortals();
  assert.equal(names.portalOwnership('p', []), 'foreign');
  assert.equal(names.statementOwnership('s', []), 'own');
});

test('a portal that turned out to be foreign takes its statement with it', () => {
  const names = new OwnNames();
  names.confirm(parse('s', true));
  names.confirm(bound('p', 's', true));
  names.forgetPortal('p');
  assert.ok(names.empty);
});

test('a portal bound to a foreign statement under a name of ours is foreign', () => {
  const names = new OwnNames();
  names.confirm(parse('s', true));
  names.confirm(bound('p', 's', true));
  names.confirm(bound('p', 'other', false));
  assert.equal(names.portalOwnership('p', []), 'foreign');
});
