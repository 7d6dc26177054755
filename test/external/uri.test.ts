/** Expected values are those of Go's net/url (go1.26), but where the title says that we differ. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { redactUri } from '../../external/redact.ts';
import { formatUri, parameter, parseUri, withSubPath } from '../../external/uri.ts';

function refuses(work: () => unknown, text: RegExp, sqlstate = '22023'): void {
  assert.throws(work, (error: unknown) => {
    assert.ok(error instanceof PgPierError, String(error));
    assert.match(error.message, text);
    assert.equal(error.data.sqlstate, sqlstate);
    return true;
  });
}

describe('a URI is read as Go reads it', () => {
  it('scheme, host, path and query fall apart, the query stays as written', () => {
    const uri = parseUri('S3://bucket/a%20b/c?AWS_REGION=x&K={a b}&E=&K=2&flag');
    assert.equal(uri.scheme, 's3');
    assert.equal(uri.host, 'bucket');
    assert.equal(uri.path, '/a b/c');
    assert.equal(uri.query, 'AWS_REGION=x&K={a b}&E=&K=2&flag');
    assert.deepEqual(uri.parameters, [
      ['AWS_REGION', 'x'],
      ['K', '{a b}'],
      ['E', ''],
      ['K', '2'],
      ['flag', ''],
    ]);
    assert.equal(parameter(uri, 'K'), '{a b}');
    assert.equal(parameter(uri, 'k'), undefined);
  });

  it('hosts may be lists of brokers, bracketed addresses, and names with blanks or accents', () => {
    assert.equal(parseUri('kafka://a:9092,b:9092,c:1').host, 'a:9092,b:9092,c:1');
    assert.equal(parseUri('kafka://[::1]:9092').host, '[::1]:9092');
    assert.equal(parseUri('s3://my bucket/x').host, 'my bucket');
    assert.equal(parseUri('external://a%2Fb%20%C3%A9/x').host, 'a/b é');
    assert.equal(parseUri('nodelocal:///foo').host, '');
    assert.equal(parseUri('gcp-kms:///projects/p').path, '/projects/p');
    assert.deepEqual(
      [parseUri('postgres://u:p%40@h:5432/db').userinfo, parseUri('postgres://u:p%40@h:5432/db').host],
      ['u:p%40', 'h:5432'],
    );
  });

  it('.. and doubled slashes stay; + is a blank in the query alone', () => {
    const uri = parseUri('nodelocal://1/a/../..//b+c?x=d+e%2B');
    assert.equal(uri.path, '/a/../..//b+c');
    assert.equal(parameter(uri, 'x'), 'd e+');
  });

  it('what was read prints again as it was written', () => {
    for (const text of [
      'nodelocal://1/foo',
      's3://b',
      's3://b/p%2Fq/r?AWS_SECRET_ACCESS_KEY=a%2Bb&X={ }',
      'kafka://a:9092,b:9092?topic_prefix=bar_',
      'gcp-kms:///k?AUTH=implicit',
      'external://a%2Fb%20c/x',
    ]) {
      assert.equal(formatUri(parseUri(text)), text);
    }
  });

  it('mistakes are named without a value of theirs', () => {
    refuses(() => parseUri('bucket/path'), /^invalid URI: it has no scheme/);
    refuses(() => parseUri(''), /no scheme/);
    refuses(() => parseUri('s3:bucket'), /"\/\/" is missing after "s3:"/);
    refuses(() => parseUri('1s3://b'), /no scheme/);
    refuses(() => parseUri('s3://b/\u0001'), /control character/);
    for (const text of ['s3://b/a%00b', 's3://b/a%0a', 's3://a%7fb/']) refuses(() => parseUri(text), /percent-encoded control character/);
    refuses(() => parseUri('s3://b/%zz'), /percent-encoding in the path/);
    refuses(() => parseUri('s3://b/%ff'), /percent-encoding in the path/);
    refuses(() => parseUri('kafka://h:port'), /invalid port/);
    refuses(() => parseUri('kafka://a:9092,b'), /invalid port/);
    refuses(() => parseUri('s3://b<c|d/x'), /invalid character in host/);
    for (const text of [
      's3://b/p?AWS_SECRET_ACCESS_KEY=HUSH%zz',
      's3://b/p?AWS_SECRET_ACCESS_KEY=HUSH;X',
      's3://b/p?AWS_SECRET_ACCESS_KEY=HUSH#X',
      's3://b/p?HUSH%zz',
      'HUSH',
      'postgres://u:HUSH@h:x/',
    ]) {
      assert.throws(
        () => parseUri(text),
        (error: Error) => !error.message.includes('HUSH'),
      );
    }
  });
});

describe('the path behind external://name', () => {
  const stored = parseUri('s3://b/team/a?K=v');
  const joined = (sub: string) => formatUri(withSubPath(stored, sub));

  it('is joined to the stored one and cleaned, the stored query stays', () => {
    assert.equal(joined(''), 's3://b/team/a?K=v');
    assert.equal(joined('/x//y/../z é'), 's3://b/team/a/x/z%20%C3%A9?K=v');
    assert.equal(formatUri(withSubPath(parseUri('s3://b'), '/x')), 's3://b/x');
  });

  it('does not leave the stored path, unlike the original', () => {
    refuses(() => joined('/../b'), /outside the path/, '42501');
    refuses(() => joined('/../../..'), /outside the path/, '42501');
    refuses(() => joined('/../a-b'), /outside the path/, '42501');
    refuses(() => withSubPath(parseUri('nodelocal://1'), '/../x'), /outside the path/, '42501');
  });
});

describe('a redacted URI', () => {
  it("is CockroachDB's, letter by letter", () => {
    assert.equal(
      redactUri('azure-storage://bucket/path?AZURE_ACCOUNT_NAME=foo&AZURE_ACCOUNT_KEY=Zm9vCg==&AZURE_ENVIRONMENT=AzureUSGovernmentCloud'),
      'azure-storage://bucket/path?AZURE_ACCOUNT_KEY=redacted&AZURE_ACCOUNT_NAME=foo&AZURE_ENVIRONMENT=AzureUSGovernmentCloud',
    );
    assert.equal(
      redactUri('gcp-kms:///cmk?AUTH=specified&BEARER_TOKEN=c29tZXRoaW5n'),
      'gcp-kms:///redacted?AUTH=specified&BEARER_TOKEN=redacted',
    );
    assert.equal(
      redactUri(
        'kafka://broker.address.com:9092?topic_prefix=bar_&tls_enabled=true&ca_cert=Zm9vCg==&sasl_enabled=true&sasl_user=fake_user&sasl_password=fake_password&sasl_mechanism=SCRAM-SHA-256',
      ),
      'kafka://broker.address.com:9092?ca_cert=redacted&sasl_enabled=true&sasl_mechanism=SCRAM-SHA-256&sasl_password=redacted&sasl_user=fake_user&tls_enabled=true&topic_prefix=bar_',
    );
  });

  it('has sorted keys and percent-encoded values, as url.Values.Encode prints them', () => {
    assert.equal(
      redactUri('s3://b/p?b=x/y z~&a=*é&B=1&a=2&AWS_SESSION_TOKEN='),
      's3://b/p?AWS_SESSION_TOKEN=redacted&B=1&a=%2A%C3%A9&a=2&b=x%2Fy+z~',
    );
  });

  it('hides more than the original: client secrets, passwords before the host, misspelt names', () => {
    const text = redactUri(
      'postgres://u:HUSH@h/db?sslinline=HUSH&sasl_client_secret=HUSH&aws_secret_access_key=HUSH&AWS_SECRET_ACCESS_KEY=HUSH&AWS_SECRET_ACCESS_KEY=HUSH',
    );
    assert.doesNotMatch(text, /HUSH/);
    assert.match(text, /^postgres:\/\/u:redacted@h\/db\?/);
    assert.equal(redactUri('aws-kms:///HUSH?AWS_ACCESS_KEY_ID=id'), 'aws-kms:///redacted?AWS_ACCESS_KEY_ID=id');
    assert.equal(redactUri('gs:///HUSH'), 'gs:///redacted');
    assert.equal(redactUri('https://ann:HUSH@h:1/p?sig=HUSH&x=HUSH&sig=HUSH'), 'https://ann:redacted@h:1/p?sig=redacted&x=redacted');
    assert.equal(redactUri('http://HUSH@h/p'), 'http://redacted@h/p');
  });

  it('of what cannot be read is an error without the text', () => {
    refuses(() => redactUri('HUSH'), /^failed to redact the URI: invalid URI: it has no scheme/);
  });
});
