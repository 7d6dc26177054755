/** Webhooks against nginx, which nobody here wrote; servers that lie or hang; and schema registries against Apicurio. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../../errors.ts';
import { checkSink } from '../../../external/sinks/check.ts';
import { openSink } from '../../../external/sinks/sinks.ts';
import { type SchemaRegistryServer, startSchemaRegistry } from '../../servers/schemaRegistry.ts';
import { startWebhookServer, type WebhookServer } from '../../servers/webhookServer.ts';
import { serve, serveTcp, serveTls } from '../faultServer.ts';

const settings = { nodeId: 1, allowedNetworks: [] };
const base64 = (text: string): string => encodeURIComponent(Buffer.from(text).toString('base64'));

const use = async (uri: string, { probe = true, trusted = true, milliseconds = 20_000 } = {}): Promise<string> => {
  const sink = await openSink({ uri, trusted }, settings);
  const signal = AbortSignal.timeout(milliseconds);
  try {
    const { summary } = await sink.describe({ signal });
    return probe ? `${summary}; ${(await sink.probe({ signal })).where}` : summary;
  } finally {
    await sink.close();
  }
};
const fails = async (uri: string, sqlstate: string, text: RegExp, options?: Parameters<typeof use>[1]): Promise<void> => {
  await assert.rejects(use(uri, options), (error) => {
    assert.ok(error instanceof PgPierError, String(error));
    assert.match(error.message, text);
    assert.doesNotMatch(error.message, /hunter2/);
    assert.equal(error.data.sqlstate, sqlstate, error.message);
    return true;
  });
};

const nginx = await startWebhookServer();
if ('missing' in nginx) test('webhooks', { skip: nginx.missing }, () => {});
else describe('webhooks', () => withNginx(nginx));

function withNginx(nginx: WebhookServer): void {
  after(() => nginx.stop());
  const { ports, tls, requests } = nginx;
  const ca = `ca_cert=${base64(tls.ca)}`;
  const pair = `client_cert=${base64(tls.client.cert)}&client_key=${base64(tls.client.key)}`;

  /** nginx writes its log when the answer is out. */
  const written = async (count: number) => {
    for (let waited = 0; requests().length < count && waited < 5_000; waited += 20) await sleep(20);
    return requests();
  };

  test('CREATE shakes hands and posts nothing; CHECK posts an empty batch', async () => {
    const uri = `webhook-https://me:p%40ss@localhost:${ports.secure}/in/here?token=a+b&${ca}&x=%2Fy`;
    assert.match(await use(uri, { probe: false }), /^an endpoint that speaks TLSv1\.[23]$/);
    assert.deepEqual(requests(), []);
    assert.match(await use(uri), new RegExp(`; webhook-https://localhost:${ports.secure}$`));
    assert.deepEqual(await written(1), [
      {
        request: 'POST /in/here?token=a+b&x=%2Fy HTTP/1.1',
        body: '{"payload":[],"length":0}',
        type: 'application/json',
        user: 'me',
        client: '',
      },
    ]);
  });

  test('a client certificate is shown where it is asked for', async () => {
    assert.match(await use(`webhook-https://localhost:${ports.mutual}/?${ca}&${pair}`), /TLSv1/);
    assert.equal((await written(2)).at(-1)!.client, 'CN=client');
    await fails(`webhook-https://localhost:${ports.mutual}/?${ca}`, '58000', /^webhook-https:\/\/localhost:\d+: post failed \(HTTP 400\)$/);
  });

  test('who cannot be trusted gets nothing', async () => {
    const before = (await written(3)).length;
    await fails(`webhook-https://localhost:${ports.secure}/`, '08001', /^TLS with https:\/\/localhost:\d+ failed: UNABLE_TO_\w+$/);
    await fails(`webhook-https://localhost:${ports.secure}/?ca_cert=${base64(tls.otherCa)}`, '08001', /^TLS with .* failed: \w+$/);
    await fails(`webhook-https://127.0.0.1:${ports.secure}/?${ca}`, '08001', /failed: ERR_TLS_CERT_ALTNAME_INVALID$/);
    assert.equal(requests().length, before);
    assert.match(await use(`webhook-https://127.0.0.1:${ports.secure}/?insecure_tls_skip_verify=true`), /TLSv1/);
  });

  test('refusals and redirects are told, and not followed', async () => {
    await fails(`webhook-https://localhost:${ports.secure}/refused?${ca}`, '42501', /these credentials may not post at webhook-https:/);
    await fails(
      `webhook-https://localhost:${ports.secure}/moved?${ca}`,
      '08P01',
      /redirects to https:\/\/localhost:\d+\/, which is not followed$/,
    );
  });
}

describe('webhooks that are none', () => {
  test('are told apart, in time', async (t) => {
    const plain = await serve(t, (_request, response) => response.end('hunter2'));
    const mute = await serveTcp(t);
    await fails(plain.endpoint.replace('http', 'webhook-https'), '08001', /^TLS with https:\/\/127\.0\.0\.1:\d+ failed: \w+$/);
    await fails('webhook-https://127.0.0.1:1/', '08001', /^cannot reach https:\/\/127\.0\.0\.1:1: ECONNREFUSED$/);
    await fails('webhook-https://nosuchhost.invalid/', '08001', /^cannot reach https:\/\/nosuchhost\.invalid: E(NOTFOUND|AI_AGAIN)$/);
    await fails('webhook-https://169.254.169.254/latest', '42501', /link-local or a metadata service/);
    await fails('webhook-https://localhost:1/', '42501', /is not allowed: it is a loopback or private address/, { trusted: false });
    await fails(`webhook-https://127.0.0.1:${mute}/`, '08006', /^no answer from https:\/\/127\.0\.0\.1:\d+ in time$/, {
      milliseconds: 500,
    });
    const aborted = checkSink(
      { uri: `webhook-https://127.0.0.1:${mute}/`, trusted: true },
      { probe: true },
      settings,
      AbortSignal.timeout(300),
    );
    await assert.rejects(aborted, (error) => error instanceof PgPierError, 'a cancel is no answer');
  });

  test('an answer of 4xx and 5xx is a failure by its number', async (t) => {
    let status = 401;
    const server = await serveTls(t, 'localhost', (_request, response) => response.writeHead(status).end('hunter2'));
    if (server === undefined) return t.skip('openssl is not there');
    const uri = `webhook-https://localhost:${server.port}/?insecure_tls_skip_verify=true&key=hunter2`;
    for (const [answer, sqlstate, text] of [
      [401, '28000', /does not accept these credentials \(HTTP 401\)$/],
      [404, '58000', /post failed \(HTTP 404\)$/],
      [429, '53000', /is too busy \(HTTP 429\)$/],
      [500, '58000', /post failed \(HTTP 500\)$/],
    ] as const) {
      status = answer;
      await fails(uri, sqlstate, text);
    }
  });
});

const registry = await startSchemaRegistry();
if ('missing' in registry) test('schema registries', { skip: registry.missing }, () => {});
else describe('schema registries', () => withRegistry(registry));

function withRegistry(registry: SchemaRegistryServer): void {
  after(() => registry.stop());
  const ask = async (path: string, body?: object): Promise<unknown> =>
    (
      await fetch(
        `${registry.url}${path}`,
        body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) },
      )
    ).json();

  test('one of Apicurio’s is asked for its subjects, and CHECK leaves none there', async () => {
    assert.equal(await use(registry.url, { probe: false }), 'a schema registry with 0 subjects');
    assert.equal(
      await use(`${registry.url}/?timeout=5s`),
      'a schema registry with 0 subjects; subject "pgpier_check", where it left nothing',
    );
    assert.deepEqual(await ask('/subjects'), []);
    await ask('/subjects/orders-value/versions', { schema: '"string"' });
    assert.equal(await use(registry.url), 'a schema registry with 1 subject; subject "pgpier_check", where it left nothing');
    assert.deepEqual(await ask('/subjects'), ['orders-value']);
    // Where the subject is there, what is asked about is still not.
    await ask('/subjects/pgpier_check/versions', { schema: '"int"' });
    assert.match(await use(registry.url), /2 subjects/);
    assert.deepEqual(await ask('/subjects/pgpier_check/versions'), [1]);
  });

  test('what is none, refuses or hangs is told', async (t) => {
    await fails(registry.url.replace('/ccompat/v7', '/nothing'), '58000', /list subjects failed \(HTTP 404\)$/);
    const answers: Record<string, [status: number, body: string]> = {
      '/page/subjects': [200, '<html>hunter2</html>'],
      '/object/subjects': [200, '{"subjects":[]}'],
      '/moved/subjects': [302, ''],
      '/wrong/subjects': [401, '{"error_code":401,"message":"hunter2"}'],
      '/denied/subjects': [403, ''],
    };
    let authorization: string | undefined;
    const server = await serve(t, (request, response) => {
      authorization = request.headers.authorization;
      const [status, body] = answers[request.url!] ?? [200, '[]'];
      response.writeHead(status, status === 302 ? { location: 'http://169.254.169.254/' } : {}).end(body);
    });
    await fails(`${server.endpoint}/page`, '08P01', /does not answer as a schema registry does \(not JSON\)$/);
    await fails(`${server.endpoint}/object`, '08P01', /\(no list of subjects\)$/);
    await fails(`${server.endpoint}/moved`, '08P01', /which is not followed$/);
    await fails(`${server.endpoint.replace('//', '//key:hunter2@')}/wrong`, '28000', /does not accept these credentials \(HTTP 401\)$/);
    assert.equal(authorization, `Basic ${Buffer.from('key:hunter2').toString('base64')}`);
    await fails(`${server.endpoint}/denied`, '42501', /may not list subjects at http:/);
    await fails(server.endpoint, '42501', /is not allowed/, { trusted: false });
    const mute = await serveTcp(t);
    await fails(`http://127.0.0.1:${mute}/?timeout=300ms`, '08006', /in time$/);
  });
}
