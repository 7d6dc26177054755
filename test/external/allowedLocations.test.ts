/** The operator's list of places: what a pattern allows, and what it does not let through by a trick of spelling. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PgPierError } from '../../errors.ts';
import { parseLocationPattern, requireAllowedLocation } from '../../external/allowedLocations.ts';
import { findKeyService, openKeyService } from '../../external/kms/keyServices.ts';
import type { Provider } from '../../external/provider.ts';
import { checkStorage } from '../../external/storage/check.ts';
import { requireStorage } from '../../external/storage/storages.ts';
import { parseUri } from '../../external/uri.ts';

const sink: Provider = {
  scheme: 'kafka',
  word: 'kafka',
  validate() {},
  requiresImplicitAccess: () => false,
  usesAmbientCredentials: () => false,
};

function allowed(pattern: string, text: string): boolean {
  const uri = parseUri(text);
  const provider = uri.scheme === 'kafka' ? sink : (findKeyService(uri.scheme) ?? requireStorage(uri.scheme));
  try {
    requireAllowedLocation(provider, uri, { allowedLocations: pattern.split(',') });
    return true;
  } catch (error) {
    assert.ok(error instanceof PgPierError && error.data.sqlstate === '42501' && /PGPIER_ALLOWED_LOCATIONS/.test(error.data.hint ?? ''));
    assert.ok(!error.message.includes('s3cr3t'), error.message);
    return false;
  }
}

const keys = '?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=s3cr3t';
const cases: readonly (readonly [pattern: string, allowed: readonly string[], refused: readonly string[]])[] = [
  ['s3:*', [`s3://a${keys}`, `s3://a/b${keys}&AWS_ENDPOINT=http://evil`], ['nodelocal://1/x', 'gs://a', 'http://s3']],
  [
    's3://company-*',
    [`s3://company-a${keys}`, `s3://company-/x/y${keys}`],
    [`s3://other${keys}`, `s3://xcompany-a${keys}`, `s3://company${keys}`, `s3://company-a${keys}&AWS_ENDPOINT=https://evil.example`],
  ],
  [
    's3://b/pg/*/day',
    [`s3://b/pg/2026/day${keys}`, `s3://b/pg/2026/day/x/y${keys}`, `s3://b//pg/./x/../2026/day${keys}`],
    [
      `s3://b/pg/2026${keys}`,
      `s3://b/pg/2026/days${keys}`,
      `s3://b/pg/day${keys}`,
      `s3://b/pg/2026/day/../../../x${keys}`,
      `s3://b/../pg/2026/day${keys}`,
    ],
  ],
  [
    's3://b/pg',
    [`s3://b/pg${keys}`, `s3://b/pg/${keys}`, `s3://b/pg/x${keys}`],
    [
      `s3://b${keys}`,
      `s3://b/pgx${keys}`,
      `s3://b/pg/../x${keys}`,
      `s3://b/pg/%2e%2e/x${keys}`,
      `s3://b/pg%2f..%2fx${keys}`,
      `s3://bx/pg${keys}`,
    ],
  ],
  [
    's3://lake/pg?AWS_ENDPOINT=https://*.internal:9000',
    [`s3://lake/pg${keys}&AWS_ENDPOINT=https://minio.internal:9000`, `s3://lake/pg/x${keys}&AWS_ENDPOINT=minio.internal:9000`],
    [
      `s3://lake/pg${keys}`,
      `s3://lake/pg${keys}&AWS_ENDPOINT=http://minio.internal:9000`,
      `s3://lake/pg${keys}&AWS_ENDPOINT=https://minio.internal:9001`,
    ],
  ],
  [
    'kafka://*.internal:9092',
    ['kafka://a.internal:9092', 'kafka://a.internal:9092,b.c.internal:9092?sasl_password=s3cr3t'],
    [
      'kafka://a.internal:9093',
      'kafka://a.internal',
      'kafka://a.internal:9092,evil.example:9092',
      'kafka://evil.example%3f.internal:9092',
      'kafka://evil.example%2f.internal:9092',
      'kafka://evil.example%40.internal:9092',
      'kafka://internal:9092',
    ],
  ],
  ['kafka://broker', ['kafka://broker', 'kafka://broker:9092', 'kafka://broker:1'], ['kafka://broker2:9092', 'kafka://b']],
  [
    'nodelocal://*/backups',
    ['nodelocal://1/backups', 'nodelocal://self/backups/x'],
    ['nodelocal://1/other', 'nodelocal://1/backups/../other'],
  ],
  [
    'https://files.example.com/in',
    ['https://files.example.com/in/x', 'https://files.example.com:8443/in'],
    ['http://files.example.com/in', 'https://files.example.com.evil/in', 'https://files.example.com/in/%2e%2e/out'],
  ],
  ['userfile:///backups', ['userfile:///backups/x'], ['userfile:///other', 'userfile://a.b.c/backups']],
  [
    'aws-kms:///arn:aws:kms:eu-*',
    ['aws-kms:///arn:aws:kms:eu-west-1:1:key/x'],
    ['aws-kms:///arn:aws:kms:us-east-1:1:key/x', 'aws-kms:///alias/x'],
  ],
  ['s3://a,nodelocal:*', [`s3://a${keys}`, 'nodelocal://1/x'], [`s3://b${keys}`]],
];

for (const [pattern, fitting, others] of cases) {
  test(`${pattern} allows what it says and no more`, () => {
    for (const uri of fitting) assert.ok(allowed(pattern, uri), `allowed: ${uri}`);
    for (const uri of others) assert.ok(!allowed(pattern, uri), `refused: ${uri}`);
  });
}

test('what is no pattern is none', () => {
  for (const text of [
    '',
    '*',
    's3',
    's3:',
    's3:x',
    's3//b',
    'S3://b',
    's3://b/../c',
    's3://b/./c',
    's3://u@b',
    's3://b?x',
    's3://b#c',
    's3://b c',
  ])
    assert.equal(parseLocationPattern(text), undefined, text);
});

test('a place that is not allowed is refused before it is dialled, whoever asks', async () => {
  const settings = { nodeId: 1, allowedNetworks: [], allowedLocations: ['s3://mine'], kmsDir: '/nonexistent', externalDir: '/nonexistent' };
  const refused = { message: /is not among the places that may be reached from this server/ };
  for (const uri of ['nodelocal://self/x', `s3://other${keys}`, 'userfile:///x', 'https://web.example/x'])
    await assert.rejects(checkStorage({ uri, trusted: true }, settings, AbortSignal.timeout(5_000)), refused, uri);
  for (const uri of ['local-kms:///k', 'gs:///projects/p/locations/l/keyRings/r/cryptoKeys/k', 'aws:///k?AWS_ENDPOINT=http://127.0.0.1:1'])
    await assert.rejects(
      openKeyService({ uri, trusted: true }, { ...settings, allowedLocations: ['s3:*', 'gs:*', 'aws-kms:///k'] }),
      refused,
      uri,
    );
});
