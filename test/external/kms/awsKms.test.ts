import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CreateAliasCommand, CreateKeyCommand, DecryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { checkKeyService } from '../../../external/kms/check.ts';
import { findKeyService, openKeyService, requireKeyService } from '../../../external/kms/keyServices.ts';
import { redactUri } from '../../../external/redact.ts';
import type { StorageSettings } from '../../../external/storage/storage.ts';
import { parseUri } from '../../../external/uri.ts';
import { account, type Keys, type Moto, startMoto } from '../../servers/moto.ts';
import { serve, serveTcp } from '../faultServer.ts';
import { rejectsWith } from '../storageContract.ts';
import { runKeyServiceContract } from './keyServiceContract.ts';

const settings: StorageSettings = { nodeId: 3, allowedNetworks: [] };

function uriOf(key: string, endpoint: string, keys: Keys, changes: Readonly<Record<string, string>> = {}, scheme = 'aws-kms'): string {
  const access = { AWS_ACCESS_KEY_ID: keys.accessKey, AWS_SECRET_ACCESS_KEY: keys.secretKey, AWS_ENDPOINT: endpoint, REGION: 'us-east-1' };
  const query = Object.entries({ ...access, ...changes }).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return `${scheme}:///${key}?${query.join('&')}`;
}

describe('aws-kms on moto', { timeout: 120_000 }, () => {
  let moto: Moto;
  let sdk: KMSClient;
  let missing: string | undefined;
  let keeper: Keys;
  const ids: { first: string; second: string } = { first: '', second: '' };
  before(async () => {
    const started = await startMoto();
    if ('missing' in started) {
      missing = started.missing;
      return;
    }
    moto = started;
    keeper = await moto.makeUser('keeper', { Action: ['kms:*', 'sts:AssumeRole'], Resource: '*' });
    sdk = new KMSClient({
      region: 'us-east-1',
      endpoint: moto.endpoint,
      credentials: { accessKeyId: keeper.accessKey, secretAccessKey: keeper.secretKey },
    });
    for (const name of ['first', 'second'] as const) ids[name] = (await sdk.send(new CreateKeyCommand({}))).KeyMetadata!.KeyId!;
    await sdk.send(new CreateAliasCommand({ AliasName: 'alias/backups', TargetKeyId: ids.first }));
    const principal = `arn:aws:iam::${account}:user/keeper`;
    await moto.makeRole('sealer', { Action: 'kms:Encrypt', Resource: '*' }, { principal });
    await moto.makeRole('reader', { Action: 's3:*', Resource: '*' }, { principal });
    await moto.makeRole('others', { Action: 'kms:*', Resource: '*' }, { principal: `arn:aws:iam::${account}:user/somebody` });
    await moto.requireAuthentication();
  });
  after(async () => {
    sdk?.destroy();
    await moto?.stop();
  });

  const open = (key: string, changes: Readonly<Record<string, string>> = {}, keys = keeper, scheme = 'aws-kms') =>
    openKeyService({ uri: uriOf(key, moto.endpoint, keys, changes, scheme), trusted: true }, settings);
  const check = (key: string, changes: Readonly<Record<string, string>> = {}, keys = keeper) =>
    checkKeyService({ uri: uriOf(key, moto.endpoint, keys, changes), trusted: true }, settings, AbortSignal.timeout(20_000));
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  runKeyServiceContract('aws-kms', () => ({
    ...(missing === undefined ? {} : { missing }),
    open: (key) => open(ids[key]),
    secrets: missing === undefined ? [ids.first, keeper.secretKey, keeper.accessKey] : [],
    // Amazon says IncorrectKeyException.
    otherKey: '42501',
  }));

  on('what it encrypts, the vendor’s SDK decrypts', async () => {
    const service = await open(`arn:aws:kms:us-east-1:${account}:key/${ids.first}`);
    const CiphertextBlob = await service.encrypt(Buffer.from('from outside'));
    await service.close();
    const { Plaintext, KeyId } = await sdk.send(new DecryptCommand({ CiphertextBlob }));
    assert.equal(String(Buffer.from(Plaintext!)), 'from outside');
    assert.ok(KeyId!.endsWith(ids.first));
  });

  on('an alias, and the spelling aws:///, lead to the same key', async () => {
    const [one, other] = [await open('alias/backups'), await open(ids.first, {}, keeper, 'aws')];
    assert.equal(String(await other.decrypt(await one.encrypt(Buffer.from('same')))), 'same');
    assert.equal(one.keyId, 'alias/backups');
    await Promise.all([one.close(), other.close()]);
  });

  on('CREATE encrypts and decrypts, and says which of the two failed', async () => {
    await check(ids.first);
    // moto refuses in XML, of which nothing but the status can be told; Amazon's own words are below.
    await rejectsWith(
      () => check(ids.first, { ASSUME_ROLE: `arn:aws:iam::${account}:role/sealer` }),
      '28000',
      /^failed to decrypt marker content when setting up External Connection: .* does not accept these credentials \(HTTP 403\)$/,
    );
    await rejectsWith(
      () => check(ids.first, { ASSUME_ROLE: `arn:aws:iam::${account}:role/reader` }),
      '28000',
      /^failed to encrypt marker content when setting up External Connection: .* does not accept these credentials \(HTTP 403\)$/,
    );
    await rejectsWith(() => check(ids.first, { ASSUME_ROLE: `arn:aws:iam::${account}:role/others` }), '42501', /may not assume the role/);
  });

  on('a wrong secret, a wrong key and a key that is not there are told apart', async () => {
    await rejectsWith(() => check(ids.first, {}, { ...keeper, secretKey: 'wrong' }), '28000', /does not accept these credentials/);
    await rejectsWith(() => check(ids.first, {}, { ...keeper, accessKey: 'AKIANOBODY' }), '28000', /does not accept these credentials/);
    await rejectsWith(() => check('11111111-2222-3333-4444-555555555555'), '42704', /aws-kms:\/\/\/redacted: there is no such key$/);
    await rejectsWith(() => check('alias/nothing'), '42704', /there is no such key$/);
  });
});

describe('aws-kms where the other side is broken', { concurrency: true }, () => {
  const keys = { accessKey: 'AK', secretKey: 'HUSH' };
  const encrypt = async (endpoint: string, trusted = true, signal?: AbortSignal) => {
    const service = await openKeyService({ uri: uriOf('alias/k', endpoint, keys), trusted }, settings);
    try {
      return await service.encrypt(Buffer.from('text'), signal ? { signal } : {});
    } finally {
      await service.close();
    }
  };

  for (const [type, status, sqlstate, text] of [
    ['DisabledException', 400, '55000', /the key cannot be used \(Disabled\)$/],
    ['KMSInvalidStateException', 400, '55000', /the key cannot be used \(KMSInvalidState\)$/],
    ['InvalidKeyUsageException', 400, '22023', /not of a kind that encrypts/],
    ['InvalidSignatureException', 400, '28P01', /does not accept the secret key/],
    ['ExpiredTokenException', 400, '28000', /the session token has expired$/],
    ['UnrecognizedClientException', 400, '28000', /does not accept these credentials \(UnrecognizedClient\)$/],
    ['AccessDeniedException', 400, '42501', /these credentials may not encrypt with the key/],
    ['ThrottlingException', 400, '53000', /is too busy \(Throttling\)$/],
    ['SomethingNewException', 400, '58000', /encrypt failed \(SomethingNew\)$/],
    ['', 404, '08P01', /does not answer as AWS KMS does \(HTTP 404\)$/],
    ['', 200, '08P01', /does not answer as AWS KMS does/],
    ['', 302, '08P01', /redirects to another address, which is not followed$/],
  ] as const) {
    it(`${status} ${type || 'with a page'} is ${sqlstate}`, async (t) => {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(
          status,
          type === '' ? { location: 'http://169.254.169.254/' } : { 'content-type': 'application/x-amz-json-1.1' },
        );
        response.end(type === '' ? '<html>HUSH' : JSON.stringify({ __type: type, message: 'HUSH' }));
      });
      await assert.rejects(encrypt(endpoint), (error: Error & { data: { sqlstate: string } }) => {
        assert.match(error.message, text);
        assert.equal(error.data.sqlstate, sqlstate);
        assert.ok(!JSON.stringify([error, error.message]).includes('HUSH'));
        return true;
      });
    });
  }

  it('addresses are judged, and a server that hangs ends with the statement', async (t) => {
    const endpoint = `http://127.0.0.1:${await serveTcp(t)}`;
    await rejectsWith(() => encrypt(endpoint, false), '42501', /connecting to 127\.0\.0\.1 is not allowed/);
    await rejectsWith(() => encrypt('http://169.254.169.254'), '42501', /link-local or a metadata service$/);
    await rejectsWith(
      () => encrypt(endpoint, true, AbortSignal.timeout(300)),
      '08006',
      /no answer from http:\/\/127\.0\.0\.1:\d+ in time$/,
    );
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    await rejectsWith(() => encrypt(endpoint, true, controller.signal), '57014', /^canceled/);
  });
});

describe('an aws-kms URI', () => {
  const keys = 'AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=HUSH';
  const validate = (text: string, given?: StorageSettings) => requireKeyService(parseUri(text).scheme).validate(parseUri(text), given);

  it('is refused in the words of CockroachDB', () => {
    validate(`aws-kms:///arn:aws:kms:us-east-1:1:key/1?${keys}&REGION=us-east-1`);
    validate('aws:///alias/k?AUTH=implicit&REGION=us-east-1&ASSUME_ROLE=arn:aws:iam::1:role/r');
    for (const [text, message] of [
      [`aws-kms:///alias/k?${keys}`, 'aws kms REGION parameter not specified'],
      [`aws-kms:///?${keys}&REGION=r`, 'path component of the KMS cannot be empty; must contain the Customer Managed Key'],
      [`aws-kms:///k?${keys}&REGION=r&AWS_REGION=r&INSTANCE=x`, 'unknown KMS query parameters: AWS_REGION, INSTANCE'],
      ['aws-kms:///k?REGION=r', "AUTH is set to 'specified', but AWS_ACCESS_KEY_ID is not set"],
      ['aws-kms:///k?REGION=r&AUTH=maybe', 'unsupported value "maybe" for AUTH'],
      [`aws-kms:///k?${keys}&REGION=a.evil.example/`, 'REGION must be the name of a region, such as us-east-1'],
      [`aws-kms://key?${keys}&REGION=r`, 'invalid URI: an AWS KMS URI has no host: aws-kms:///KEY, with three slashes'],
      [`aws-kms:///a%20b?${keys}&REGION=r`, 'the path of an AWS KMS URI must be the ARN or id of a key, or "alias/" and a name'],
      [`aws-kms:///k?${keys}&REGION=r&ASSUME_ROLE=backup`, 'invalid ASSUME_ROLE: a role is named by its ARN'],
    ] as const)
      assert.throws(() => validate(text), { message }, text);
    assert.equal(findKeyService('aws'), undefined, 'an alias is no scheme of a connection');
  });

  it('is bound by what the operator forbids, and its key and secret are redacted', () => {
    const limits = { ...settings, disableHttp: true, disableImplicitCredentials: true };
    assert.throws(() => validate(`aws-kms:///k?${keys}&REGION=r&AWS_ENDPOINT=h`, limits), {
      message: /^custom endpoints disallowed for aws kms/,
    });
    assert.throws(() => validate('aws-kms:///k?AUTH=implicit&REGION=r', limits), {
      message: /^implicit credentials disallowed for aws kms/,
    });
    assert.equal(
      redactUri(`aws-kms:///alias/payroll?${keys}&REGION=r`),
      'aws-kms:///redacted?AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=redacted&REGION=r',
    );
    const provider = findKeyService('aws-kms')!;
    assert.equal(provider.requiresImplicitAccess(parseUri(`aws-kms:///k?${keys}`)), false);
    assert.equal(provider.requiresImplicitAccess(parseUri(`aws-kms:///k?${keys}&AWS_ENDPOINT=h`)), true);
    assert.equal(provider.usesAmbientCredentials(parseUri('aws-kms:///k?AUTH=implicit')), true);
  });
});
