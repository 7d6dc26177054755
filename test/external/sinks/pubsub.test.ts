/** `gcpubsub` on Google's own fake of Pub/Sub (test/servers/googleApis), and where the other side refuses. */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import pg from 'pg';
import { PgPierError } from '../../../errors.ts';
import { redactUri } from '../../../external/redact.ts';
import { endpointOf, parsePubsubUri } from '../../../external/sinks/pubsubUri.ts';
import type { Sink } from '../../../external/sinks/sink.ts';
import { findSink, openSink } from '../../../external/sinks/sinks.ts';
import type { StorageSettings } from '../../../external/storage/storage.ts';
import { parseUri } from '../../../external/uri.ts';
import { type GoogleApis, startGoogleApis } from '../../servers/googleApis.ts';
import { startPgpier } from '../../servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../../servers/postgres.ts';
import { serve, serveTcp } from '../faultServer.ts';
import { serveTokens, serviceAccount } from '../serviceAccount.ts';
import { rejectsWith } from '../storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };

async function uriOf(t: TestContext, endpoint: string, { project = 'p-1', more = '' } = {}): Promise<string> {
  const credentials = encodeURIComponent(serviceAccount(await serveTokens(t)));
  return `gcpubsub://${project}?CREDENTIALS=${credentials}&GOOGLE_ENDPOINT=${encodeURIComponent(endpoint)}${more}`;
}

async function withSink<T>(uri: string, work: (sink: Sink) => Promise<T>, trusted = true): Promise<T> {
  const sink = await openSink({ uri, trusted }, settings);
  try {
    return await work(sink);
  } finally {
    await sink.close();
  }
}

describe('gcpubsub on Google’s fake', { timeout: 300_000 }, () => {
  let apis: GoogleApis;
  let missing: string | undefined;
  before(async () => {
    const started = await startGoogleApis();
    if ('missing' in started) missing = started.missing;
    else apis = started;
  });
  after(async () => await apis?.stop());
  const on = (title: string, body: (t: TestContext) => Promise<void>) => it(title, (t) => (missing ? t.skip(missing) : body(t)));

  /** Without our code. */
  const api = async (method: string, path: string, body?: object): Promise<Record<string, unknown>> => {
    const answer = await fetch(`${apis.endpoint}/v1/${path}`, {
      method,
      headers: { authorization: 'Bearer x' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.equal(answer.status, 200, `${method} ${path}`);
    return (await answer.json()) as Record<string, unknown>;
  };

  on('it tells how many topics a project has, or whether the one is there', async (t) => {
    const project = 'described';
    const summary = async (more = '') =>
      (await withSink(await uriOf(t, apis.endpoint, { project, more }), (sink) => sink.describe())).summary;
    assert.equal(await summary(), 'project described with 0 topics');
    assert.equal(await summary('&topic_name=orders'), 'project described, no topic "orders" yet');
    await api('PUT', 'projects/described/topics/orders', {});
    assert.equal(await summary(), 'project described with 1 topic');
    assert.equal(await summary('&topic_name=orders&region=europe-west3'), 'topic "orders" of project described');
  });

  on('a probe is a message in a topic of its own, which goes away again if it was made for it', async (t) => {
    const project = 'probed';
    const uri = await uriOf(t, apis.endpoint, { project, more: '&topic_name=orders' });
    await api('PUT', 'projects/probed/topics/orders', {});
    const alone = await withSink(uri, (sink) => sink.probe());
    assert.equal(alone.where, 'topic "pgpier_check", which was created for it and is gone again');
    const topics = (await api('GET', 'projects/probed/topics')).topics as { name: string }[];
    assert.deepEqual(
      topics.map(({ name }) => name),
      ['projects/probed/topics/orders'],
    );

    await api('PUT', 'projects/probed/topics/pgpier_check', {});
    await api('PUT', 'projects/probed/subscriptions/s', { topic: 'projects/probed/topics/pgpier_check' });
    const probe = await withSink(uri, (sink) => sink.probe());
    assert.equal(probe.where, 'topic "pgpier_check"');
    const pulled = (await api('POST', 'projects/probed/subscriptions/s:pull', { maxMessages: 5 })) as {
      receivedMessages: { message: { data: string } }[];
    };
    const texts = pulled.receivedMessages.map(({ message }) => Buffer.from(message.data, 'base64').toString());
    assert.equal(texts.length, 1);
    assert.match(texts[0]!, /^\{"pgpier_check":\{"sent":"\d{4}-/);
    assert.equal(probe.bytes, texts[0]!.length);
  });

  on('CREATE and CHECK EXTERNAL CONNECTION, through the proxy', async (t) => {
    const reason = missingPostgres(18);
    if (reason) return t.skip(reason);
    const uri = await uriOf(t, apis.endpoint, { project: 'proxied' });
    const postgres = await startPostgres({ version: 18 });
    const proxy = await startPgpier({ backend: postgres });
    const client = new pg.Client({ connectionString: proxy.connectionString() });
    const notices: string[] = [];
    client.on('notice', ({ severity, message }) => notices.push(`${severity} ${message}`));
    try {
      await client.connect();
      await client.query('create external connection feed as $1', [uri]);
      assert.deepEqual(notices, []);
      const [row] = (await client.query("check external connection 'external://feed'")).rows;
      assert.deepEqual([row.ok, row.error, row.transferred], [true, null, '52 B']);
      assert.deepEqual(notices, [
        'NOTICE project proxied with 0 topics; a message was sent to topic "pgpier_check", which was created for it and is gone again',
      ]);
      const [{ connection_uri: shown, connection_type: type }] = (await client.query('show external connection feed')).rows;
      assert.match(shown, /^gcpubsub:\/\/proxied\?CREDENTIALS=redacted&GOOGLE_ENDPOINT=http/);
      assert.equal(type, 'STORAGE');
      notices.length = 0;
      await client.query('create external connection gone as $1', [uri.replace(encodeURIComponent(apis.endpoint), 'http://127.0.0.1:1')]);
      assert.match(notices.join(), /^WARNING .*cannot reach http:\/\/127\.0\.0\.1:1: ECONNREFUSED$/);
      await assert.rejects(client.query('create external connection wrong as $1', [`${uri}&topic_prefix=x`]), {
        code: '22023',
        message:
          'failed to construct External Connection details: invalid changefeed sink URI: unknown pubsub sink query parameters: topic_prefix',
      });
      await assert.rejects(client.query("export into csv 'external://feed' from select 1"), { code: '42809' });
    } finally {
      await client.end();
      await proxy.stop();
      await postgres.stop();
    }
  });
});

describe('gcpubsub where the other side refuses', { concurrency: true }, () => {
  for (const [status, code, sqlstate, text] of [
    [401, 'UNAUTHENTICATED', '28000', /^gcpubsub:\/\/p-1 does not accept these credentials \(UNAUTHENTICATED\)$/],
    [403, 'PERMISSION_DENIED', '42501', /these credentials may not list topics at gcpubsub:\/\/p-1$/],
    [404, 'NOT_FOUND', '42704', /^gcpubsub:\/\/p-1 does not exist$/],
    [503, 'UNAVAILABLE', '53000', /is too busy \(UNAVAILABLE\)$/],
    [200, '', '08P01', /does not answer as Google Cloud Pub\/Sub does \(no JSON\)$/],
    [404, '', '08P01', /does not answer as Google Cloud Pub\/Sub does \(HTTP 404\)$/],
    [301, '', '08P01', /redirects to another address, which is not followed$/],
  ] as const) {
    it(`${status} ${code || 'with a page'} is ${sqlstate}`, async (t) => {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { 'content-type': 'application/json', location: 'http://169.254.169.254/' });
        response.end(code === '' ? '<html>HUSH' : JSON.stringify({ error: { code: status, message: 'HUSH', status: code } }));
      });
      const uri = await uriOf(t, endpoint);
      await rejectsWith(() => withSink(uri, (sink) => sink.describe()), sqlstate, text);
    });
  }

  it('a probe that may not be sent takes its topic away again', async (t) => {
    const { endpoint, requests } = await serve(t, (request, response) => {
      const refuse = (status: number, code: string) =>
        response.writeHead(status).end(JSON.stringify({ error: { code: status, status: code } }));
      if (request.method === 'GET') return void refuse(404, 'NOT_FOUND');
      if (request.method === 'POST') return void refuse(403, 'PERMISSION_DENIED');
      response.end('{}');
    });
    const uri = await uriOf(t, endpoint);
    await rejectsWith(
      () => withSink(uri, (sink) => sink.probe()),
      '42501',
      /these credentials may not write to topic "pgpier_check" at gcpubsub:\/\/p-1$/,
    );
    assert.deepEqual(
      requests.map((each) => each.split(' ')[0]),
      ['GET', 'PUT', 'POST', 'DELETE'],
    );
  });

  it('addresses are judged, and a server that hangs ends with the statement', async (t) => {
    const endpoint = `http://127.0.0.1:${await serveTcp(t)}`;
    const uri = await uriOf(t, endpoint);
    const describeSink = (signal?: AbortSignal, trusted = true) =>
      withSink(uri, (sink) => sink.describe(signal ? { signal } : {}), trusted);
    await rejectsWith(() => describeSink(undefined, false), '42501', /connecting to 127\.0\.0\.1 is not allowed/);
    await rejectsWith(() => describeSink(AbortSignal.timeout(500)), '08006', /^no answer from .* in time$/);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await rejectsWith(() => describeSink(controller.signal), '57014', /^canceled/);
  });
});

describe('a gcpubsub URI', () => {
  const credentials = `CREDENTIALS=${encodeURIComponent(serviceAccount('https://oauth2.googleapis.com/token'))}`;
  const parse = (text: string, given?: Partial<StorageSettings>) => parsePubsubUri(parseUri(text), given);

  it('is refused in words that tell what is wrong', () => {
    for (const [text, message] of [
      ['gcpubsub://p', 'CREDENTIALS must be set unless "AUTH" is "implicit"'],
      ['gcpubsub://p?CREDENTIALS=*', 'error getting credentials from CREDENTIALS: illegal base64 data at input byte 0'],
      ['gcpubsub://p?AUTH=maybe', 'unsupported value "maybe" for AUTH'],
      [`gcpubsub://p?${credentials}&topic_prefix=a&BEARER_TOKEN=b`, 'unknown pubsub sink query parameters: topic_prefix, BEARER_TOKEN'],
      [`gcpubsub://p?${credentials}&topic_name=`, 'param topic_name must not be empty'],
      [`gcpubsub://p?${credentials}&region=Frankfurt`, 'param region must be the name of a region, such as europe-west3'],
      [`gcpubsub://?${credentials}`, 'the host of a gcpubsub URI must be the id of a project'],
      [`gcpubsub://p%2Fq?${credentials}`, 'the host of a gcpubsub URI must be the id of a project'],
      [`gcpubsub://p/topic?${credentials}`, 'invalid URI: a gcpubsub URI has a project alone before the "?"'],
    ] as const)
      assert.throws(() => parse(text), { message }, text);
    for (const name of ['1a', 'ab', 'googx', 'a b c', 'a/b', 'a:publish', 'x'.repeat(256)])
      assert.throws(
        () => parse(`gcpubsub://p?${credentials}&topic_name=${encodeURIComponent(name)}`),
        (error: unknown) => error instanceof PgPierError && /^param topic_name must be the name of a topic/.test(error.message),
        name,
      );
  });

  it('leads to the region’s own address, and is bound by what the operator forbids', () => {
    assert.equal(endpointOf(parse(`gcpubsub://example.com%3Ap?${credentials}`)), 'https://pubsub.googleapis.com');
    assert.equal(endpointOf(parse(`gcpubsub://p?${credentials}&region=europe-west3`)), 'https://europe-west3-pubsub.googleapis.com');
    assert.equal(endpointOf(parse(`gcpubsub://p?${credentials}&region=europe-west3&GOOGLE_ENDPOINT=h`)), 'https://h');
    assert.equal(parse('gcpubsub://p?AUTH=implicit&topic_name=a.b~c').topic, 'a.b~c');
    assert.throws(() => parse(`gcpubsub://p?${credentials}&GOOGLE_ENDPOINT=h`, { disableHttp: true }), {
      message: /^custom endpoints disallowed for gcpubsub/,
    });
    assert.throws(() => parse('gcpubsub://p?AUTH=implicit', { disableImplicitCredentials: true }), {
      message: /^implicit credentials disallowed for gcpubsub/,
    });
    const provider = findSink('gcpubsub')!;
    assert.equal(provider.requiresImplicitAccess(parseUri(`gcpubsub://p?${credentials}`)), false);
    assert.equal(provider.requiresImplicitAccess(parseUri('gcpubsub://p?AUTH=implicit')), true);
    assert.equal(redactUri('gcpubsub://p?CREDENTIALS=HUSH&topic_name=t'), 'gcpubsub://p?CREDENTIALS=redacted&topic_name=t');
  });
});
