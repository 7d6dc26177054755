/** A storage that follows its connection: what S3 does when keys are taken away under it, and what happens to others. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { type Change, type Follower, openFollowed } from '../../external/storage/followedStorage.ts';
import type { Storage, StorageSettings } from '../../external/storage/storage.ts';
import type { StorageTarget } from '../../jobs/task.ts';
import { type MissingS3, type S3Server, startS3 } from '../servers/s3.ts';

const never = 3_600_000;
const connection = (version: string) => ({ id: randomUUID(), name: 'c', owner: 10, version });

async function put(storage: Storage, path: string, chunks: readonly Buffer[]): Promise<void> {
  const writer = await storage.write(path);
  for (const chunk of chunks) await writer.write(chunk);
  await writer.finish();
}

async function names(storage: Storage): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of storage.list('')) paths.push(path);
  return paths;
}

async function get(storage: Storage, path: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of storage.read(path)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

describe('a nodelocal connection', () => {
  const externalDir = mkdtempSync(join(tmpdir(), 'pgpier-follow-'));
  const settings: StorageSettings = { externalDir, nodeId: 1, allowedNetworks: [] };
  after(() => rmSync(externalDir, { recursive: true }));

  async function follow(first: string, then: () => Promise<StorageTarget>, lookMilliseconds = 0) {
    const changes: Change[] = [];
    const follower: Follower = { resolve: then, notice: (change) => void changes.push(change), lookMilliseconds };
    const storage = await openFollowed({ uri: first, trusted: true, connection: connection('1') }, settings, follower);
    return { storage, changes };
  }

  test('that leads to another place now is worked on at the old one, which is said once', async () => {
    const moved = async () => ({ uri: 'nodelocal://1/new', trusted: true, connection: connection('2') });
    const { storage, changes } = await follow('nodelocal://1/old', moved);
    await put(storage, 'a', [Buffer.from('x')]);
    await put(storage, 'b', [Buffer.from('y')]);
    assert.deepEqual(await names(storage), ['a', 'b']);
    const old = await openFollowed({ uri: 'nodelocal://1/old', trusted: true }, settings, { resolve: moved, notice() {} });
    assert.equal((await get(old, 'b')).toString(), 'y');
    assert.deepEqual(
      changes.map(({ severity, message }) => [severity, message]),
      [['WARNING', 'external connection c leads to another place now: what is under way goes on at the old one, with the old credentials']],
    );
  });

  test('that may not be used any more ends the work with the reason, at its next operation', async () => {
    let allowed = true;
    const { storage } = await follow('nodelocal://1/gone', async () => {
      if (allowed) return { uri: 'nodelocal://1/gone', trusted: true, connection: connection('1') };
      throw new PgPierError('privilegeMissing', { role: 'r', privilege: 'USAGE', connection: 'c' });
    });
    const writer = await storage.write('a');
    await writer.write(Buffer.from('x'));
    allowed = false;
    await assert.rejects(() => storage.delete('a'), /user r does not have USAGE privilege on external_connection c/);
    await assert.rejects(() => writer.finish(), /USAGE/);
    await writer.abort();
    await assert.rejects(() => get(storage, 'a'), /USAGE/);
  });

  test('goes on while the catalog is away', async () => {
    let asked = 0;
    const { storage, changes } = await follow('nodelocal://1/away', async () => {
      asked++;
      throw new PgPierError('catalogUnavailable', { reason: 'ECONNREFUSED' });
    });
    await put(storage, 'a', [Buffer.from('x')]);
    assert.equal((await get(storage, 'a')).toString(), 'x');
    assert.ok(asked > 1);
    assert.deepEqual(changes, []);
  });

  test('does not wait long for a catalog that does not answer', async () => {
    const { storage } = await follow('nodelocal://1/silent', () => new Promise(() => {}));
    const begun = performance.now();
    await put(storage, 'a', [Buffer.from('x')]);
    assert.ok(performance.now() - begun < 15_000);
  });

  test('is looked at no more often than it should be', async () => {
    let asked = 0;
    const same = async () => {
      asked++;
      return { uri: 'nodelocal://1/often', trusted: true, connection: connection('1') };
    };
    const { storage } = await follow('nodelocal://1/often', same, never);
    for (let i = 0; i < 10; i++) await put(storage, 'a', [Buffer.from('x')]);
    assert.equal(asked, 0);
  });
});

const s3: S3Server | MissingS3 = await startS3('radosgw');

describe('an S3 connection on radosgw whose keys are taken away', { skip: 'missing' in s3 ? s3.missing : false }, () => {
  const server = s3 as S3Server;
  const settings: StorageSettings = { nodeId: 1, allowedNetworks: ['127.0.0.0/8'] };
  const secret = 'another+secret/of=signs';
  const uriOf = (accessKey: string, secretKey: string, place = server.bucket) =>
    `s3://${place}/follow?AWS_ACCESS_KEY_ID=${accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(secretKey)}&AWS_REGION=us-east-1&AWS_ENDPOINT=${server.endpoint}`;
  const chunk = randomBytes(1024 * 1024);
  let serial = 0;
  const newKey = async (): Promise<string> => {
    const key = `AKFOLLOW${++serial}`;
    await server.keys!.add(key, secret);
    return key;
  };
  after(() => server.stop());
  before(() => assert.ok(server.keys));

  function start(first: StorageTarget, now: () => StorageTarget) {
    const changes: Change[] = [];
    const follower = { resolve: async () => now(), notice: (change: Change) => void changes.push(change), lookMilliseconds: never };
    return openFollowed(first, settings, follower).then((storage) => ({ storage, changes }));
  }

  test('goes on with those that ALTER gave it: in the middle of an upload, of a listing, and in reads', async () => {
    const [first, second] = [await newKey(), await newKey()];
    let target: StorageTarget = { uri: uriOf(first, secret), trusted: true, connection: connection('1') };
    const { storage, changes } = await start(target, () => target);
    await put(storage, 'before', [chunk]);
    const writer = await storage.write('long');
    for (let i = 0; i < 20; i++) await writer.write(chunk);
    target = { uri: uriOf(second, secret), trusted: true, connection: connection('2') };
    await server.keys!.remove(first);
    for (let i = 0; i < 20; i++) await writer.write(chunk);
    await writer.finish();
    assert.deepEqual(await names(storage), ['before', 'long']);
    const whole = await get(storage, 'long');
    assert.equal(whole.length, 40 * chunk.length);
    assert.ok(whole.subarray(39 * chunk.length).equals(chunk));
    await storage.delete('before');
    await storage.close();
    assert.deepEqual(
      changes.map(({ severity, message }) => [severity, message]),
      [['NOTICE', 'external connection c was altered: its present credentials are used from now on']],
    );
    assert.equal(storage.credentials, 'first');
  });

  test('uses the second set, says so once, and tells the refusal when that is refused too', async () => {
    const [first, second] = [await newKey(), await newKey()];
    const target: StorageTarget = {
      uri: uriOf(first, secret),
      trusted: true,
      connection: connection('1'),
      fallback: { uri: uriOf(second, secret), trusted: true },
    };
    const { storage, changes } = await start(target, () => target);
    await server.keys!.remove(first);
    await Promise.all(['a', 'b', 'c'].map((name) => put(storage, name, [chunk])));
    assert.equal(storage.credentials, 'second');
    assert.deepEqual(
      changes.map(({ severity, message }) => [severity, message]),
      [['WARNING', 'the credentials of external connection c were refused: its second set is used']],
    );
    await server.keys!.remove(second);
    await assert.rejects(
      () => put(storage, 'd', [chunk]),
      (error: PgPierError) => error.data.sqlstate === '28000',
    );
    await storage.close();
  });

  test('a wrong secret is a refusal; a right that is missing is none', async () => {
    const key = await newKey();
    const fallback = { uri: uriOf(key, secret), trusted: true };
    const wrong: StorageTarget = { uri: uriOf(key, 'wrong'), trusted: true, connection: connection('1'), fallback };
    const { storage } = await start(wrong, () => wrong);
    await put(storage, 'w', [chunk]);
    assert.equal(storage.credentials, 'second');
    await storage.close();
    const place = { uri: uriOf(key, secret, 'nobodys-bucket-here'), trusted: true, connection: connection('1') };
    const missing = await start({ ...place, fallback: { uri: place.uri, trusted: true } }, () => place);
    await assert.rejects(
      () => put(missing.storage, 'x', [chunk]),
      (error: PgPierError) => error.data.sqlstate === '58P01',
    );
    assert.equal(missing.storage.credentials, 'first');
    await missing.storage.close();
  });

  test('without others the refusal is told', async () => {
    const key = await newKey();
    const target: StorageTarget = { uri: uriOf(key, secret), trusted: true, connection: connection('1') };
    const { storage } = await start(target, () => target);
    await put(storage, 'a', [chunk]);
    await server.keys!.remove(key);
    await assert.rejects(
      () => put(storage, 'b', [chunk]),
      (error: PgPierError) => error.data.sqlstate === '28000',
    );
    await storage.close();
  });
});
