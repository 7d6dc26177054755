import assert from 'node:assert/strict';
import { createDecipheriv, hkdfSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { format, inspect } from 'node:util';
import { fingerprint, loadMasterKey, readMasterKey, unwrapDataKey, wrapDataKey } from '../../catalog/secretKey.ts';
import { decrypt, encrypt, Secret } from '../../catalog/secrets.ts';
import { refusalOf } from './lab.ts';

const folder = mkdtempSync(join(tmpdir(), 'pgpier-key-'));
after(() => rmSync(folder, { recursive: true, force: true }));

test('a secret prints as *** in every way that a value is printed by accident', () => {
  const secret = new Secret('hunter2');
  const shown = [
    String(secret),
    `${secret}`,
    // biome-ignore lint/style/useTemplate: the plus operator is what is tried
    '' + secret,
    JSON.stringify({ secret }),
    inspect({ deep: { secret } }, { depth: 9, showHidden: true }),
    format('%s %o %j', secret, secret, secret),
    Object.entries(secret).join(),
    JSON.stringify(structuredClone({ ...secret })),
  ];
  for (const text of shown) assert.doesNotMatch(text, /hunter2/);
  assert.equal(secret.reveal(), 'hunter2');
  assert.match(shown[4]!, /\*\*\*/);
});

test('a value is readable with its key in its place alone, and not when a bit of it changed', async () => {
  const key = Buffer.alloc(32, 1);
  const stored = encrypt(key, 'external_connection/1/uri', Buffer.from('s3://b?AWS_SECRET_ACCESS_KEY=ü'));
  assert.equal(decrypt(key, 'external_connection/1/uri', stored).toString(), 's3://b?AWS_SECRET_ACCESS_KEY=ü');
  const refused = async (...args: Parameters<typeof decrypt>) => assert.match(await refusalOf((async () => decrypt(...args))()), /^XX001/);
  await refused(key, 'external_connection/2/uri', stored);
  await refused(Buffer.alloc(32, 2), 'external_connection/1/uri', stored);
  for (const at of [0, 1, 13, stored.length - 1]) {
    const changed = Buffer.from(stored);
    changed[at]! ^= 1;
    await refused(key, 'external_connection/1/uri', changed);
  }
  await refused(key, 'external_connection/1/uri', stored.subarray(0, 20));
  assert.notDeepEqual(encrypt(key, 'p', Buffer.from('x')), encrypt(key, 'p', Buffer.from('x')));
});

test('a stored value is plain AES-256-GCM, which any implementation reads', () => {
  const key = Buffer.alloc(32, 3);
  const stored = encrypt(key, 'place', Buffer.from('text'));
  const decipher = createDecipheriv('aes-256-gcm', key, stored.subarray(1, 13));
  decipher.setAAD(Buffer.from('place')).setAuthTag(stored.subarray(-16));
  assert.equal(Buffer.concat([decipher.update(stored.subarray(13, -16)), decipher.final()]).toString(), 'text');
});

test('the data key comes out of its wrapping with the same master key alone, and the fingerprint tells keys apart', async () => {
  const [one, two] = [Buffer.alloc(32, 1), Buffer.alloc(32, 2)];
  const dataKey = Buffer.alloc(32, 9);
  const wrapped = wrapDataKey(one, dataKey);
  assert.ok(!wrapped.includes(dataKey));
  assert.deepEqual(unwrapDataKey(one, wrapped), dataKey);
  assert.match(await refusalOf((async () => unwrapDataKey(two, wrapped))()), /^XX001/);
  assert.notEqual(fingerprint(one), fingerprint(two));
  const derived = Buffer.from(hkdfSync('sha256', one, '', 'pgpier key fingerprint', 32));
  assert.equal(fingerprint(one), derived.subarray(0, 16).toString('hex'));
});

const bytes = Buffer.from(Array.from({ length: 32 }, (_, i) => 255 - i));
for (const [form, text] of [
  ['hex', bytes.toString('hex')],
  ['base64', bytes.toString('base64')],
  ['base64url without padding', bytes.toString('base64url')],
  ['a line of a file', `${bytes.toString('base64')}\n`],
] as const) {
  test(`a master key is read from ${form}`, () => assert.deepEqual(readMasterKey(text, 'test'), bytes));
}

for (const text of ['', 'password', bytes.subarray(1).toString('base64'), `${bytes.toString('hex')}00`]) {
  test(`"${text}" is no master key, and the error does not repeat it`, async () => {
    const refusal = await refusalOf((async () => readMasterKey(text, 'PGPIER_SECRET_KEY'))());
    assert.equal(refusal, 'F0000 the secret key from PGPIER_SECRET_KEY is not 32 bytes in base64 or hex');
  });
}

test('a key file is made once with mode 0600, and only where it may be', async () => {
  const path = join(folder, 'key');
  assert.equal(await loadMasterKey({ kind: 'file', path, createIfMissing: false }, true), undefined);
  assert.equal(await loadMasterKey({ kind: 'file', path, createIfMissing: true }, false), undefined);
  const made = await Promise.all([1, 2, 3].map(() => loadMasterKey({ kind: 'file', path, createIfMissing: true }, true)));
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(new Set(made.map((key) => key!.toString('hex'))).size, 1);
  assert.deepEqual(readMasterKey(readFileSync(path, 'utf8'), path), made[0]);
});

test('a key file that others can read is refused', async () => {
  const path = join(folder, 'open');
  writeFileSync(path, bytes.toString('base64'));
  for (const mode of [0o644, 0o640, 0o602]) {
    chmodSync(path, mode);
    const refusal = await refusalOf(loadMasterKey({ kind: 'file', path, createIfMissing: true }, true));
    assert.equal(refusal, `F0000 the key file ${path} has mode 0${mode.toString(8)}: others than its owner can get at it`);
  }
});

test('a key file with something else in it, or that is a directory, is refused and left alone', async () => {
  const path = join(folder, 'short');
  writeFileSync(path, 'abc', { mode: 0o600 });
  assert.match(await refusalOf(loadMasterKey({ kind: 'file', path, createIfMissing: true }, true)), /is not 32 bytes/);
  assert.equal(readFileSync(path, 'utf8'), 'abc');
  chmodSync(folder, 0o700);
  assert.match(await refusalOf(loadMasterKey({ kind: 'file', path: folder, createIfMissing: true }, true)), /cannot be used: EISDIR/);
});
