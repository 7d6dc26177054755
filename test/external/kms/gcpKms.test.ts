/** `gcp-kms` against a fake whose requests and answers are read and written by Google's own definitions (test/servers/googleApis); its refusals are Google's as documented. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { checkKeyService } from '../../../external/kms/check.ts';
import { findKeyService, openKeyService, requireKeyService } from '../../../external/kms/keyServices.ts';
import { redactUri } from '../../../external/redact.ts';
import type { StorageSettings } from '../../../external/storage/storage.ts';
import { parseUri } from '../../../external/uri.ts';
import { type GoogleApis, startGoogleApis } from '../../servers/googleApis.ts';
import { serve, serveTcp } from '../faultServer.ts';
import { rejectsWith } from '../storageContract.ts';
import { runKeyServiceContract } from './keyServiceContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const ring = 'projects/example.com:p-1/locations/europe-west3/keyRings/ring_1/cryptoKeys';
const uriOf = (key: string, endpoint: string, scheme = 'gcp-kms') =>
  `${scheme}:///${ring}/${key}?BEARER_TOKEN=ya29.HUSH&GOOGLE_ENDPOINT=${encodeURIComponent(endpoint)}`;

describe('gcp-kms on a fake', { timeout: 300_000 }, () => {
  let apis: GoogleApis;
  let missing: string | undefined;
  before(async () => {
    const started = await startGoogleApis();
    if ('missing' in started) missing = started.missing;
    else apis = started;
  });
  after(async () => await apis?.stop());

  const open = (key: string, scheme?: string) => openKeyService({ uri: uriOf(key, apis.endpoint, scheme), trusted: true }, settings);
  const check = (key: string) => checkKeyService({ uri: uriOf(key, apis.endpoint), trusted: true }, settings, AbortSignal.timeout(20_000));
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body()));

  runKeyServiceContract('gcp-kms', () => ({
    ...(missing === undefined ? {} : { missing }),
    open,
    secrets: ['HUSH', 'first', 'ring_1'],
  }));

  on('what it encrypts is what Google’s interface decrypts', async () => {
    const service = await open('first');
    const ciphertext = await service.encrypt(Buffer.from('from outside'));
    await service.close();
    const answer = await fetch(`${apis.endpoint}/v1/${ring}/first:decrypt`, {
      method: 'POST',
      headers: { authorization: 'Bearer x' },
      body: JSON.stringify({ ciphertext: ciphertext.toString('base64') }),
    });
    const { plaintext } = (await answer.json()) as { plaintext: string };
    assert.equal(Buffer.from(plaintext, 'base64').toString(), 'from outside');
  });

  on('a version in the name, and the spelling gs:///, lead to the same key', async () => {
    const [one, other] = [await open('first/cryptoKeyVersions/7'), await open('first', 'gs')];
    assert.equal(one.keyId, `${ring}/first`);
    assert.equal(String(await other.decrypt(await one.encrypt(Buffer.from('same')))), 'same');
    await Promise.all([one.close(), other.close()]);
  });

  on('CREATE encrypts and decrypts, and says what is wrong with the key', async () => {
    assert.ok((await check('first')) > 0);
    const frame = 'failed to encrypt marker content when setting up External Connection: ';
    for (const [key, sqlstate, text] of [
      ['missing', '42704', 'gcp-kms:///redacted: there is no such key'],
      ['denied', '42501', 'access denied: these credentials may not encrypt with the key of gcp-kms:///redacted'],
      ['disabled', '55000', 'gcp-kms:///redacted: the key cannot be used (FAILED_PRECONDITION)'],
      ['damaged', '58030', 'gcp-kms:///redacted: the bytes do not agree with their checksum'],
    ] as const)
      await rejectsWith(() => check(key), sqlstate, new RegExp(`^${(frame + text).replace(/[()/]/g, '\\$&')}$`));
  });
});

describe('gcp-kms where the other side is broken', { concurrency: true }, () => {
  const encrypt = async (endpoint: string, trusted = true, signal?: AbortSignal) => {
    const service = await openKeyService({ uri: uriOf('k', endpoint), trusted }, settings);
    try {
      return await service.encrypt(Buffer.from('text'), signal ? { signal } : {});
    } finally {
      await service.close();
    }
  };

  for (const [status, code, sqlstate, text] of [
    [401, 'UNAUTHENTICATED', '28000', /does not accept these credentials \(UNAUTHENTICATED\)$/],
    [429, 'RESOURCE_EXHAUSTED', '53000', /is too busy \(RESOURCE_EXHAUSTED\)$/],
    [400, 'INVALID_ARGUMENT', '58000', /encrypt failed \(INVALID_ARGUMENT, HTTP 400\)$/],
    [404, '', '08P01', /does not answer as Google Cloud KMS does \(HTTP 404\)$/],
    [403, '', '08P01', /does not answer as Google Cloud KMS does \(HTTP 403\)$/],
    [200, '', '08P01', /does not answer as Google Cloud KMS does \(no JSON\)$/],
    [302, '', '08P01', /redirects to another address, which is not followed$/],
  ] as const) {
    it(`${status} ${code || 'with a page'} is ${sqlstate}`, async (t) => {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { 'content-type': 'application/json', location: 'http://169.254.169.254/' });
        response.end(code === '' ? '<html>HUSH' : JSON.stringify({ error: { code: status, message: 'HUSH', status: code } }));
      });
      await rejectsWith(() => encrypt(endpoint), sqlstate, text);
      await assert.rejects(encrypt(endpoint), (error: Error) => !JSON.stringify([error, error.message]).includes('HUSH'));
    });
  }

  it('an answer without the checksums that were asked for is not taken', async (t) => {
    for (const answer of [{ ciphertext: 'eA==' }, { ciphertext: 'eA==', ciphertextCrc32c: '1' }, { verifiedPlaintextCrc32c: true }]) {
      const { endpoint } = await serve(t, (_, response) => response.end(JSON.stringify(answer)));
      await rejectsWith(() => encrypt(endpoint), '08P01', /does not answer as Google Cloud KMS does/);
    }
  });

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

describe('a gcp-kms URI', () => {
  const validate = (text: string, given?: StorageSettings) => requireKeyService(parseUri(text).scheme).validate(parseUri(text), given);
  const key = `${ring}/k`;

  it('is refused in the words of CockroachDB', () => {
    validate(`gcp-kms:///${key}?BEARER_TOKEN=t&ASSUME_ROLE=a@p.iam,b@p.iam`);
    validate(`gs:///${key}/cryptoKeyVersions/1?AUTH=implicit`);
    for (const [text, message] of [
      [`gcp-kms:///${key}`, 'CREDENTIALS or BEARER_TOKEN must be set if "AUTH" is "specified"'],
      [`gcp-kms:///${key}?CREDENTIALS=*`, 'error getting credentials from CREDENTIALS: illegal base64 data at input byte 0'],
      ['gcp-kms:///?BEARER_TOKEN=t', 'path component of the KMS cannot be empty; must contain the Customer Managed Key'],
      [`gcp-kms:///${key}?BEARER_TOKEN=t&REGION=r&INSTANCE=x`, 'unknown KMS query parameters: REGION, INSTANCE'],
      [`gcp-kms:///${key}?AUTH=maybe`, 'unsupported value "maybe" for AUTH'],
      [`gcp-kms://key?BEARER_TOKEN=t`, 'invalid URI: a GCP KMS URI has no host: gcp-kms:///projects/…, with three slashes'],
      ['gcp-kms:///key?BEARER_TOKEN=t', 'the path of a GCP KMS URI must be projects/P/locations/L/keyRings/R/cryptoKeys/K'],
      [`gcp-kms:///${key}%2F..?BEARER_TOKEN=t`, 'the path of a GCP KMS URI must be projects/P/locations/L/keyRings/R/cryptoKeys/K'],
      [`gcp-kms:///${key}:destroy?BEARER_TOKEN=t`, 'the path of a GCP KMS URI must be projects/P/locations/L/keyRings/R/cryptoKeys/K'],
    ] as const)
      assert.throws(() => validate(text), { message }, text);
    assert.equal(findKeyService('gs'), undefined, 'an alias is no scheme of a connection');
  });

  it('is bound by what the operator forbids, and its key and secret are redacted', () => {
    const limits = { ...settings, disableHttp: true, disableImplicitCredentials: true };
    assert.throws(() => validate(`gcp-kms:///${key}?BEARER_TOKEN=t&GOOGLE_ENDPOINT=h`, limits), {
      message: /^custom endpoints disallowed for gcp kms/,
    });
    assert.throws(() => validate(`gcp-kms:///${key}?AUTH=implicit`, limits), { message: /^implicit credentials disallowed for gcp kms/ });
    for (const scheme of ['gcp-kms', 'gs'])
      assert.equal(redactUri(`${scheme}:///${key}?BEARER_TOKEN=HUSH`), `${scheme}:///redacted?BEARER_TOKEN=redacted`);
    const provider = findKeyService('gcp-kms')!;
    assert.equal(provider.requiresImplicitAccess(parseUri(`gcp-kms:///${key}?BEARER_TOKEN=t`)), false);
    assert.equal(provider.requiresImplicitAccess(parseUri(`gcp-kms:///${key}?BEARER_TOKEN=t&GOOGLE_ENDPOINT=h`)), true);
    assert.equal(provider.usesAmbientCredentials(parseUri(`gcp-kms:///${key}?AUTH=implicit`)), true);
  });
});
