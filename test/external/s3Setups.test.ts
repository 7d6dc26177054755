/** S3 as servers may be set up: a region of their own, buckets in host names, keys that may do one thing, many objects. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { HeadObjectCommand, ListObjectsV2Command, type S3Client } from '@aws-sdk/client-s3';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { checkStorage } from '../../external/storage/check.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { type S3Server, startS3, testClient } from '../servers/s3.ts';
import { serveBefore } from './faultServer.ts';
import { listPaths, readObject, rejectsWith, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const region = 'eu-central-1';
const environment = {
  MINIO_SITE_REGION: region,
  MINIO_DOMAIN: 'localhost',
  MINIO_KMS_SECRET_KEY: 'site-key:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=',
};

describe('S3 on a MinIO with settings of its own', { timeout: 180_000 }, () => {
  let server: S3Server;
  let sdk: S3Client;
  let missing: string | undefined;
  before(async () => {
    const started = await startS3('minio', environment);
    if ('missing' in started) missing = started.missing;
    else {
      server = started;
      sdk = testClient(server, region);
    }
  });
  after(async () => {
    sdk?.destroy();
    await server?.stop();
  });

  function uriOf(path: string, changes: Readonly<Record<string, string>> = {}, bucket = server.bucket): string {
    const access = { AWS_ACCESS_KEY_ID: server.accessKey, AWS_SECRET_ACCESS_KEY: server.secretKey, AWS_ENDPOINT: server.endpoint };
    const query = Object.entries({ ...access, AWS_REGION: region, ...changes }).filter(([, value]) => value !== '');
    return `s3://${bucket}/${path}?${query.map(([name, value]) => `${name}=${encodeURIComponent(value)}`).join('&')}`;
  }
  const check = (changes: Readonly<Record<string, string>>, bucket?: string) =>
    checkStorage({ uri: uriOf('check', changes, bucket), trusted: true }, settings, AbortSignal.timeout(20_000));
  const open = (path: string, changes?: Readonly<Record<string, string>>) =>
    openStorage({ uri: uriOf(path, changes), trusted: true }, settings);
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  on('the region of a bucket is found, and a wrong one is told with the right one', async () => {
    await check({ AWS_REGION: '' });
    await rejectsWith(() => check({ AWS_REGION: 'us-west-2' }), '22023', /another region than AWS_REGION says; it is in eu-central-1$/);
  });

  it('a bucket may stand in the host name', async (t) => {
    if (missing) return t.skip(missing);
    const { port } = new URL(server.endpoint);
    const { endpoint, requests } = await serveBefore(t, server.endpoint, {});
    const virtual = { AWS_USE_PATH_STYLE: 'false' };
    await check({ ...virtual, AWS_ENDPOINT: `http://localhost:${port}` });
    await check({ ...virtual, AWS_ENDPOINT: `http://localhost:${new URL(endpoint).port}` });
    assert.ok(requests.length > 0);
    for (const { headers, url } of requests) {
      assert.equal(headers.host, `${server.bucket}.localhost:${new URL(endpoint).port}`);
      assert.ok(!url.startsWith(`/${server.bucket}`), url);
    }
    await rejectsWith(
      () => check({ ...virtual, AWS_ENDPOINT: `http://localhost:${port}` }, 'no-such-bucket'),
      '58P01',
      /bucket does not exist/,
    );
  });

  on('what the server is to encrypt, and the storage class, reach the object, in one part and in many', async () => {
    for (const [name, changes, algorithm] of [
      ['aes', { AWS_SERVER_ENC_MODE: 'AES256', S3_STORAGE_CLASS: 'REDUCED_REDUNDANCY' }, 'AES256'],
      ['kms', { AWS_SERVER_ENC_MODE: 'aws:kms', AWS_SERVER_KMS_ID: 'site-key' }, 'aws:kms'],
    ] as const) {
      const storage = await open(name, changes);
      await writeObject(storage, 'small', 'x');
      await writeObject(storage, 'large', Buffer.alloc(17 * 1024 * 1024, name));
      for (const path of ['small', 'large']) {
        const head = await sdk.send(new HeadObjectCommand({ Bucket: server.bucket, Key: `${name}/${path}` }));
        assert.equal(head.ServerSideEncryption, algorithm);
        if (algorithm === 'AES256') assert.equal(head.StorageClass, 'REDUCED_REDUNDANCY');
        else assert.match(head.SSEKMSKeyId ?? '', /site-key$/);
      }
      assert.equal((await readObject(storage, 'large')).length, 17 * 1024 * 1024);
      await storage.close();
    }
    await rejectsWith(() => check({ S3_STORAGE_CLASS: 'FLOPPY' }), '22023', /does not know the storage class/);
    await rejectsWith(
      () => check({ AWS_SERVER_ENC_MODE: 'aws:kms', AWS_SERVER_KMS_ID: 'no-such-key' }),
      '22023',
      /cannot encrypt as AWS_SERVER_ENC_MODE/,
    );
  });

  on('keys that may not write, not list or not read are refused at the step that needs it', async () => {
    for (const [allowed, text] of [
      [['s3:ListBucket', 's3:GetObject'], /^failed to write a sentinel .* may not write at s3:\/\/pgpier-test\/check$/],
      [['s3:PutObject', 's3:GetObject'], /^failed to list sentinel .* may not list at s3:\/\/pgpier-test\/check$/],
      [['s3:PutObject', 's3:ListBucket'], /^failed to read sentinel .* may not read at s3:\/\/pgpier-test\/check$/],
    ] as const) {
      await rejectsWith(async () => check(await keysThatMay(allowed)), '42501', text);
    }
    const writer = await open('once', await keysThatMay(['s3:PutObject', 's3:ListBucket', 's3:GetObject']));
    await writeObject(writer, 'kept', 'x');
    await rejectsWith(() => writer.delete('kept'), '42501', /may not delete at s3:\/\/pgpier-test\/once$/);
    await writer.close();
  });

  on(
    'places with blanks, quotes, accents and doubled slashes are places; odd buckets do not exist; names that are too long are told',
    async () => {
      for (const path of ['a b/é "q"/100%25', '//double///slash//', 'up/../up2/./x', "it's", '日本', ''])
        await checkStorage({ uri: uriOf(path.replaceAll('?', '%3F')), trusted: true }, settings, AbortSignal.timeout(20_000));
      assert.deepEqual(
        (await sdk.send(new ListObjectsV2Command({ Bucket: server.bucket, Prefix: 'up' }))).Contents?.map(({ Key }) => Key),
        ['up2/x/crdb_external_storage_location'],
      );
      for (const bucket of ['%2e%2e', '..%2fother', 'a%20b', '%C3%A9', 'a%22b', 'UPPER', 'a%3Fb', 'x'])
        await rejectsWith(() => check({}, bucket), '58P01', /bucket does not exist: s3:\/\//);
      const storage = await open('names');
      await rejectsWith(() => writeObject(storage, `${'folder/'.repeat(150)}x`), '22023', /^name too long: /);
      await rejectsWith(() => writeObject(storage, 'x'.repeat(300)), '22023', /^invalid path "x{300}"$/);
      await storage.close();
    },
  );

  it('a clock that is an hour off is no hindrance: the store’s own time is taken', async (t) => {
    if (missing) return t.skip(missing);
    const { endpoint, requests } = await serveBefore(t, server.endpoint, {});
    const { now } = Date;
    t.after(() => {
      Date.now = now;
    });
    for (const hour of [3_600_000, -3_600_000]) {
      Date.now = () => now() + hour;
      requests.length = 0;
      await check({ AWS_ENDPOINT: endpoint });
      const off = requests.map(({ headers }) => Math.round((signedAt(headers['x-amz-date']) - now()) / 3_600_000));
      assert.equal(off[0], hour / 3_600_000);
      assert.ok(off.at(-1) === 0, off.join(' '));
    }
  });

  /** A session of MinIO's STS under a policy of its own. */
  async function keysThatMay(Action: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const sts = new STSClient({
      region,
      endpoint: server.endpoint,
      credentials: { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
    });
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource: ['arn:aws:s3:::*'] }] });
    const { Credentials } = await sts.send(new AssumeRoleCommand({ RoleArn: 'arn:minio:iam:::role/any', RoleSessionName: 'test', Policy }));
    sts.destroy();
    const { AccessKeyId = '', SecretAccessKey = '', SessionToken = '' } = Credentials ?? {};
    return { AWS_ACCESS_KEY_ID: AccessKeyId, AWS_SECRET_ACCESS_KEY: SecretAccessKey, AWS_SESSION_TOKEN: SessionToken };
  }
});

/** `20261128T042854Z` in milliseconds. */
function signedAt(header: string | string[] | undefined): number {
  const [, ...parts] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(String(header)) ?? [];
  const [year = 0, month = 1, day = 0, hour = 0, minute = 0, second = 0] = parts.map(Number);
  return Date.UTC(year, month - 1, day, hour, minute, second);
}

describe('S3 with many objects, on versitygw', { timeout: 60_000 }, () => {
  it('10,000 of them are listed in order, page after page', async (t) => {
    const server = await startS3('versitygw');
    if ('missing' in server) return t.skip(server.missing);
    try {
      // Its objects are files: to put them there is quicker than to send them.
      const paths = Array.from({ length: 10_000 }, (_, index) => `${index % 10}/${String(index).padStart(5, '0')}`).sort();
      for (let folder = 0; folder < 10; folder++) mkdirSync(join(server.folder!, 'many', String(folder)), { recursive: true });
      for (const path of paths) writeFileSync(join(server.folder!, 'many', path), '');
      const access = `AWS_ACCESS_KEY_ID=${server.accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(server.secretKey)}`;
      const uri = `s3://${server.bucket}/many?${access}&AWS_ENDPOINT=${server.endpoint}&AWS_REGION=us-east-1`;
      const storage = await openStorage({ uri, trusted: true }, settings);
      assert.deepEqual(await listPaths(storage, ''), paths);
      assert.deepEqual(
        await listPaths(storage, '9/', '9/05000'),
        paths.filter((path) => path > '9/05000'),
      );
      await storage.close();
    } finally {
      await server.stop();
    }
  });
});
