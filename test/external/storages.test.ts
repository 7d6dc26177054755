import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { stsEndpoint } from '../../external/aws/awsUri.ts';
import { authorityOf } from '../../external/azure/environments.ts';
import { redactUri } from '../../external/redact.ts';
import { azurePlace, parseAzureUri } from '../../external/storage/azureUri.ts';
import { parseHttpUri } from '../../external/storage/httpUri.ts';
import { parseS3Uri } from '../../external/storage/s3Uri.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { findStorage, requireStorage, storages } from '../../external/storage/storages.ts';
import { parseUri } from '../../external/uri.ts';

const settings: StorageSettings = { externalDir: '/nowhere', nodeId: 1, allowedNetworks: [] };
const keys = 'AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=SK';
const azureKeys = 'AZURE_ACCOUNT_NAME=acct&AZURE_ACCOUNT_KEY=c2VjcmV0';

function validate(text: string, given?: StorageSettings): void {
  const uri = parseUri(text);
  requireStorage(uri.scheme).validate(uri, given);
}

function refuses(text: string, message: string | RegExp, sqlstate = '22023', given?: StorageSettings): void {
  assert.throws(
    () => validate(text, given),
    (error: unknown) => {
      assert.ok(error instanceof PgPierError, String(error));
      if (typeof message === 'string') assert.equal(error.message, message);
      else assert.match(error.message, message);
      assert.equal(error.data.sqlstate, sqlstate);
      return true;
    },
  );
}

describe('an s3 URI', () => {
  it('is refused in the words of CockroachDB', () => {
    refuses(`s3:///p?${keys}`, 'empty host component; s3 URI must specify a target bucket');
    refuses('s3://b', "AUTH is set to 'specified', but AWS_ACCESS_KEY_ID is not set");
    refuses('s3://b?AUTH=specified&AWS_ACCESS_KEY_ID=x', "AUTH is set to 'specified', but AWS_SECRET_ACCESS_KEY is not set");
    refuses(`s3://b?${keys}&AUTH=IMPLICIT`, 'unsupported value "IMPLICIT" for AUTH');
    refuses(
      `s3://b?${keys}&AWS_SERVER_ENC_MODE=aws:kms`,
      'AWS_SERVER_KMS_ID param must be set when using aws:kms server side encryption mode.',
    );
    refuses(
      `s3://b?${keys}&AWS_SERVER_ENC_MODE=none`,
      'unsupported server encryption mode none. Supported values are `aws:kms` and `AES256`.',
    );
    refuses(`s3://b?${keys}&partition_format=daily`, 'unknown S3 query parameters: partition_format');
    refuses(`s3://b?${keys}&aws_region=x&file_size=1`, 'unknown S3 query parameters: aws_region, file_size');
    refuses(`s3://b?${keys}&AWS_ENDPOINT=h`, 'custom endpoints disallowed for s3 due to --external-io-disable-http flag', '42501', {
      ...settings,
      disableHttp: true,
    });
    refuses(
      's3://b?AUTH=implicit',
      'implicit credentials disallowed for s3 due to --external-io-disable-implicit-credentials flag',
      '42501',
      {
        ...settings,
        disableImplicitCredentials: true,
      },
    );
    refuses('ftp://b', /^unsupported storage scheme: "ftp"/);
  });

  it('is refused where a value makes no sense', () => {
    for (const [value, reason] of [
      ['backup', 'a role is named by its ARN'],
      ['arn:aws:iam::1:role/a,', 'a role is named by its ARN'],
      ['arn:aws:iam::1:role/a,,arn:aws:iam::1:role/b', 'a role is named by its ARN'],
      ['arn:aws:iam::1:role/a;externalid=x', 'behind a role stands external_id= alone'],
      ['arn:aws:iam::1:role/a;external_id', 'behind a role stands external_id= alone'],
      ['arn:aws:iam::1:role/a;external_id=xx;external_id=yy', 'a role has one external_id'],
      ['arn:aws:iam::1:role/a;external_id=x', 'an external_id has 2 to 1224 of A-Z a-z 0-9 + = . @ : / - _'],
      ['arn:aws:iam::1:role/a;external_id=x"y', 'an external_id has 2 to 1224 of A-Z a-z 0-9 + = . @ : / - _'],
    ] as const) {
      refuses(`s3://b?${keys}&ASSUME_ROLE=${encodeURIComponent(value)}`, `invalid ASSUME_ROLE: ${reason}`);
    }
    refuses('s3://b?ASSUME_ROLE=arn:aws:iam::1:role/a', "AUTH is set to 'specified', but AWS_ACCESS_KEY_ID is not set");
    refuses(`s3://b?${keys}&AWS_SKIP_CHECKSUM=maybe`, 'param AWS_SKIP_CHECKSUM must be a bool');
    refuses(`s3://b?${keys}&AWS_REGION=a.evil.example/`, /^AWS_REGION must be/);
    for (const endpoint of ['http://u:p@h', 'http://h/path', 'http://h?x', 'http://', 'ftp://h']) {
      refuses(`s3://b?${keys}&AWS_ENDPOINT=${encodeURIComponent(endpoint)}`, /^AWS_ENDPOINT must be/);
    }
    refuses(`s3://u@b?${keys}`, /no user before the bucket/);
  });

  it('never repeats the tail of a secret that was cut by an unescaped &', () => {
    refuses(`s3://b?AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=ab&c/HUSH=`, /^(?!.*HUSH)unknown S3 query parameters: /);
  });

  it('becomes what the client needs', () => {
    assert.deepEqual(
      parseS3Uri(
        parseUri(`s3://my b/a/../c//d/?AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=a+b/c&AWS_SESSION_TOKEN=t+u&COCKROACH_LOCALITY=default`),
      ),
      {
        bucket: 'my b',
        prefix: 'c/d',
        access: { credentials: { kind: 'specified', accessKeyId: 'AK', secretAccessKey: 'a+b/c', sessionToken: 't+u' }, roles: [] },
        pathStyle: false,
        skipChecksum: false,
        skipTlsVerify: false,
      },
    );
    const style = (more: string) => parseS3Uri(parseUri(`s3://b?${keys}${more}`));
    assert.deepEqual(
      [style('&AWS_ENDPOINT=minio:9000').endpoint, style('&AWS_ENDPOINT=minio:9000').pathStyle],
      ['https://minio:9000', true],
    );
    assert.equal(style('&AWS_ENDPOINT=minio:9000&AWS_USE_PATH_STYLE=false').pathStyle, false);
    assert.equal(style('&AWS_ENDPOINT=https://s3.eu-west-1.amazonaws.com').pathStyle, false);
    assert.equal(style('&AWS_ENDPOINT=https://s3.cn-north-1.amazonaws.com.cn').pathStyle, false);
    assert.equal(style('&AWS_USE_PATH_STYLE=true').pathStyle, true);
    const chain = 'arn:aws:iam::1:role/a+b,arn:aws:iam::2:role/c;external_id=x=y+z/@:.,arn:aws:iam::3:role/d';
    const roles = [
      { arn: 'arn:aws:iam::1:role/a+b' },
      { arn: 'arn:aws:iam::2:role/c', externalId: 'x=y+z/@:.' },
      { arn: 'arn:aws:iam::3:role/d' },
    ];
    for (const text of [encodeURIComponent(chain), encodeURIComponent(chain).replaceAll('%2B', '+')])
      assert.deepEqual(style(`&ASSUME_ROLE=${text}`).access.roles, roles);
    const implicit = parseS3Uri(parseUri('s3://b?AUTH=implicit&ASSUME_ROLE=arn:aws:iam::1:role/a'));
    assert.deepEqual(implicit.access, { credentials: { kind: 'implicit' }, roles: [{ arn: 'arn:aws:iam::1:role/a' }] });
  });

  it('says where roles are assumed: at its own endpoint, or at Amazon', () => {
    assert.equal(stsEndpoint('http://minio:9000'), 'http://minio:9000');
    for (const endpoint of [
      undefined,
      'https://s3.eu-west-1.amazonaws.com',
      'https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com:443',
    ])
      assert.equal(stsEndpoint(endpoint), undefined);
    assert.equal(stsEndpoint('https://amazonaws.com.example'), 'https://amazonaws.com.example');
  });

  it('needs the implicit-access privilege with ambient credentials or an endpoint of its own', () => {
    const s3 = findStorage('s3')!;
    const asks = (more: string) => s3.requiresImplicitAccess(parseUri(`s3://b?${more}`));
    assert.deepEqual([asks(keys), asks('AUTH=implicit'), asks(`${keys}&AWS_ENDPOINT=h`)], [false, true, true]);
    assert.equal(s3.usesAmbientCredentials(parseUri(`s3://b?${keys}&AWS_ENDPOINT=h`)), false);
  });
});

describe('an http URI', () => {
  it('is refused where it is no address of a web server', () => {
    refuses('http:///p', 'invalid URI: a host is missing after "http://"');
    for (const host of ['a,b', 'a%2Fb', 'a%40b', 'a:99999', 'a b']) {
      refuses(`https://${host}/p`, /^invalid URI: "https:\/\/" needs one host, with or without a port$/);
    }
    refuses('http://u%3Av:p@h', 'invalid URI: the name before the host holds a colon');
    refuses('http://u:HU%SH@h', /^invalid URI: invalid percent-encoding before the host/);
    refuses('https://h/p', 'external http access disabled', '42501', { ...settings, disableHttp: true });
  });

  it('becomes what the client needs', () => {
    assert.deepEqual(parseHttpUri(parseUri('HTTPS://ann:p%40ss@Host.Example:8443/a b//é/%2F/?q=ü&x=%20')), {
      origin: 'https://host.example:8443',
      secure: true,
      hostname: 'host.example',
      port: 8443,
      base: '/a%20b//%C3%A9/%2F',
      query: '?q=%C3%BC&x=%20',
      credentials: { user: 'ann', password: 'p@ss' },
      location: 'https://host.example:8443/a b/é',
    });
    const plain = parseHttpUri(parseUri('http://[::1]'));
    assert.deepEqual([plain.hostname, plain.port, plain.base, plain.query, plain.location], ['::1', 80, '', '', 'http://[::1]']);
  });
});

describe('an azure URI', () => {
  const service = 'AZURE_CLIENT_ID=id&AZURE_CLIENT_SECRET=cs&AZURE_TENANT_ID=t.example';

  it('is refused in the words of CockroachDB', () => {
    for (const scheme of ['azure', 'azure-blob', 'azure-storage'])
      refuses(`${scheme}://c?AZURE_ACCOUNT_KEY=c2VjcmV0`, 'azure uri missing "AZURE_ACCOUNT_NAME" parameter');
    refuses('azure://c?AZURE_ACCOUNT_NAME=acct', 'azure uri missing "AZURE_ACCOUNT_KEY" parameter');
    refuses(
      `azure://c?${azureKeys}&AZURE_ENVIRONMENT=Random-Env`,
      'azure environment: autorest/azure: There is no cloud environment matching the name "RANDOM-ENV"',
    );
    refuses(`azure://c?${azureKeys}&AZURE_ENVIRONMENT=toString`, /matching the name "TOSTRING"$/);
    refuses(`azure://c?${azureKeys}&partition_format=daily&x=1`, 'unknown azure query parameters: partition_format, x');
    refuses(`azure://c?${azureKeys}&AUTH=IMPLICIT`, 'unsupported value "IMPLICIT" for AUTH');
    for (const [missing, rest] of [
      ['AZURE_CLIENT_ID', 'AZURE_CLIENT_SECRET=cs&AZURE_TENANT_ID=t'],
      ['AZURE_CLIENT_SECRET', 'AZURE_CLIENT_ID=id&AZURE_TENANT_ID=t'],
      ['AZURE_TENANT_ID', 'AZURE_CLIENT_ID=id&AZURE_CLIENT_SECRET=cs'],
    ])
      refuses(`azure://c?AUTH=specified&AZURE_ACCOUNT_NAME=acct&${rest}`, `AUTH is set to 'specified', but ${missing} is not set`);
    refuses(
      `azure://c?${azureKeys}&AZURE_ENDPOINT=h`,
      'custom endpoints disallowed for azure due to --external-io-disable-http flag',
      '42501',
      {
        ...settings,
        disableHttp: true,
      },
    );
    refuses(
      'azure://c?AUTH=implicit&AZURE_ACCOUNT_NAME=acct',
      'implicit credentials disallowed for azure due to --external-io-disable-implicit-credentials flag',
      '42501',
      { ...settings, disableImplicitCredentials: true },
    );
  });

  it('is refused where a value makes no sense or would lead elsewhere', () => {
    refuses(`azure:///p?${azureKeys}`, 'empty host component; azure URI must specify a target container');
    refuses(`azure://u@c?${azureKeys}`, /no user before the container/);
    for (const name of ['evil.example/', 'a', 'UPPER', 'x@y', 'a'.repeat(25)])
      refuses(`azure://c?AZURE_ACCOUNT_KEY=c2VjcmV0&AZURE_ACCOUNT_NAME=${encodeURIComponent(name)}`, /^AZURE_ACCOUNT_NAME must be/);
    refuses('azure://c?AZURE_ACCOUNT_NAME=acct&AZURE_ACCOUNT_KEY=HUSH!', /^(?!.*HUSH)AZURE_ACCOUNT_KEY must be base64/);
    refuses(`azure://c?${azureKeys}&${service}`, /^AZURE_ACCOUNT_KEY and AZURE_CLIENT_ID are two ways to log in; give one$/);
    refuses(`azure://c?AUTH=specified&AZURE_ACCOUNT_NAME=acct&${service}%2Fcommon%3Fx`, /^AZURE_TENANT_ID must be/);
    for (const endpoint of ['http://u:p@h', 'http://h/a/b', 'http://h?x', 'http://', 'ftp://h', 'http://h/..%2f'])
      refuses(`azure://c?${azureKeys}&AZURE_ENDPOINT=${encodeURIComponent(endpoint)}`, /^AZURE_ENDPOINT must be/);
    for (const credentials of ['AUTH=implicit', `AUTH=specified&${service}`])
      refuses(`azure://c?AZURE_ACCOUNT_NAME=acct&${credentials}&AZURE_ENDPOINT=http://h`, /^tokens are not sent without TLS/);
  });

  it('becomes what the client needs', () => {
    const read = (text: string) => parseAzureUri(parseUri(text));
    assert.deepEqual(read('azure://c/a/../b//d/?AZURE_ACCOUNT_NAME=acct&AZURE_ACCOUNT_KEY=a+b/c2Vj&COCKROACH_LOCALITY=default'), {
      container: 'c',
      prefix: 'b/d',
      account: 'acct',
      credentials: { kind: 'key', accountKey: 'a+b/c2Vj' },
      environment: {
        name: 'AzurePublicCloud',
        authority: 'https://login.microsoftonline.com',
        storageDomain: 'core.windows.net',
        vaultDomain: 'vault.azure.net',
        unnamed: true,
      },
      service: 'https://acct.blob.core.windows.net',
      customEndpoint: false,
    });
    assert.deepEqual(read(`azure://c?AUTH=specified&AZURE_ACCOUNT_NAME=acct&${service}`).credentials, {
      kind: 'secret',
      clientId: 'id',
      clientSecret: 'cs',
      tenantId: 't.example',
    });
    assert.deepEqual(read('azure://c?AUTH=implicit&AZURE_ACCOUNT_NAME=acct').credentials, { kind: 'implicit' });
    const serviceOf = (more: string) => read(`azure://c?${azureKeys}${more}`).service;
    assert.equal(serviceOf('&AZURE_ENVIRONMENT=azureusgovernmentcloud'), 'https://acct.blob.core.usgovcloudapi.net');
    assert.equal(serviceOf('&AZURE_ENVIRONMENT=AzureChinaCloud'), 'https://acct.blob.core.chinacloudapi.cn');
    assert.equal(serviceOf('&AZURE_ENDPOINT=http://127.0.0.1:10000/acct/'), 'http://127.0.0.1:10000/acct');
    assert.equal(serviceOf('&AZURE_ENDPOINT=store.example'), 'https://store.example');
    const placeOf = (more: string) => azurePlace(parseUri(`azure://c?${azureKeys}${more}`));
    assert.deepEqual(placeOf('&AZURE_ENVIRONMENT=AzureCloud'), { AZURE_ACCOUNT_NAME: 'acct' });
    assert.deepEqual(placeOf('&AZURE_ENVIRONMENT=azurechinacloud'), { AZURE_ACCOUNT_NAME: 'acct', AZURE_ENVIRONMENT: 'AzureChinaCloud' });
    assert.deepEqual(placeOf('&AZURE_ENDPOINT=h'), { AZURE_ACCOUNT_NAME: 'acct', AZURE_ENDPOINT: 'https://h' });
    const authority = (more: string, operators?: string) => authorityOf(read(`azure://c?${azureKeys}${more}`).environment, operators);
    assert.equal(authority(''), 'https://login.microsoftonline.com');
    assert.equal(authority('', 'login.example/'), 'https://login.example');
    assert.equal(authority('&AZURE_ENVIRONMENT=AzureChinaCloud', 'https://login.example'), 'https://login.chinacloudapi.cn');
    // The account's own address is no endpoint of the user's choice.
    assert.equal(read(`azure://c?${azureKeys}&AZURE_ENDPOINT=https://acct.blob.core.windows.net`).customEndpoint, false);
  });

  it('needs the implicit-access privilege with the machine’s credentials or an endpoint of its own', () => {
    const azure = findStorage('azure-blob')!;
    const asks = (more: string) => azure.requiresImplicitAccess(parseUri(`azure-blob://c?${more}`));
    assert.deepEqual([asks(azureKeys), asks('AUTH=implicit'), asks(`${azureKeys}&AZURE_ENDPOINT=h`)], [false, true, true]);
    assert.equal(azure.usesAmbientCredentials(parseUri(`azure://c?${azureKeys}&AZURE_ENDPOINT=h`)), false);
  });

  it('does not show what is secret in it', () => {
    assert.equal(
      redactUri(
        'azure-storage://c/p?AZURE_ACCOUNT_NAME=foo&AZURE_ACCOUNT_KEY=HUSH&AZURE_CLIENT_SECRET=HUSH&AZURE_ENVIRONMENT=AzureUSGovernmentCloud',
      ),
      'azure-storage://c/p?AZURE_ACCOUNT_KEY=redacted&AZURE_ACCOUNT_NAME=foo&AZURE_CLIENT_SECRET=redacted&AZURE_ENVIRONMENT=AzureUSGovernmentCloud',
    );
  });
});

describe('the table of storages', () => {
  it('has one provider for each scheme', () => {
    assert.equal(new Set(storages.map(({ scheme }) => scheme)).size, storages.length);
  });

  it('is loaded and asked without any cloud SDK', () => {
    const href = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
    const script = `
      import { registerHooks } from 'node:module';
      registerHooks({ resolve(name, context, next) { if (/@aws-sdk|@smithy|google-auth-library|gaxios|@azure/.test(name)) throw new Error('SDK'); return next(name, context); } });
      const { openStorage, requireStorage } = await import(${href('../../external/storage/storages.ts')});
      const { parseUri } = await import(${href('../../external/uri.ts')});
      requireStorage('s3').validate(parseUri('s3://b?${keys}'));
      requireStorage('gs').validate(parseUri('gs://b?AUTH=implicit'));
      requireStorage('azure').validate(parseUri('azure://c?${azureKeys}'));
      console.log('validated');
      await openStorage({ uri: 's3://b?${keys}', trusted: false }, { nodeId: 1, allowedNetworks: [] }).catch((error) => console.log(error.message));
      await openStorage({ uri: 'azure://c?${azureKeys}', trusted: false }, { nodeId: 1, allowedNetworks: [] }).catch((error) => console.log(error.message));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' });
    assert.equal(output, 'validated\nSDK\nSDK\n');
  });
});
