/** How a `gs://` URI gets its tokens. Google's own library looks at what we sign, and finds the machine's own credentials. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { OAuth2Client } from 'google-auth-library';
import { openKeyService } from '../../external/kms/keyServices.ts';
import { openSink } from '../../external/sinks/sinks.ts';
import { openGs } from '../../external/storage/gs.ts';
import { parseGsUri } from '../../external/storage/gsUri.ts';
import type { Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { parseUri } from '../../external/uri.ts';
import { serve } from './faultServer.ts';
import { accountEmail, accountKey, serviceAccount } from './serviceAccount.ts';
import { listPaths, rejectsWith } from './storageContract.ts';

const storageScope = 'https://www.googleapis.com/auth/devstorage.read_write';

const keyFile = (tokenUri: string): string => serviceAccount(tokenUri, { private_key_id: 'key-1' });

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return String(Buffer.concat(chunks));
}

const json = (response: ServerResponse, status: number, value: object) =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));

interface Cloud {
  readonly endpoint: string;
  /** `what was asked` of each request. */
  readonly asked: string[];
}

/** A token server that believes Google's library alone, the IAM Credentials API, and a bucket that takes the tokens in `good`. */
async function serveCloud(t: TestContext, good: readonly string[], seconds = 3600): Promise<Cloud> {
  const asked: string[] = [];
  let issued = 0;
  const { endpoint } = await serve(t, async (request, response) => {
    const text = await bodyOf(request);
    const bearer = request.headers.authorization?.replace('Bearer ', '') ?? 'nobody';
    if (request.url === '/token') {
      const form = new URLSearchParams(text);
      assert.equal(form.get('grant_type'), 'urn:ietf:params:oauth:grant-type:jwt-bearer');
      const ticket = await new OAuth2Client().verifySignedJwtWithCertsAsync(
        form.get('assertion')!,
        { 'key-1': accountKey },
        `${endpoint}/token`,
        [accountEmail],
      );
      const { iat, exp, scope } = ticket.getPayload() as { iat: number; exp: number; scope?: string };
      assert.equal(exp - iat, 3600);
      asked.push(`token for ${scope}`);
      return json(response, 200, { access_token: `own-${++issued}`, expires_in: seconds, token_type: 'Bearer' });
    }
    const [, account] = /^\/v1\/projects\/-\/serviceAccounts\/(.+):generateAccessToken$/.exec(request.url!) ?? [];
    if (account !== undefined) {
      asked.push(`${bearer} becomes ${decodeURIComponent(account)}: ${text}`);
      return json(response, 200, { accessToken: `other-${++issued}`, expireTime: new Date(Date.now() + seconds * 1000).toISOString() });
    }
    asked.push(`${bearer} lists`);
    if (good.includes(bearer)) return json(response, 200, { kind: 'storage#objects' });
    json(response, 401, { error: { code: 401, errors: [{ reason: 'authError' }] } });
  });
  return { endpoint, asked };
}

function open(endpoint: string, parameters: Readonly<Record<string, string>>, { trusted = true, iam = endpoint } = {}): Promise<Storage> {
  const query = Object.entries({ ...parameters, GOOGLE_ENDPOINT: endpoint }).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  return openGs(parseGsUri(parseUri(`gs://bucket/path?${query.join('&')}`)), trusted, { nodeId: 1, allowedNetworks: [] }, undefined, {
    iam,
  });
}

describe('a key of a service account', () => {
  it('signs for a token, which is used until shortly before its end by all who ask', async (t) => {
    const { endpoint, asked } = await serveCloud(t, ['own-1']);
    const storage = await open(endpoint, { CREDENTIALS: keyFile(`${endpoint}/token`) });
    await Promise.all([listPaths(storage, ''), listPaths(storage, ''), listPaths(storage, '')]);
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(asked, [`token for ${storageScope}`, ...Array(4).fill('own-1 lists')]);
  });

  it('signs again when its token is about to end', async (t) => {
    const { endpoint, asked } = await serveCloud(t, ['own-1', 'own-2'], 200);
    const storage = await open(endpoint, { CREDENTIALS: keyFile(`${endpoint}/token`) });
    await listPaths(storage, '');
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(
      asked.map((each) => each.split(' ')[0]),
      ['token', 'own-1', 'token', 'own-2'],
    );
  });

  it('signs once more when a token is refused, and a given token is refused for good', async (t) => {
    const { endpoint, asked } = await serveCloud(t, ['own-2']);
    const storage = await open(endpoint, { CREDENTIALS: keyFile(`${endpoint}/token`) });
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(
      asked.map((each) => each.split(' ')[0]),
      ['token', 'own-1', 'token', 'own-2'],
    );
    asked.length = 0;
    const given = await open(endpoint, { BEARER_TOKEN: 'ya29.old' });
    await rejectsWith(() => listPaths(given, ''), '28000', /^gs:\/\/bucket\/path does not accept these credentials \(authError\)$/);
    await given.close();
    assert.deepEqual(asked, ['ya29.old lists']);
  });

  it('that is refused is 28000, a clock that is far off too; texts are not repeated', async (t) => {
    const refused = async (headers: Readonly<Record<string, string>> = {}) => {
      const { endpoint } = await serve(t, (_, response) => {
        for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
        json(response, 400, { error: 'invalid_grant', error_description: 'SECRET: Invalid JWT Signature.' });
      });
      const storage = await open(endpoint, { CREDENTIALS: keyFile(`${endpoint}/token`) });
      try {
        await listPaths(storage, '');
      } finally {
        await storage.close();
      }
    };
    await rejectsWith(() => refused(), '28000', /^gs:\/\/bucket\/path does not accept these credentials \(invalid_grant\)$/);
    const date = new Date(Date.now() + 3_600_000).toUTCString();
    await rejectsWith(() => refused({ date }), '28000', /^gs:\/\/bucket\/path finds this machine's clock too far from its own$/);
  });

  it('asks for its token where egress.ts lets it, follows no redirect, and is not kept waiting for ever', async (t) => {
    const attempt = async (tokenUri: string, trusted = true, signal?: AbortSignal) => {
      const storage = await open('https://storage.invalid', { CREDENTIALS: keyFile(tokenUri) }, { trusted });
      try {
        for await (const _ of storage.list('', signal === undefined ? {} : { signal }));
      } finally {
        await storage.close();
      }
    };
    await rejectsWith(() => attempt('http://169.254.169.254/token'), '42501', /is not allowed: it is link-local or a metadata service$/);
    await rejectsWith(() => attempt('http://127.0.0.1:1/token', false), '42501', /is not allowed: it is a loopback or private address$/);
    const trap = await serve(t, (_, response) => response.end('trapped'));
    const away = await serve(t, (_, response) => void response.writeHead(307, { location: trap.endpoint }).end());
    await rejectsWith(() => attempt(away.endpoint), '08P01', /redirects to another address, which is not followed$/);
    assert.deepEqual(trap.requests, []);
    const html = await serve(t, (_, response) => response.end('<html>SECRET'));
    await rejectsWith(() => attempt(html.endpoint), '08P01', /does not answer as a token server does \(no JSON\)$/);
    const silent = await serve(t, () => {});
    const started = Date.now();
    await rejectsWith(() => attempt(silent.endpoint, true, AbortSignal.timeout(300)), '08006', /^no answer from Google in time$/);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    await rejectsWith(() => attempt(silent.endpoint, true, controller.signal), '57014', /^canceled/);
    assert.ok(Date.now() - started < 6_000);
  });
});

describe('a token server of one’s own', () => {
  it('is a place that the operator’s list has to name', async () => {
    const uri = (tokenUri: string) => `gs://lake/x?CREDENTIALS=${encodeURIComponent(keyFile(tokenUri))}`;
    const opened = async (tokenUri: string, allowedLocations: readonly string[]) => {
      const storage = await openStorage({ uri: uri(tokenUri), trusted: true }, { nodeId: 1, allowedNetworks: [], allowedLocations });
      await storage.close();
    };
    await opened('https://oauth2.googleapis.com/token', ['gs://lake']);
    const own = 'https://tokens.example/token';
    await rejectsWith(() => opened(own, ['gs://lake']), '42501', /gs:\/\/lake\/x \(token_uri=https:\/\/tokens\.example\)/);
    await opened(own, ['gs://lake?token_uri=https://tokens.example']);
  });
});

describe('ASSUME_ROLE', () => {
  const chain = 'first@p.iam.gserviceaccount.com,second@p.iam.gserviceaccount.com,third@p.iam.gserviceaccount.com';
  const body = (...delegates: string[]) =>
    JSON.stringify({ delegates: delegates.map((each) => `projects/-/serviceAccounts/${each}`), scope: [storageScope], lifetime: '3600s' });

  it('becomes the last of a chain by way of the others, once for many requests', async (t) => {
    const { endpoint, asked } = await serveCloud(t, ['other-2']);
    const storage = await open(endpoint, { CREDENTIALS: keyFile(`${endpoint}/token`), ASSUME_ROLE: chain });
    await Promise.all([listPaths(storage, ''), listPaths(storage, '')]);
    await storage.close();
    const [first, second, third] = chain.split(',') as [string, string, string];
    assert.deepEqual(asked, [
      'token for https://www.googleapis.com/auth/iam',
      `own-1 becomes ${third}: ${body(first, second)}`,
      'other-2 lists',
      'other-2 lists',
    ]);
  });

  it('works with a given token, too', async (t) => {
    const { endpoint, asked } = await serveCloud(t, ['other-1']);
    const storage = await open(endpoint, { BEARER_TOKEN: 'ya29.mine', ASSUME_ROLE: 'one@p.iam.gserviceaccount.com' });
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(asked, [`ya29.mine becomes one@p.iam.gserviceaccount.com: ${body()}`, 'other-1 lists']);
  });

  it('that is not allowed is 42501, with the role and no more', async (t) => {
    const { endpoint } = await serve(t, (_, response) =>
      json(response, 403, { error: { code: 403, message: 'SECRET', status: 'PERMISSION_DENIED' } }),
    );
    const storage = await open(endpoint, { BEARER_TOKEN: 'ya29.mine', ASSUME_ROLE: 'one@p.iam.gserviceaccount.com' });
    await rejectsWith(
      () => listPaths(storage, ''),
      '42501',
      /^access denied: these credentials may not act for the service account one@p\.iam\.gserviceaccount\.com \(PERMISSION_DENIED\)$/,
    );
    await storage.close();
  });
});

describe('AUTH=implicit', () => {
  const withEnvironment = async (t: TestContext, variables: Readonly<Record<string, string>>) => {
    // Nothing of the machine that the test runs on.
    const home = mkdtempSync(join(tmpdir(), 'pgp-gcloud-'));
    const given: Record<string, string | undefined> = {
      GOOGLE_APPLICATION_CREDENTIALS: undefined,
      CLOUDSDK_CONFIG: home,
      PATH: home,
      ...variables,
    };
    const before = Object.fromEntries(Object.keys(given).map((name) => [name, process.env[name]]));
    const set = (values: Readonly<Record<string, string | undefined>>) => {
      for (const [name, value] of Object.entries(values)) {
        if (value === undefined) delete process.env[name];
        else process.env[name] = value;
      }
    };
    set(given);
    t.after(() => {
      set(before);
      rmSync(home, { recursive: true });
    });
    return home;
  };

  it('finds workload identity: a file of the operator says where a token of another cloud is changed for one of Google', async (t) => {
    const cloud = await serveCloud(t, ['federated']);
    const exchanged: string[] = [];
    const sts = await serve(t, async (request, response) => {
      exchanged.push(new URLSearchParams(await bodyOf(request)).get('subject_token')!);
      json(response, 200, {
        access_token: 'federated',
        issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        token_type: 'Bearer',
        expires_in: 3600,
      });
    });
    const home = await withEnvironment(t, { METADATA_SERVER_DETECTION: 'none' });
    writeFileSync(join(home, 'subject'), 'proof-of-another-cloud');
    const file = join(home, 'federation.json');
    writeFileSync(
      file,
      JSON.stringify({
        type: 'external_account',
        audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q',
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        token_url: `${sts.endpoint}/v1/token`,
        credential_source: { file: join(home, 'subject') },
      }),
    );
    process.env.GOOGLE_APPLICATION_CREDENTIALS = file;
    const storage = await open(cloud.endpoint, { AUTH: 'implicit' });
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(exchanged, ['proof-of-another-cloud']);
    assert.deepEqual(cloud.asked, ['federated lists']);
  });

  it('finds the metadata server', async (t) => {
    const cloud = await serveCloud(t, ['from-metadata']);
    const metadata = await serve(t, (request, response) => {
      response.setHeader('metadata-flavor', 'Google');
      if (request.headers['metadata-flavor'] !== 'Google') return void response.writeHead(403).end();
      if (!request.url!.includes('/token')) return void response.end('project');
      json(response, 200, { access_token: 'from-metadata', expires_in: 3600, token_type: 'Bearer' });
    });
    await withEnvironment(t, { METADATA_SERVER_DETECTION: 'assume-present', GCE_METADATA_HOST: metadata.endpoint.replace('http://', '') });
    const storage = await open(cloud.endpoint, { AUTH: 'implicit' });
    await listPaths(storage, '');
    await storage.close();
    assert.deepEqual(cloud.asked, ['from-metadata lists']);
  });

  it('without any is 28000', async (t) => {
    await withEnvironment(t, { METADATA_SERVER_DETECTION: 'none' });
    const storage = await open('http://127.0.0.1:1', { AUTH: 'implicit' });
    await rejectsWith(() => listPaths(storage, ''), '28000', /^AUTH=implicit: no credentials were found in the environment of PgPier$/);
    await storage.close();
  });

  it('is not sent to an address that somebody else than an admin chose', async () => {
    const settings = { nodeId: 1, allowedNetworks: ['127.0.0.0/8'] };
    const away = { message: 'AUTH=implicit with GOOGLE_ENDPOINT would send tokens of this machine to a server of your choice' };
    const query = '?AUTH=implicit&GOOGLE_ENDPOINT=http://127.0.0.1:1';
    const key = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
    await assert.rejects(openStorage({ uri: `gs://b${query}`, trusted: false }, settings), away);
    await assert.rejects(openKeyService({ uri: `gcp-kms:///${key}${query}`, trusted: false }, settings), away);
    await assert.rejects(openSink({ uri: `gcpubsub://p${query}`, trusted: false }, settings), away);
    const storage = await openStorage({ uri: 'gs://b?BEARER_TOKEN=t', trusted: true }, settings);
    assert.throws(() => storage.renew!({ uri: `gs://b${query}`, trusted: false }), away);
    await storage.close();
  });
});
