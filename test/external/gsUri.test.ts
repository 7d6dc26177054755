import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { redactUri } from '../../external/redact.ts';
import { parseGsUri } from '../../external/storage/gsUri.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { findStorage } from '../../external/storage/storages.ts';
import { parseUri } from '../../external/uri.ts';
import { serviceAccount } from './serviceAccount.ts';

const google = 'https://oauth2.googleapis.com/token';
const credentials = (changes: object = {}): string => `CREDENTIALS=${encodeURIComponent(serviceAccount(google, changes))}`;

function refuses(text: string, message: string | RegExp, sqlstate = '22023', settings?: Partial<StorageSettings>): void {
  assert.throws(
    () => parseGsUri(parseUri(text), settings),
    (error: unknown) => {
      assert.ok(error instanceof PgPierError, String(error));
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.equal(error.data.sqlstate, sqlstate);
      assert.doesNotMatch(JSON.stringify(error.data), /HUSH|PRIVATE KEY/);
      return true;
    },
  );
}

describe('a gs URI', () => {
  it('is refused in the words of CockroachDB', () => {
    refuses('gs:///p?BEARER_TOKEN=t', 'empty host component; gs URI must specify a target bucket');
    refuses('gs://b', 'CREDENTIALS must be set unless "AUTH" is "implicit"');
    refuses('gs://b?AUTH=specified', 'CREDENTIALS must be set unless "AUTH" is "implicit"');
    refuses('gs://b?CREDENTIALS=!HUSH', 'error getting credentials from CREDENTIALS: illegal base64 data at input byte 0');
    refuses('gs://b?AUTH=IMPLICIT', 'unsupported value "IMPLICIT" for AUTH');
    refuses('gs://b?BEARER_TOKEN=t&partition_format=daily&AWS_REGION=x', 'unknown GS query parameters: partition_format, AWS_REGION');
    refuses(
      'gs://b?BEARER_TOKEN=t&GOOGLE_ENDPOINT=h',
      'custom endpoints disallowed for gs due to --external-io-disable-http flag',
      '42501',
      { disableHttp: true },
    );
    refuses(
      'gs://b?AUTH=implicit',
      'implicit credentials disallowed for gs due to --external-io-disable-implicit-credentials flag',
      '42501',
      { disableImplicitCredentials: true },
    );
  });

  it('is refused where a value makes no sense, and no secret is told', () => {
    refuses('gs://b?AUTH=default', /^AUTH=default needs the setting cloudstorage\.gs\.default\.key, which PgPier does not have$/);
    for (const [changes, reason] of [
      [{ type: 'external_account' }, 'its type is not "service_account"'],
      [{ type: 'authorized_user' }, 'its type is not "service_account"'],
      [{ client_email: '' }, 'it has no client_email'],
      [{ private_key: undefined }, 'it has no private_key'],
      [{ private_key: 'HUSH' }, 'its private_key is not an RSA key in PEM'],
      [{ token_uri: 'file:///etc/passwd' }, 'its token_uri is not a plain http(s) URL'],
      [{ token_uri: 'https://u:HUSH@h/' }, 'its token_uri is not a plain http(s) URL'],
      [{ token_uri: 'no' }, 'its token_uri is not a URL'],
    ] as const)
      refuses(`gs://b?${credentials(changes)}`, `error getting credentials from CREDENTIALS: ${reason}`);
    refuses(`gs://b?CREDENTIALS=${Buffer.from('HUSH').toString('base64')}`, 'error getting credentials from CREDENTIALS: it is not JSON');
    refuses(`gs://b?CREDENTIALS=${Buffer.from('null').toString('base64')}`, /its type is not/);
    refuses(
      `gs://b?${credentials({ universe_domain: 'elsewhere.example' })}`,
      /^a universe_domain other than googleapis\.com is not supported/,
      '0A000',
    );
    refuses('gs://b?BEARER_TOKEN=HUSH%20HUSH', /^BEARER_TOKEN is no access token/);
    refuses('gs://b?BEARER_TOKEN=a%0d%0aHUSH:', /^BEARER_TOKEN is no access token/);
    for (const role of ['a', 'a@b,', 'a@b;external_id=1', 'projects/-/x@y', 'a@b,c@d/e']) {
      refuses(`gs://b?BEARER_TOKEN=t&ASSUME_ROLE=${encodeURIComponent(role)}`, /^ASSUME_ROLE must be the address of a service account/);
    }
    for (const endpoint of ['http://u:p@h', 'http://h/path', 'http://', 'ftp://h']) {
      refuses(`gs://b?BEARER_TOKEN=t&GOOGLE_ENDPOINT=${encodeURIComponent(endpoint)}`, /^GOOGLE_ENDPOINT must be a host or a URL/);
    }
    refuses('gs://b?BEARER_TOKEN=t&GOOGLE_BILLING_PROJECT=a%26b', /^GOOGLE_BILLING_PROJECT must be/);
    refuses('gs://u@b?BEARER_TOKEN=t', /no user before the bucket/);
  });

  it('becomes what the client needs', () => {
    const { login, ...place } = parseGsUri(
      parseUri(`gs://my b/a/../c//d/?${credentials()}&GOOGLE_BILLING_PROJECT=p-1&ASSUME_ROLE=x@p.iam,%20y@p.iam`),
    );
    assert.deepEqual(place, { bucket: 'my b', prefix: 'c/d', billingProject: 'p-1' });
    assert.deepEqual(login.chain, ['x@p.iam', 'y@p.iam']);
    assert.ok(login.credentials.kind === 'key');
    const { privateKey, ...key } = login.credentials.key;
    assert.deepEqual(key, { email: 'a@p.iam.gserviceaccount.com', tokenUri: google });
    assert.match(privateKey, /^-----BEGIN PRIVATE KEY-----/);
    assert.deepEqual(parseGsUri(parseUri(`gs://b?${credentials({ token_uri: undefined, private_key_id: 'k' })}`)).login.credentials, {
      kind: 'key',
      key: { ...key, privateKey, keyId: 'k' },
    });
    assert.deepEqual(parseGsUri(parseUri('gs://b?AUTH=implicit&GOOGLE_ENDPOINT=fake:4443&COCKROACH_LOCALITY=default')), {
      bucket: 'b',
      prefix: '',
      login: { credentials: { kind: 'implicit' }, chain: [] },
      endpoint: 'https://fake:4443',
    });
    // A "+" that was not escaped arrives as a blank.
    const plain = serviceAccount(google, { note: '>>>???~~~' });
    assert.ok(plain.includes('+'));
    assert.equal(parseGsUri(parseUri(`gs://b?CREDENTIALS=${plain}`)).login.credentials.kind, 'key');
  });

  it('needs the implicit-access privilege with ambient credentials, an endpoint or a token server of its own', () => {
    const gs = findStorage('gs')!;
    const asks = (query: string) => gs.requiresImplicitAccess(parseUri(`gs://b?${query}`));
    assert.equal(asks('BEARER_TOKEN=t'), false);
    assert.equal(asks(credentials()), false);
    assert.equal(asks(credentials({ token_uri: 'https://accounts.google.com/o/oauth2/token' })), false);
    assert.equal(asks('CREDENTIALS=nonsense'), false);
    assert.equal(asks('AUTH=implicit'), true);
    assert.equal(asks('BEARER_TOKEN=t&GOOGLE_ENDPOINT=h'), true);
    for (const token_uri of ['https://evil.example/token', 'http://oauth2.googleapis.com/token', 'https://googleapis.com.evil.example/']) {
      assert.equal(asks(credentials({ token_uri })), true, token_uri);
      refuses(`gs://b?${credentials({ token_uri })}`, /^custom endpoints disallowed for gs/, '42501', { disableHttp: true });
    }
    assert.deepEqual(
      [gs.usesAmbientCredentials(parseUri('gs://b?AUTH=implicit')), gs.usesAmbientCredentials(parseUri('gs://b'))],
      [true, false],
    );
  });

  it('leads where its bucket, its endpoint and its token server are', () => {
    const place = (query: string) => findStorage('gs')!.placeParameters!(parseUri(`gs://b?${query}`));
    assert.deepEqual(place(credentials()), {});
    assert.deepEqual(place('AUTH=implicit&GOOGLE_ENDPOINT=fake:4443'), { GOOGLE_ENDPOINT: 'https://fake:4443' });
    assert.deepEqual(place(credentials({ token_uri: 'https://tokens.example/path' })), { token_uri: 'https://tokens.example' });
  });

  it('is shown without its secrets', () => {
    assert.equal(
      redactUri('gs://b/p?CREDENTIALS=HUSH&BEARER_TOKEN=HUSH&ASSUME_ROLE=a@b'),
      'gs://b/p?ASSUME_ROLE=a%40b&BEARER_TOKEN=redacted&CREDENTIALS=redacted',
    );
    assert.equal(redactUri('gs://?CREDENTIALS=HUSH'), 'gs://?CREDENTIALS=redacted');
  });
});
