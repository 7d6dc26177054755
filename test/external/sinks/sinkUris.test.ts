/** What the URIs of sinks say and what is refused, against CockroachDB's words (spec: cockroachdb §3.3) and Go's base64. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { PgPierError } from '../../../errors.ts';
import { redactUri } from '../../../external/redact.ts';
import { kafkaTopicName, probeTopic } from '../../../external/sinks/kafkaTopic.ts';
import {
  brokersInWords,
  type KafkaUri,
  parseAzureEventHubUri,
  parseConfluentCloudUri,
  parseKafkaUri,
} from '../../../external/sinks/kafkaUri.ts';
import { parseSchemaRegistryUri } from '../../../external/sinks/schemaRegistryUri.ts';
import { requireSink } from '../../../external/sinks/sinks.ts';
import { parseWebhookUri } from '../../../external/sinks/webhookUri.ts';
import { base64Parameter } from '../../../external/tlsParameters.ts';
import { parseUri } from '../../../external/uri.ts';
import { type Certificates, makeCertificates } from '../../servers/certificates.ts';

const base64 = (text: string): string => encodeURIComponent(Buffer.from(text).toString('base64'));
const validate = (text: string): void => {
  const uri = parseUri(text);
  requireSink(uri.scheme).validate(uri);
};
const kafka = (query: string): KafkaUri => parseKafkaUri(parseUri(`kafka://b:9092?${query}`));

/** Each with CockroachDB's text, whole. */
const refused: readonly (readonly [uri: string, text: string, sqlstate?: string])[] = [
  ['kafka://b?tls_enabled=yes', 'param tls_enabled must be a bool'],
  ['kafka://b?insecure_tls_skip_verify=1x', 'param insecure_tls_skip_verify must be a bool'],
  ['kafka://b?sasl_enabled=nope', 'param sasl_enabled must be a bool'],
  ['kafka://b?sasl_enabled=true&sasl_handshake=maybe', 'param sasl_handshake must be a bool'],
  ['kafka://b?tls_enabled=true&ca_cert=!', 'param ca_cert must be base 64 encoded: illegal base64 data at input byte 0'],
  ['kafka://b?tls_enabled=true&client_cert=Zm9v!', 'param client_cert must be base 64 encoded: illegal base64 data at input byte 4'],
  ['kafka://b?tls_enabled=true&client_key=Zm9', 'param client_key must be base 64 encoded: illegal base64 data at input byte 0'],
  ['kafka://b?ca_cert=Zm9v', 'failed to parse certificate data'],
  ['kafka://b?tls_enabled=true&ca_cert=Zm9v', 'failed to parse certificate data'],
  ['kafka://b?tls_enabled=true&client_cert=Zm9v', 'client_cert requires client_key to be set'],
  ['kafka://b?tls_enabled=true&client_key=Zm9v', 'client_key requires client_cert to be set'],
  [
    'kafka://b?tls_enabled=true&client_cert=Zm9v&client_key=Zm9v',
    'invalid client certificate: client_cert is not a certificate in PEM form',
  ],
  ['kafka://b?insecure_tls_skip_verify=true', 'insecure_tls_skip_verify requires tls_enabled=true'],
  ['kafka://b?schema_topic=x', 'schema_topic is not yet supported', '0A000'],
  ['kafka://b?sasl_handshake=true', 'sasl_enabled must be enabled to configure SASL handshake behavior'],
  ['kafka://b?sasl_handshake=false', 'sasl_enabled must be enabled to configure SASL handshake behavior'],
  ['kafka://b?sasl_enabled=true&sasl_handshake=false', 'sasl_handshake=false is not supported yet', '0A000'],
  ['kafka://b?sasl_user=a', 'sasl_enabled must be enabled if sasl_user is provided'],
  ['kafka://b?sasl_enabled=false&sasl_password=hunter2', 'sasl_enabled must be enabled if sasl_password is provided'],
  ['kafka://b?sasl_client_id=a', 'sasl_enabled must be enabled if sasl_client_id is provided'],
  ['kafka://b?sasl_mechanism=PLAIN', 'sasl_enabled must be enabled to configure SASL mechanism'],
  ['kafka://b?sasl_enabled=true', 'sasl_user must be provided when SASL is enabled'],
  ['kafka://b?sasl_enabled=true&sasl_user=a', 'sasl_password must be provided when SASL is enabled'],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=SCRAM-SHA-256',
    'sasl_user must be provided when SASL is enabled using mechanism SCRAM-SHA-256',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=OAUTHBEARER',
    'sasl_client_id must be provided when SASL is enabled using mechanism OAUTHBEARER',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=a',
    'sasl_client_secret must be provided when SASL is enabled using mechanism OAUTHBEARER',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=a&sasl_client_secret=Zm9v',
    'sasl_token_url must be provided when SASL is enabled using mechanism OAUTHBEARER',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=a&sasl_client_secret=hunter2&sasl_token_url=https://t/',
    'param sasl_client_secret must be base 64 encoded: illegal base64 data at input byte 4',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=a&sasl_client_secret=Zm9v&sasl_token_url=ftp://t/',
    'param sasl_token_url must be an http(s) URL without a user',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_user=a&sasl_password=b&sasl_client_id=a',
    'sasl_client_id is only a valid parameter for sasl_mechanism=OAUTHBEARER',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_user=a&sasl_password=b&sasl_aws_region=eu-west-1',
    'sasl_aws_region is only a valid parameter for sasl_mechanism=AWS_MSK_IAM',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_user=a',
    'sasl_user is only a valid parameter for sasl_mechanism=PLAIN, SCRAM-SHA-256, or SCRAM-SHA-512',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM',
    'sasl_aws_region must be provided when SASL is enabled using mechanism AWS_MSK_IAM',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=eu-west-1&sasl_aws_iam_session_name=s',
    'sasl_aws_iam_role_arn must be provided when SASL is enabled using mechanism AWS_MSK_IAM',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=eu-west-1&sasl_aws_iam_role_arn=arn:aws:iam::1:role/r',
    'sasl_aws_iam_session_name must be provided when SASL is enabled using mechanism AWS_MSK_IAM',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=evil.example/&sasl_user=',
    'param sasl_aws_region must be the name of a region, such as us-east-1',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=GSSAPI',
    'param sasl_mechanism must be one of AWS_MSK_IAM, OAUTHBEARER, PLAIN, SCRAM-SHA-256, or SCRAM-SHA-512',
  ],
  [
    'kafka://b?sasl_enabled=true&sasl_mechanism=plain',
    'param sasl_mechanism must be one of AWS_MSK_IAM, OAUTHBEARER, PLAIN, SCRAM-SHA-256, or SCRAM-SHA-512',
  ],
  ['kafka://b?topic=a', 'unknown kafka sink query parameters: topic'],
  ['kafka://b?TLS_ENABLED=true&partition_format=flat', 'unknown kafka sink query parameters: TLS_ENABLED, partition_format'],
  ['kafka://b?topic_name=', 'param topic_name must not be empty'],
  [
    `kafka://b?topic_prefix=${'x'.repeat(250)}`,
    'topic_prefix and topic_name make topics that are longer than the 249 characters that Kafka allows',
  ],
  ['kafka://?tls_enabled=true', 'invalid URI: the host of a kafka URI is a broker, or brokers with commas between them'],
  ['kafka://a:1,,b:2', 'invalid URI: a broker is a name or an address with a port from 1 to 65535, IPv6 in brackets'],
  ['kafka://a:0', 'invalid URI: a broker is a name or an address with a port from 1 to 65535, IPv6 in brackets'],
  ['kafka://a:1,b:65536', 'invalid URI: a broker is a name or an address with a port from 1 to 65535, IPv6 in brackets'],
  ['kafka://[fe80::zz]:9092', 'invalid URI: an address in brackets is not one of IPv6'],
  ['kafka://b/topic', 'invalid URI: a kafka URI has no path; a topic is named by topic_name'],
  ['kafka://user:hunter2@b', 'invalid URI: a kafka URI has no user before the host'],
  ['confluent-cloud://b:9092?api_secret=hunter2', 'scheme confluent-cloud requires parameter api_key'],
  ['confluent-cloud://b:9092?api_key=a', 'scheme confluent-cloud requires parameter api_secret'],
  ['confluent-cloud://b:9092?api_key=a&api_secret=b&tls_enabled=false', 'param tls_enabled must be true with scheme confluent-cloud'],
  [
    'confluent-cloud://b?api_key=a&api_secret=b&sasl_mechanism=SCRAM-SHA-256',
    'param sasl_mechanism must be PLAIN with scheme confluent-cloud',
  ],
  ['confluent-cloud://b?api_key=a&api_secret=b&sasl_user=c', 'unknown kafka sink query parameters: sasl_user'],
  ['azure-event-hub://n.servicebus.windows.net:9093', 'scheme azure-event-hub requires parameter shared_access_key_name'],
  [
    'azure-event-hub://n.servicebus.windows.net:9093?shared_access_key_name=n',
    'scheme azure-event-hub requires parameter shared_access_key',
  ],
  ['webhook-http://h/p', 'sink requires webhook-https'],
  ['webhook-https:///p', 'invalid URI: a host is missing after "https://"'],
  ['webhook-https://a,b/p', 'invalid URI: "https://" needs one host, with or without a port'],
  ['webhook-https://h/?ca_cert=!!', 'param ca_cert must be base 64 encoded: illegal base64 data at input byte 0'],
  ['webhook-https://h/?client_cert=Zm9v', 'client_cert requires client_key to be set'],
  ['webhook-https://h/?insecure_tls_skip_verify=x', 'param insecure_tls_skip_verify must be a bool'],
  ['https://h/?topic_prefix=x', 'unknown schema registry query parameters: topic_prefix'],
  ['http://h/?ca_cert=x', 'param ca_cert must be base 64 encoded: illegal base64 data at input byte 0'],
  ['http://h/?insecure_tls_skip_verify=true', 'insecure_tls_skip_verify requires https'],
  ['https://h/?timeout=soon', 'param timeout must be a time up to 10 minutes, such as 30s'],
  ['pulsar://h:6650', 'unsupported sink: pulsar'],
  ['null://', 'unsupported sink: null'],
];

test('what is wrong with a sink is said in CockroachDB’s words, without a secret', () => {
  for (const [uri, text, sqlstate = '22023'] of refused) {
    assert.throws(
      () => validate(uri),
      (error) => error instanceof PgPierError && error.message === text && error.data.sqlstate === sqlstate && !text.includes('hunter2'),
      `${uri}: ${text}`,
    );
  }
});

describe('certificates', () => {
  let home: string;
  let tls: Certificates;
  before(() => {
    home = mkdtempSync(join(tmpdir(), 'pgp-cert-'));
    tls = makeCertificates(home);
  });
  after(() => rmSync(home, { recursive: true }));

  test('are read with the key that belongs to them, and asked for only where there is TLS', () => {
    const pair = `client_cert=${base64(tls.client.cert)}&client_key=${base64(tls.client.key)}`;
    assert.deepEqual(kafka(`tls_enabled=true&ca_cert=${base64(tls.ca)}&${pair}`).tls, {
      skipVerify: false,
      ca: tls.ca,
      client: tls.client,
    });
    assert.deepEqual(kafka(`tls_enabled=true&ca_cert=${base64(tls.ca + tls.otherCa)}`).tls!.ca, tls.ca + tls.otherCa);
    for (const [query, text] of [
      [`ca_cert=${base64(tls.ca)}`, /^ca_cert requires tls_enabled=true$/],
      [`tls_enabled=false&${pair}`, /^client_cert requires tls_enabled=true$/],
      [`tls_enabled=true&ca_cert=${base64(tls.ca.replace('MII', 'MIX'))}`, /^failed to parse certificate data$/],
      [`tls_enabled=true&ca_cert=${base64(tls.client.key)}`, /^failed to parse certificate data$/],
      [
        `tls_enabled=true&client_cert=${base64(tls.client.cert)}&client_key=${base64(tls.server.key)}`,
        /^invalid client certificate: client_key does not belong to client_cert$/,
      ],
      [
        `tls_enabled=true&client_cert=${base64(tls.client.cert)}&client_key=${base64(tls.client.cert)}`,
        /^invalid client certificate: client_key is not an unencrypted private key in PEM form$/,
      ],
    ] as const)
      assert.throws(() => kafka(query), { message: text });
  });

  test('a blank in base64 is a plus sign that was not encoded', () => {
    const raw = Buffer.from(tls.ca).toString('base64');
    assert.equal(kafka(`tls_enabled=true&ca_cert=${raw.replaceAll('/', '%2F')}`).tls!.ca, tls.ca);
  });
});

/** What base64.StdEncoding of Go 1.26 made of these: the bytes in hex, or where it stumbled. */
// biome-ignore format: one row a line would be pages
const goBase64: readonly (readonly [text: string, answer: string])[] = [
  ["=", "byte 0"], ["Z", "byte 0"], ["Zm", "byte 0"], ["Zm9", "byte 0"], ["Zm9v", "666f6f"], ["Zg==", "66"],
  ["Zg=", "byte 3"], ["Zg=\n=", "66"], ["Zg==\n", "66"], ["Zg==x", "byte 4"], ["Zm8=", "666f"], ["Zm8=x", "byte 4"],
  ["Z=", "byte 1"], ["Zm9v\nZg", "byte 5"], ["Zm9v\r\nZg==", "666f6f66"], ["\n", ""], ["Zm9v=", "byte 4"], ["Zm9vZ===", "byte 5"],
  ["+/+/", "fbffbf"], ["-_-_", "byte 0"], ["Zm9v!", "byte 4"], ["!", "byte 0"], ["Zg=a", "byte 2"], ["Zg\n=\n=\n", "66"],
  ["Zm8=\nZm8=", "byte 5"], ["\nvZ", "byte 1"], ["Z9\nm", "byte 1"], ["=/v\n=", "byte 0"], ["=9/\nmv", "byte 0"], ["\n=vvZ=\n", "byte 1"],
  ["v/\nm=Z\n/", "byte 5"], ["=\n9=v=mZ=", "byte 0"], ["=m9", "byte 0"], ["\n/=v", "byte 2"], ["Z=Zv\n", "byte 1"], ["\nZ\n99/", "67df7f"],
  ["v==Z99Z", "byte 1"], ["\n!==m=v/", "byte 1"], ["\n==/m!9!Z", "byte 1"], ["=//v", "byte 0"], ["Z=m/=", "byte 1"], ["Z\n/9=\n", "67ff"],
  ["v!!mZ=9", "byte 1"], ["ZmZ\n==m=", "byte 5"], ["Z99=\nmZZZ", "byte 5"], ["!=Z", "byte 0"], ["/==Z", "byte 1"], ["mZZ==", "byte 4"],
  ["v9m9mm", "byte 4"], ["9m=!=Z=", "byte 2"], ["=\n!!/\n/=", "byte 0"], ["9m==m\n!\n!", "byte 4"], ["v9=", "byte 3"], ["9Z=9", "byte 2"],
  ["==v/9", "byte 0"], ["!\nZ/=/", "byte 0"], ["/mm/m/!", "byte 6"], ["/=Z==m=v", "byte 1"], ["9ZZ!vm=mv", "byte 3"], ["=\n\n", "byte 0"],
  ["=Zv\n", "byte 0"], ["m=Zm/", "byte 1"], ["/==ZZZ", "byte 1"], ["Z9ZZ\n=m", "byte 5"], ["!\n=m=9\nm", "byte 0"], ["v/9=\nv9m\n", "byte 5"],
  ["==/", "byte 0"], ["\nm\n=", "byte 3"], ["m=Zv=", "byte 1"], ["/Z=vmm", "byte 2"], ["\n=ZZ9Z9", "byte 1"], ["vZZ=v/!!", "byte 4"],
  ["/v=m=m!9Z", "byte 2"], ["=v/", "byte 0"], ["/v\n/", "byte 1"], ["\n9\nv!", "byte 4"], ["9!=/vm", "byte 1"], ["/9=9===", "byte 2"],
  ["99m=99\n!", "byte 4"], ["=mv\nZZ=/=", "byte 0"], ["9==", "byte 1"], ["Z===", "byte 1"], ["//v!=", "byte 3"], ["9m\n\n\nm", "byte 3"],
];

test('base64 is refused where Go refuses it, at Go’s offset', () => {
  for (const [text, answer] of goBase64) {
    let ours: string;
    try {
      ours = base64Parameter('p', text)!.toString('hex');
    } catch (error) {
      ours = (error as Error).message.replace('param p must be base 64 encoded: illegal base64 data at input ', '');
    }
    assert.equal(ours, answer, JSON.stringify(text));
  }
});

test('a list of brokers, ports and IPv6 are read', () => {
  const read = (host: string): string => brokersInWords(parseKafkaUri(parseUri(`kafka://${host}`)));
  assert.equal(read('a'), 'a:9092');
  assert.equal(read('a:1,b.example:2,10.0.0.1:3'), 'a:1,b.example:2,10.0.0.1:3');
  assert.equal(read('a,b:2'), 'a:9092,b:2');
  assert.equal(read('[::1]:9093,[2001:db8::1]'), '[::1]:9093,[2001:db8::1]:9092');
});

test('Confluent Cloud and Event Hubs are Kafka with TLS and SASL PLAIN', () => {
  assert.deepEqual(parseConfluentCloudUri(parseUri('confluent-cloud://pkc.example:9092?api_key=KEY&api_secret=a%2Bb&topic_prefix=p_')), {
    brokers: [{ host: 'pkc.example', port: 9092 }],
    topics: { prefix: 'p_' },
    tls: { skipVerify: false },
    sasl: { mechanism: 'PLAIN', user: 'KEY', password: 'a+b' },
  });
  const hub =
    'azure-event-hub://ns.servicebus.windows.net:9093?shared_access_key_name=root&shared_access_key=a+b%3D&topic_name=t&tls_enabled=true';
  assert.deepEqual(parseAzureEventHubUri(parseUri(hub)), {
    brokers: [{ host: 'ns.servicebus.windows.net', port: 9093 }],
    topics: { prefix: '', name: 't' },
    tls: { skipVerify: false },
    sasl: {
      mechanism: 'PLAIN',
      user: '$ConnectionString',
      password: 'Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=root;SharedAccessKey=a+b=',
    },
  });
});

test('OAUTHBEARER and AWS_MSK_IAM are read with their defaults', () => {
  const oauth = 'sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=me&sasl_token_url=https%3A%2F%2Ft.example%2Foauth%3Fa%3Db';
  const read = kafka(`${oauth}&sasl_client_secret=${base64('s3 cret+')}&sasl_scopes=a,b+c`).sasl;
  assert.deepEqual(read, {
    mechanism: 'OAUTHBEARER',
    clientId: 'me',
    clientSecret: 's3 cret+',
    tokenUrl: 'https://t.example/oauth?a=b',
    scopes: ['a', 'b', 'c'],
    grantType: 'client_credentials',
  });
  const place = requireSink('kafka').placeParameters!(parseUri(`kafka://b?${oauth}`));
  assert.deepEqual(place, { sasl_token_url: 'https://t.example/oauth?a=b' });
  assert.deepEqual(requireSink('kafka').placeParameters!(parseUri('kafka://b')), {});
  const aws = 'sasl_enabled=1&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=eu-west-1';
  assert.deepEqual(kafka(aws).sasl, { mechanism: 'AWS_MSK_IAM', region: 'eu-west-1' });
  const role = { arn: 'arn:aws:iam::123456789012:role/r', session: 'pier' };
  assert.deepEqual(kafka(`${aws}&sasl_aws_iam_role_arn=${role.arn}&sasl_aws_iam_session_name=${role.session}`).sasl, {
    mechanism: 'AWS_MSK_IAM',
    region: 'eu-west-1',
    role,
  });
  const refusesAmbient = () => parseKafkaUri(parseUri(`kafka://b?${aws}`), { disableImplicitCredentials: true });
  assert.throws(refusesAmbient, { message: /^implicit credentials disallowed for kafka/ });
  assert.equal(requireSink('kafka').usesAmbientCredentials(parseUri(`kafka://b?${aws}`)), true);
  assert.equal(requireSink('kafka').usesAmbientCredentials(parseUri('kafka://b')), false);
});

test('topics get names that Kafka allows, and the probe’s stands beside them', () => {
  assert.equal(kafkaTopicName('a.B-c_1'), 'a.B-c_1');
  assert.equal(kafkaTopicName('☃ and "q"'), '_u2603__u0020_and_u0020__u0022_q_u0022_');
  assert.equal(kafkaTopicName('😀'), '_u1f600_');
  assert.equal(probeTopic({ prefix: '' }), 'pgpier_check');
  assert.equal(probeTopic({ prefix: 'a/', name: 'b' }), 'a_u002f_b.pgpier_check');
  assert.deepEqual(kafka('topic_name=t&topic_prefix=p').topics, { prefix: 'p', name: 't' });
});

test('a webhook’s own parameters stay here, and the rest go on as they were written', () => {
  const read = parseWebhookUri(parseUri('webhook-https://me:p%40ss@h.example:8443/a%20b?x=1+2&insecure_tls_skip_verify=true&y=%2Fz&x=3'));
  assert.equal(read.origin + read.base + read.query, 'https://h.example:8443/a%20b?x=1+2&y=%2Fz&x=3');
  assert.deepEqual([read.credentials, read.tls.skipVerify], [{ user: 'me', password: 'p@ss' }, true]);
  assert.throws(() => parseWebhookUri(parseUri('webhook-https://h/'), { disableHttp: true }), {
    message: /^external http access disabled$/,
  });
});

test('a schema registry has a path, a login and a time to answer', () => {
  const read = parseSchemaRegistryUri(parseUri('https://key:sec%2Bret@r.example/apis/ccompat/v7?timeout=1.5s'));
  assert.equal(read.origin + read.base + read.query, 'https://r.example/apis/ccompat/v7');
  assert.deepEqual(read.credentials, { user: 'key', password: 'sec+ret' });
  assert.equal(read.timeoutMilliseconds, 1500);
  assert.equal(parseSchemaRegistryUri(parseUri('http://r:8081')).timeoutMilliseconds, 30_000);
});

test('what is secret in a sink’s URI is not shown', () => {
  for (const [uri, shown] of [
    [
      'kafka://broker.address.com:9092?topic_prefix=bar_&tls_enabled=true&ca_cert=Zm9v&sasl_enabled=true&sasl_user=fake_user&sasl_password=hunter2&sasl_mechanism=SCRAM-SHA-256',
      'kafka://broker.address.com:9092?ca_cert=redacted&sasl_enabled=true&sasl_mechanism=SCRAM-SHA-256&sasl_password=redacted&sasl_user=fake_user&tls_enabled=true&topic_prefix=bar_',
    ],
    [
      'kafka://b?client_cert=aHVudGVy&client_key=aHVudGVy&sasl_client_secret=aHVudGVy',
      'kafka://b?client_cert=redacted&client_key=redacted&sasl_client_secret=redacted',
    ],
    ['confluent-cloud://b?api_key=k&api_secret=hunter2', 'confluent-cloud://b?api_key=k&api_secret=redacted'],
    [
      'azure-event-hub://b?shared_access_key_name=n&shared_access_key=hunter2',
      'azure-event-hub://b?shared_access_key=redacted&shared_access_key_name=n',
    ],
    ['webhook-https://u:hunter2@h/p?token=hunter2&ca_cert=Zm9v', 'webhook-https://u:redacted@h/p?ca_cert=redacted&token=redacted'],
    ['https://key:hunter2@r/?timeout=5s', 'https://key:redacted@r/?timeout=redacted'],
  ] as const)
    assert.equal(redactUri(uri), shown);
});

test('URIs are read without kafkajs or any SDK, which a worker loads when it opens a sink', () => {
  const href = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
  const uris = ['kafka://b', 'confluent-cloud://b?api_key=k&api_secret=s', 'webhook-https://h/', 'https://r/'];
  const script = `
    import { registerHooks } from 'node:module';
    registerHooks({ resolve(name, context, next) { if (/kafkajs|@aws-sdk|@smithy/.test(name)) throw new Error('SDK'); return next(name, context); } });
    const { findProvider } = await import(${href('../../../external/providers.ts')});
    const { openSink } = await import(${href('../../../external/sinks/sinks.ts')});
    const { parseUri } = await import(${href('../../../external/uri.ts')});
    for (const uri of ${JSON.stringify(uris)}) findProvider(parseUri(uri).scheme).provider.validate(parseUri(uri));
    console.log('validated');
    await openSink({ uri: 'kafka://b', trusted: false }, { nodeId: 1, allowedNetworks: [] }).catch((error) => console.log(error.message));`;
  assert.equal(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }), 'validated\nSDK\n');
});
