/** ASSUME_ROLE and implicit credentials against moto, which checks policies, trust and external ids, and against MinIO's own STS. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateBucketCommand } from '@aws-sdk/client-s3';
import { AssumeRoleCommand, STSClient } from '@aws-sdk/client-sts';
import { checkStorage } from '../../external/storage/check.ts';
import { openFollowed } from '../../external/storage/followedStorage.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { account, type Keys, type Moto, startMoto } from '../servers/moto.ts';
import { type S3Server, startS3, testClient } from '../servers/s3.ts';
import { type Relayed, serve, serveBefore, serveTcp } from './faultServer.ts';
import { readObject, rejectsWith, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 7, allowedNetworks: [] };
const everything = { Action: 's3:*', Resource: '*' };

function uriOf(endpoint: string, keys: Keys | 'implicit', changes: Readonly<Record<string, string>>, bucket = 'lake'): string {
  const access = keys !== 'implicit' ? { AWS_ACCESS_KEY_ID: keys.accessKey, AWS_SECRET_ACCESS_KEY: keys.secretKey } : { AUTH: 'implicit' };
  const parameters = { ...access, AWS_ENDPOINT: endpoint, AWS_REGION: 'us-east-1', ...changes };
  return `s3://${bucket}/roles?${Object.entries(parameters)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')}`;
}

describe('ASSUME_ROLE on moto', { timeout: 120_000 }, () => {
  let moto: Moto;
  let caller: Keys;
  let missing: string | undefined;
  const role = (name: string) => `arn:aws:iam::${account}:role/${name}`;
  before(async () => {
    const started = await startMoto();
    if ('missing' in started) {
      missing = started.missing;
      return;
    }
    moto = started;
    const sdk = testClient({ endpoint: moto.endpoint, accessKey: 'x', secretKey: 'x' });
    await sdk.send(new CreateBucketCommand({ Bucket: 'lake' }));
    sdk.destroy();
    // The caller may assume roles, and nothing at all in S3.
    caller = await moto.makeUser('caller', { Action: 'sts:AssumeRole', Resource: '*' });
    const principal = `arn:aws:iam::${account}:user/caller`;
    await moto.makeRole('storage', everything, { principal });
    await moto.makeRole('guarded', everything, { principal, externalId: 'the=id+1/2' });
    await moto.makeRole('reader', { Action: ['s3:Get*', 's3:List*'], Resource: '*' }, { principal });
    await moto.makeRole('others', everything, { principal: `arn:aws:iam::${account}:user/somebody` });
    await moto.makeRole('middle', { Action: 'sts:AssumeRole', Resource: '*' }, { principal });
    // Trusts nobody but a session of `middle` under the name that this node gives itself.
    await moto.makeRole('last', everything, { principal: `arn:aws:sts::${account}:assumed-role/middle/pgpier-7`, externalId: 'last-id' });
    await moto.requireAuthentication();
  });
  after(() => moto?.stop());

  const check = (changes: Readonly<Record<string, string>>, keys: Keys | 'implicit' = caller) =>
    checkStorage({ uri: uriOf(moto.endpoint, keys, changes), trusted: true }, settings, AbortSignal.timeout(20_000));
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  on('a role reaches what its caller alone does not', async () => {
    await rejectsWith(() => check({}), '42501', /these credentials may not write at s3:\/\/lake\/roles$/);
    await check({ ASSUME_ROLE: role('storage') });
  });

  on('a chain is walked to its last role, each with the credentials of the one before', async () => {
    await check({ ASSUME_ROLE: `${role('middle')},${role('last')};external_id=last-id` });
    await rejectsWith(
      () => check({ ASSUME_ROLE: `${role('last')};external_id=last-id` }),
      '42501',
      /may not assume the role .*role\/last with this external_id$/,
    );
    await rejectsWith(() => check({ ASSUME_ROLE: role('middle') }), '42501', /these credentials may not write at/);
  });

  on('the external id is the one that the role asks for', async () => {
    await check({ ASSUME_ROLE: `${role('guarded')};external_id=the=id+1/2` });
    await rejectsWith(
      () => check({ ASSUME_ROLE: `${role('guarded')};external_id=another` }),
      '42501',
      /^failed to write a sentinel ExternalStorage file: access denied: these credentials may not assume the role arn:aws:iam::\d+:role\/guarded with this external_id$/,
    );
    // moto lets pass who names none; Amazon does not.
  });

  on('a role that trusts others, no role, a wrong secret and a wrong key are told apart from what a role may not do', async () => {
    await rejectsWith(() => check({ ASSUME_ROLE: role('others') }), '42501', /may not assume the role arn:aws:iam::\d+:role\/others$/);
    await rejectsWith(() => check({ ASSUME_ROLE: role('reader') }), '42501', /these credentials may not write at s3:\/\/lake\/roles$/);
    await rejectsWith(
      () => check({ ASSUME_ROLE: role('storage') }, { ...caller, secretKey: 'wrong' }),
      '28P01',
      /http:\/\/[^ ]+ does not accept the secret key/,
    );
    await rejectsWith(
      () => check({ ASSUME_ROLE: role('storage') }, { ...caller, accessKey: 'AKIANOBODY' }),
      '28000',
      /http:\/\/[^ ]+ does not accept these credentials \(InvalidClientTokenId\)$/,
    );
  });

  on('implicit credentials come from the environment and from a profile, which may be rewritten, and can assume roles', async () => {
    const storage = { ASSUME_ROLE: role('storage') };
    await withEnvironment({ AWS_ACCESS_KEY_ID: caller.accessKey, AWS_SECRET_ACCESS_KEY: caller.secretKey }, () =>
      check(storage, 'implicit'),
    );
    const home = mkdtempSync(join(tmpdir(), 'pgp-aws-'));
    const file = join(home, 'credentials');
    const profile = (secret: string) =>
      writeFileSync(file, `[backup]\naws_access_key_id = ${caller.accessKey}\naws_secret_access_key = ${secret}\n`);
    try {
      await withEnvironment({ AWS_PROFILE: 'backup', AWS_SHARED_CREDENTIALS_FILE: file, AWS_EC2_METADATA_DISABLED: 'true' }, async () => {
        await rejectsWith(() => check(storage, 'implicit'), '28000', /AUTH=implicit: no credentials were found/);
        profile('wrong');
        await rejectsWith(() => check(storage, 'implicit'), '28P01', /does not accept the secret key/);
        profile(caller.secretKey);
        await check(storage, 'implicit');
      });
    } finally {
      rmSync(home, { recursive: true });
    }
  });

  it('implicit credentials come from the metadata of an instance and of a container', async (t) => {
    if (missing) return t.skip(missing);
    // Behind the relay is moto's metadata service, and moto's S3, which refuses the key that the metadata tell.
    const { endpoint, requests } = await serveBefore(t, moto.endpoint, {});
    const refused = (more: Readonly<Record<string, string>>, key: string) =>
      withEnvironment(more, () =>
        rejectsWith(
          () => checkStorage({ uri: uriOf(endpoint, 'implicit', {}), trusted: true }, settings, AbortSignal.timeout(20_000)),
          '28000',
          new RegExp(`does not accept these credentials \\(${key}\\)$`),
        ),
      );
    await refused({ AWS_EC2_METADATA_SERVICE_ENDPOINT: endpoint }, 'InvalidAccessKeyId');
    const paths = requests.map(({ method, url }) => `${method} ${url}`);
    assert.ok(paths.includes('GET /latest/meta-data/iam/security-credentials/default-role'), paths.join('; '));
    const put = requests.find(({ method, url }) => method === 'PUT' && url.startsWith('/lake/'));
    assert.match(put?.headers.authorization ?? '', /Credential=test-key\//);
    assert.equal(put?.headers['x-amz-security-token'], 'test-session-token');

    const container = await serve(t, (request, response) => {
      const wanted = request.headers.authorization === 'Bearer of-the-pod';
      const body = { AccessKeyId: caller.accessKey, SecretAccessKey: caller.secretKey, Token: 't', Expiration: '2099-01-01T00:00:00Z' };
      response.writeHead(wanted ? 200 : 403, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    requests.length = 0;
    await refused(
      { AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.endpoint}/keys`, AWS_CONTAINER_AUTHORIZATION_TOKEN: 'Bearer of-the-pod' },
      'InvalidToken',
    );
    assert.deepEqual(container.requests, ['GET /keys']);
    await rejectsWith(
      () =>
        withEnvironment({ AWS_CONTAINER_CREDENTIALS_FULL_URI: `${container.endpoint}/keys` }, () =>
          checkStorage({ uri: uriOf(endpoint, 'implicit', {}), trusted: true }, settings, AbortSignal.timeout(20_000)),
        ),
      '28000',
      /AUTH=implicit: no credentials were found/,
    );
  });
});

describe('ASSUME_ROLE on MinIO', { timeout: 120_000 }, () => {
  let minio: S3Server;
  let missing: string | undefined;
  before(async () => {
    const started = await startS3('minio');
    if ('missing' in started) missing = started.missing;
    else minio = started;
  });
  after(() => minio?.stop());

  const anyRole = 'arn:minio:iam:::role/any';
  const uri = (endpoint: string, changes: Readonly<Record<string, string>> = { ASSUME_ROLE: anyRole }) =>
    uriOf(endpoint, minio, changes, minio.bucket);
  const isSts = ({ method, url }: Relayed) => method === 'POST' && url === '/';
  /** MinIO gives keys for an hour; here they say that they end in a second more than the five minutes at which new ones are asked for. */
  const soon = (request: Relayed, body: Buffer) => {
    const end = new Date(Date.now() + 301_000).toISOString();
    return isSts(request) ? Buffer.from(String(body).replace(/<Expiration>[^<]*/, `<Expiration>${end}`)) : body;
  };

  it('keys that end are renewed in the middle of an object', async (t) => {
    if (missing) return t.skip(missing);
    const { endpoint, requests } = await serveBefore(t, minio.endpoint, { answer: soon });
    const storage = await openStorage({ uri: uri(endpoint), trusted: true }, settings);
    const bytes = Buffer.alloc(26 * 1024 * 1024, 'renewed');
    const writer = await storage.write('long');
    for (let at = 0; at < bytes.length; at += 9 * 1024 * 1024) {
      await writer.write(bytes.subarray(at, at + 9 * 1024 * 1024));
      await sleep(1_500);
    }
    await writer.finish();
    assert.ok(bytes.equals(await readObject(storage, 'long')));
    await storage.close();
    const assumed = requests.filter(isSts);
    assert.ok(assumed.length >= 3, `${assumed.length} times`);
    assert.equal(new URLSearchParams(String(assumed[0]!.body)).get('RoleSessionName'), 'pgpier-7');
    const tokens = new Set(requests.filter(({ url }) => url.includes('partNumber=')).map(({ headers }) => headers['x-amz-security-token']));
    assert.ok(tokens.size >= 2 && !tokens.has(undefined), `${tokens.size} tokens`);
  });

  it('what is good goes on while STS is busy, and ends when STS says no', async (t) => {
    if (missing) return t.skip(missing);
    let instead: readonly [number, string] | undefined;
    const { endpoint } = await serveBefore(t, minio.endpoint, {
      answer: soon,
      instead: (request) => (isSts(request) ? instead : undefined),
    });
    const storage = await openStorage({ uri: uri(endpoint), trusted: true }, settings);
    await writeObject(storage, 'first', '1');
    await sleep(1_200);
    instead = [503, ''];
    await writeObject(storage, 'second', '2');
    instead = [403, '<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>'];
    await rejectsWith(() => writeObject(storage, 'third', '3'), '42501', /may not assume the role arn:minio:iam:::role\/any$/);
    instead = undefined;
    await writeObject(storage, 'third', '3');
    assert.equal(String(await readObject(storage, 'second')), '2');
    await storage.close();
  });

  it('a token that has expired is what a second set of credentials is for', async (t) => {
    if (missing) return t.skip(missing);
    const expired = '<?xml version="1.0"?><Error><Code>ExpiredToken</Code></Error>';
    const { endpoint } = await serveBefore(t, minio.endpoint, {
      instead: ({ headers }) => (headers['x-amz-security-token'] === 'old' ? [400, expired] : undefined),
    });
    const target = {
      uri: uri(endpoint, { AWS_SESSION_TOKEN: 'old' }),
      trusted: true,
      connection: { id: randomUUID(), name: 'c', owner: 10, version: '1' },
      fallback: { uri: uri(endpoint, {}), trusted: true },
    };
    const notices: string[] = [];
    const follower = { resolve: async () => target, notice: ({ message }: { message: string }) => void notices.push(message) };
    const storage = await openFollowed(target, settings, follower);
    await writeObject(storage, 'second-set', 'x');
    assert.equal(storage.credentials, 'second');
    assert.deepEqual(notices, ['the credentials of external connection c were refused: its second set is used']);
    await storage.close();
  });

  it('a session token works, and a wrong one is refused', async (t) => {
    if (missing) return t.skip(missing);
    const sts = new STSClient({
      region: 'us-east-1',
      endpoint: minio.endpoint,
      credentials: { accessKeyId: minio.accessKey, secretAccessKey: minio.secretKey },
    });
    const { Credentials: keys } = await sts.send(new AssumeRoleCommand({ RoleArn: anyRole, RoleSessionName: 'test' }));
    sts.destroy();
    const temporary = { accessKey: keys!.AccessKeyId!, secretKey: keys!.SecretAccessKey! };
    const check = (token: string) =>
      checkStorage(
        { uri: uriOf(minio.endpoint, temporary, { AWS_SESSION_TOKEN: token }, minio.bucket), trusted: true },
        settings,
        AbortSignal.timeout(20_000),
      );
    await check(keys!.SessionToken!);
    await rejectsWith(() => check(`${keys!.SessionToken}x`), '28000', /does not accept these credentials \(InvalidTokenId\)$/);
  });
});

describe('ASSUME_ROLE where STS is broken', { concurrency: true }, () => {
  const keys = { accessKey: 'AK', secretKey: 'SECRET' };
  const anyRole = { ASSUME_ROLE: 'arn:aws:iam::1:role/r' };
  const check = (endpoint: string, signal = AbortSignal.timeout(30_000), trusted = true) =>
    checkStorage({ uri: uriOf(endpoint, keys, anyRole), trusted }, settings, signal);
  const refusing = (t: TestContext, status: number, code: string) =>
    serve(t, (_, response) => {
      response.writeHead(status, { 'content-type': 'text/xml' });
      response.end(
        code === '' ? '<html>SECRET page' : `<ErrorResponse><Error><Code>${code}</Code><Message>SECRET</Message></Error></ErrorResponse>`,
      );
    });

  for (const [status, code, sqlstate, text] of [
    [403, 'ExpiredTokenException', '28000', /does not accept these credentials: the session token has expired$/],
    [403, 'InvalidClientTokenId', '28000', /does not accept these credentials \(InvalidClientTokenId\)$/],
    [403, 'SignatureDoesNotMatch', '28P01', /does not accept the secret key/],
    [403, 'RequestTimeTooSkewed', '28000', /finds this machine's clock too far from its own$/],
    [404, 'NoSuchEntity', '42704', /http:\/\/[\w.:]+ has no role arn:aws:iam::1:role\/r$/],
    [400, 'ValidationError', '22023', /does not take arn:aws:iam::1:role\/r for a role \(ValidationError\)$/],
    [405, 'MethodNotAllowed', '58000', /assuming the role arn:aws:iam::1:role\/r failed \(MethodNotAllowed\)$/],
    [307, '', '08P01', /redirects to another address, which is not followed$/],
    [503, '', '53000', /is too busy/],
    [200, '', '08P01', /does not answer as STS does \(HTTP 200\)$/],
    [404, '', '08P01', /does not answer as STS does \(HTTP 404\)$/],
  ] as const) {
    it(`${status} ${code || 'with a page'} is ${sqlstate}`, async (t) => {
      const { endpoint } = await refusing(t, status, code);
      await assert.rejects(check(endpoint), (error: Error & { data: { sqlstate: string } }) => {
        assert.match(error.message, text);
        assert.equal(error.data.sqlstate, sqlstate);
        assert.ok(!JSON.stringify([error, error.message]).includes('SECRET'));
        return true;
      });
    });
  }

  it('one that hangs is given up, or ends with the statement, and one that nobody may reach is refused', async (t) => {
    const endpoint = `http://127.0.0.1:${await serveTcp(t)}`;
    const started = Date.now();
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await rejectsWith(() => check(endpoint, controller.signal), '57014', /canceled/);
    assert.ok(Date.now() - started < 3_000, `${Date.now() - started} ms`);
    await rejectsWith(() => check(endpoint), '08006', /no answer from http:\/\/127\.0\.0\.1:\d+ in time$/);
    assert.ok(Date.now() - started < 15_000, `${Date.now() - started} ms`);
    await rejectsWith(() => check(endpoint, undefined, false), '42501', /connecting to 127\.0\.0\.1 is not allowed/);
    await rejectsWith(() => check('http://169.254.169.254'), '42501', /link-local or a metadata service$/);
  });
});

/** The SDK looks at the environment when credentials are asked for. Nothing of the machine's own may answer in its place. */
async function withEnvironment(values: Readonly<Record<string, string>>, work: () => Promise<void>): Promise<void> {
  const saved = { ...process.env };
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) delete process.env[name];
  const none = join(tmpdir(), 'pgp-no-such-file');
  Object.assign(process.env, { AWS_SHARED_CREDENTIALS_FILE: none, AWS_CONFIG_FILE: none }, values);
  try {
    await work();
  } finally {
    for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
    Object.assign(process.env, saved);
  }
}
