/** `gs://` against fake-gcs-server, which is seen from outside by requests that are not ours. It checks neither tokens nor rights: gsFaults.test.ts and gsTokens.test.ts do. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { checkStorage, markerName, markerText } from '../../external/storage/check.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type GcsServer, startGcs } from '../servers/gcs.ts';
import { readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
/** A server from the environment may hold other things. */
const run = `pgpier-${randomBytes(4).toString('hex')}`;

describe('Google Cloud Storage on fake-gcs-server', { timeout: 300_000 }, () => {
  let server: GcsServer;
  let missing: string | undefined;
  before(async () => {
    const started = await startGcs();
    if ('missing' in started) missing = started.missing;
    else server = started;
  });
  after(async () => await server?.stop());

  const uriOf = (path: string, bucket = server.bucket) =>
    `gs://${bucket}/${run}/${path}?BEARER_TOKEN=t0ken&GOOGLE_ENDPOINT=${encodeURIComponent(server.endpoint)}`;
  const objectUrl = (name: string) => `${server.endpoint}/storage/v1/b/${server.bucket}/o/${encodeURIComponent(name)}`;
  const check = (bucket?: string) => checkStorage({ uri: uriOf('check', bucket), trusted: true }, settings, AbortSignal.timeout(20_000));

  runStorageContract(
    'gcs',
    () => ({
      ...(missing === undefined ? {} : { missing }),
      open: (name) => openStorage({ uri: uriOf(name), trusted: true }, settings),
      outside: {
        async get(name, path) {
          const answer = await fetch(`${objectUrl(`${run}/${name}/${path}`)}?alt=media`);
          assert.equal(answer.status, 200);
          return Buffer.from(await answer.arrayBuffer());
        },
        async put(name, path, bytes) {
          const url = `${server.endpoint}/upload/storage/v1/b/${server.bucket}/o?uploadType=media&name=${encodeURIComponent(`${run}/${name}/${path}`)}`;
          const answer = await fetch(url, { method: 'POST', body: new Uint8Array(bytes) });
          assert.equal(answer.status, 200);
        },
        async everything(name) {
          const base = `${run}/${name}/`;
          const answer = await fetch(`${server.endpoint}/storage/v1/b/${server.bucket}/o?prefix=${encodeURIComponent(base)}`);
          const { items } = (await answer.json()) as { items?: { name: string }[] };
          return (items ?? []).map((item) => item.name.slice(base.length)).sort();
        },
      },
    }),
    // It sums up all that it has with each part: time grows with the square. Which uploads are unfinished Google does not tell.
    { partials: false, hugeMebibytes: 128 },
  );

  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  on('CREATE leaves the marker file, with its exact content', async () => {
    await check();
    const answer = await fetch(`${objectUrl(`${run}/check/${markerName}`)}?alt=media`);
    assert.equal(await answer.text(), markerText);
  });

  on('a missing bucket is told as such, when writing and when reading', async () => {
    await rejectsWith(() => check('no-such-bucket-here'), '58P01', /bucket does not exist: gs:\/\/no-such-bucket-here\/pgpier-\w+\/check$/);
  });

  on('what is written has the checksum that the store computes by itself', async () => {
    const storage = await openStorage({ uri: uriOf('sums'), trusted: true }, settings);
    const bytes = randomBytes(20 * 1024 * 1024 + 7);
    await writeObject(storage, 'random', bytes);
    const answer = await fetch(objectUrl(`${run}/sums/random`));
    const { size, crc32c } = (await answer.json()) as { size: string; crc32c: string };
    assert.equal(Number(size), bytes.length);
    assert.match(crc32c, /^[A-Za-z0-9+/]{6}==$/);
    assert.ok((await readObject(storage, 'random')).equals(bytes));
    await storage.close();
  });

  on('a private address is refused to those who are not trusted, unless its network is allowed', async () => {
    const target = { uri: uriOf('check'), trusted: false };
    await rejectsWith(
      () => checkStorage(target, settings, AbortSignal.timeout(5_000)),
      '42501',
      /^failed to write a sentinel ExternalStorage file: connecting to 127\.0\.0\.1 is not allowed: it is a loopback or private address$/,
    );
    await checkStorage(target, { ...settings, allowedNetworks: ['127.0.0.0/8'] }, AbortSignal.timeout(5_000));
  });
});
