import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ContainerClient } from '@azure/storage-blob';
import { checkStorage, markerName, markerText } from '../../external/storage/check.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type Azurite, startAzurite, testContainer } from '../servers/azurite.ts';
import { listPaths, readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
/** A server from the environment may hold other things. */
const run = `pgpier-${randomBytes(4).toString('hex')}`;
const mebibyte = 1024 * 1024;

describe('Azure Blob Storage on Azurite', { timeout: 300_000 }, () => {
  let server: Azurite;
  let sdk: ContainerClient;
  let missing: string | undefined;
  before(async () => {
    const started = await startAzurite();
    if ('missing' in started) missing = started.missing;
    else {
      server = started;
      sdk = testContainer(server);
    }
  });
  after(async () => await server?.stop());

  const uriOf = (path: string, changes: Readonly<Record<string, string>> = {}, { scheme = 'azure', container = server.container } = {}) => {
    const parameters = {
      AZURE_ACCOUNT_NAME: server.account,
      AZURE_ACCOUNT_KEY: server.key,
      AZURE_ENDPOINT: server.service,
      ...changes,
    };
    const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    return `${scheme}://${container}/${run}/${path}?${query.join('&')}`;
  };
  const open = (path: string, trusted = true) => openStorage({ uri: uriOf(path), trusted }, settings);
  const check = (changes: Readonly<Record<string, string>>, more?: { scheme?: string; container?: string }) =>
    checkStorage({ uri: uriOf('check', changes, more), trusted: true }, settings, AbortSignal.timeout(20_000));
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  runStorageContract('azure', () => ({
    ...(missing === undefined ? {} : { missing }),
    open,
    outside: {
      get: async (name, path) => await sdk.getBlobClient(`${run}/${name}/${path}`).downloadToBuffer(),
      async put(name, path, bytes) {
        await sdk.getBlockBlobClient(`${run}/${name}/${path}`).upload(bytes, bytes.length);
      },
      async everything(name) {
        const base = `${run}/${name}/`;
        const found: string[] = [];
        for await (const item of sdk.listBlobsFlat({ prefix: base, includeUncommitedBlobs: true }))
          found.push(item.name.slice(base.length));
        return found.sort();
      },
      async leaveDebris(name, path) {
        await sdk.getBlockBlobClient(`${run}/${name}/${path}`).stageBlock(Buffer.from('others').toString('base64'), 'half', 4);
      },
    },
  }));

  on('CREATE leaves the marker file, with its exact content, by each of the three schemes', async () => {
    for (const scheme of ['azure', 'azure-blob', 'azure-storage']) {
      await check({}, { scheme });
      const blob = sdk.getBlobClient(`${run}/check/${markerName}`);
      assert.equal(String(await blob.downloadToBuffer()), markerText);
      await blob.delete();
    }
  });

  on('a key whose + was not escaped works', async () => {
    assert.ok(server.key.includes('+'));
    const uri = uriOf('check').replaceAll('%2B', '+');
    await checkStorage({ uri, trusted: true }, settings, AbortSignal.timeout(20_000));
  });

  // Azurite calls a wrong signature AuthorizationFailure; Azure's AuthenticationFailed is in azureFaults.test.ts.
  on('a wrong key, a wrong account and a missing container are three errors, and none tells a secret', async () => {
    const wrongKey = Buffer.from('hush-hush-hush').toString('base64');
    await rejectsWith(
      () => check({ AZURE_ACCOUNT_KEY: wrongKey }),
      '42501',
      /^failed to write a sentinel ExternalStorage file: access denied: these credentials may not write at azure:\/\/pgpier-test\/pgpier-\w+\/check$/,
    );
    await rejectsWith(() => check({ AZURE_ACCOUNT_NAME: 'nobody' }), '42501', /access denied/);
    await rejectsWith(
      () => check({}, { container: 'no-such-container' }),
      '58P01',
      /container does not exist: azure:\/\/no-such-container\/pgpier-\w+\/check$/,
    );
    await rejectsWith(() => check({}, { container: 'No Such/Container' }), '58P01', /container does not exist/);
    await assert.rejects(check({ AZURE_ACCOUNT_KEY: wrongKey }), (error: Error) => {
      assert.ok(!JSON.stringify([error, error.message, error.stack]).includes(wrongKey));
      return true;
    });
  });

  on('a missing container is told by each operation', async () => {
    const storage = await openStorage({ uri: uriOf('x', {}, { container: 'no-such-container' }), trusted: true }, settings);
    const missingOne = /container does not exist: azure:\/\/no-such-container/;
    await rejectsWith(() => listPaths(storage, ''), '58P01', missingOne);
    await rejectsWith(() => readObject(storage, 'a'), '58P01', missingOne);
    await rejectsWith(() => storage.delete('a'), '58P01', missingOne);
    await rejectsWith(() => storage.removePartial(''), '58P01', missingOne);
    await storage.close();
  });

  on('a private address is refused to those who are not trusted, unless its network is allowed', async () => {
    const target = { uri: uriOf('check'), trusted: false };
    await rejectsWith(
      () => checkStorage(target, settings, AbortSignal.timeout(5_000)),
      '42501',
      /connecting to 127\.0\.0\.1 is not allowed: it is a loopback or private address$/,
    );
    await checkStorage(target, { ...settings, allowedNetworks: ['127.0.0.0/8'] }, AbortSignal.timeout(5_000));
  });

  on('blocks of a writer that died are told by the time when its upload began', async () => {
    const storage = await open('dated');
    const writer = await storage.write('half');
    await writer.write(Buffer.alloc(9 * mebibyte));
    await until(
      async () => (await sdk.getBlockBlobClient(`${run}/dated/half`).getBlockList('uncommitted')).uncommittedBlocks?.length === 1,
    );
    assert.equal(await storage.removePartial('', { before: new Date(Date.now() - 60_000) }), 0);
    assert.equal(await storage.removePartial('', { before: new Date(Date.now() + 1_000) }), 1);
    await writer.abort();
    await storage.close();
  });

  on('an abort beside a finished blob leaves it as it was', async () => {
    const storage = await open('kept');
    await writeObject(storage, 'blob', 'the first version');
    const writer = await storage.write('blob');
    await writer.write(Buffer.alloc(20 * mebibyte));
    await writer.abort();
    assert.equal(String(await readObject(storage, 'blob')), 'the first version');
    await storage.close();
  });

  on('another key is used from the next request on, in an upload under way too', async () => {
    const storage = await open('renewed');
    const writer = await storage.write('blob');
    await writer.write(Buffer.alloc(17 * mebibyte, 1));
    storage.renew!({ uri: uriOf('renewed', { AZURE_ACCOUNT_KEY: server.otherKey }), trusted: true });
    await writer.finish();
    assert.ok((await readObject(storage, 'blob')).equals(Buffer.alloc(17 * mebibyte, 1)));
    storage.renew!({ uri: uriOf('renewed', { AZURE_ACCOUNT_KEY: 'd3Jvbmc=' }), trusted: true });
    await rejectsWith(() => readObject(storage, 'blob'), '42501', /may not read/);
    storage.renew!({ uri: uriOf('renewed'), trusted: true });
    assert.deepEqual(await listPaths(storage, ''), ['blob']);
    await storage.close();
  });

  on('a name that is too long is refused', async () => {
    const storage = await open('long');
    await rejectsWith(() => storage.write('n'.repeat(1024)), '22023', /^name too long/);
    await writeObject(storage, 'é'.repeat(900), 'x');
    assert.deepEqual(await listPaths(storage, ''), ['é'.repeat(900)]);
    await storage.close();
  });

  on('of two writers of one name the first to finish wins, and the other is told', async () => {
    const storage = await open('both');
    const [one, other] = [await storage.write('name'), await storage.write('name')];
    // Of three blocks two may be on their way.
    for (let part = 0; part < 3; part++) {
      await one.write(Buffer.alloc(8 * mebibyte, 1));
      await other.write(Buffer.alloc(8 * mebibyte, 2));
    }
    await one.finish();
    await rejectsWith(() => other.finish(), '58030', /^what was sent of the object is gone: "name"$/);
    await other.abort();
    assert.ok((await readObject(storage, 'name')).equals(Buffer.alloc(24 * mebibyte, 1)));
    await storage.close();
  });
});

async function until(is: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await is().catch(() => false)); tries++) {
    assert.ok(tries < 200, 'it does not come about');
    await sleep(50);
  }
}
