/** Servers that are not what an azure URI says, and answers of Azure's that Azurite does not give. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { checkStorage } from '../../external/storage/check.ts';
import type { Storage, StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { freePort } from '../servers/postgres.ts';
import { serve, serveTcp, serveTls } from './faultServer.ts';
import { listPaths, readObject, rejectsWith, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const uri = (endpoint: string) =>
  `azure://container/path?AZURE_ACCOUNT_NAME=account&AZURE_ACCOUNT_KEY=U0VDUkVU&AZURE_ENDPOINT=${encodeURIComponent(`${endpoint}/account`)}`;
const check = (endpoint: string, signal = new AbortController().signal) =>
  checkStorage({ uri: uri(endpoint), trusted: true }, settings, signal);
const open = (endpoint: string) => openStorage({ uri: uri(endpoint), trusted: true }, settings);

type Fault = { readonly status: number; readonly code: string; readonly headers?: Readonly<Record<string, string>> };
const refuse = (response: ServerResponse, { status, code, headers = {} }: Fault) =>
  response
    .writeHead(status, { 'content-type': 'application/xml', 'x-ms-error-code': code, ...headers })
    .end(`<?xml version="1.0" encoding="utf-8"?><Error><Code>${code}</Code><Message>SECRET-TEXT</Message></Error>`);

describe('Azure behind a wrong or broken address', { concurrency: true }, () => {
  it('a closed port is 08001, soon', async () => {
    const started = Date.now();
    const port = await freePort();
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08001', /cannot reach http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED$/);
    assert.ok(Date.now() - started < 10_000);
  });

  it('a name that does not exist is 08001', async () => {
    const name = /cannot reach http:\/\/no-such-host\.invalid: (ENOTFOUND|EAI_AGAIN)$/;
    await rejectsWith(() => check('http://no-such-host.invalid'), '08001', name);
  });

  it('a server that accepts and never answers ends CREATE after 15 seconds', async (t) => {
    const endpoint = `http://127.0.0.1:${await serveTcp(t)}`;
    const started = Date.now();
    await rejectsWith(() => check(endpoint), '08006', /no answer from http:\/\/127\.0\.0\.1:\d+ in time$/);
    assert.ok(Date.now() - started < 20_000, `${Date.now() - started} ms`);
  });

  it('a cancelled CREATE ends at once', async (t) => {
    const { endpoint } = await serve(t, () => {});
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    const started = Date.now();
    await rejectsWith(() => check(endpoint, controller.signal), '57014', /: canceled/);
    assert.ok(Date.now() - started < 5_000);
  });

  it('a web server that answers everything with HTML is not taken for Azure', async (t) => {
    for (const status of [200, 400, 403, 404, 500]) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><html><body><p>Hello<br>SECRET-PAGE</body></html>');
      });
      await assert.rejects(check(endpoint), (error: Error & { data: { sqlstate: string } }) => {
        assert.match(error.data.sqlstate, status === 403 ? /^42501$/ : /^08P01$/, `${status}: ${error.message}`);
        assert.doesNotMatch(error.message, /SECRET|Hello/);
        return true;
      });
      const storage = await open(endpoint);
      if (status === 200) await rejectsWith(() => listPaths(storage, ''), '08P01', /does not answer as Azure Blob Storage does/);
      await storage.close();
    }
  });

  it('what is not HTTP at all is 08P01', async (t) => {
    const port = await serveTcp(t, (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08P01', /\(not HTTP\)$/);
  });

  it('an answer without end is given up', async (t) => {
    const { endpoint } = await serve(t, (_, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024, 'x')));
      };
      response.on('drain', more);
      more();
    });
    const storage = await open(endpoint);
    await rejectsWith(() => listPaths(storage, ''), '08P01', /\(an answer without end\)$/);
    await storage.close();
  });

  it('a redirect to the metadata service is not followed, nor is any other', async (t) => {
    const trap = await serve(t, (_, response) => response.end('trapped'));
    for (const [status, location] of [
      [301, 'http://169.254.169.254/metadata/identity'],
      [302, trap.endpoint],
      [307, trap.endpoint],
      [308, trap.endpoint],
    ] as const) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { location }).end();
      });
      await rejectsWith(() => check(endpoint), '08P01', /redirects to another address, which is not followed$/);
    }
    assert.deepEqual(trap.requests, []);
  });

  it('the metadata service is refused to admins too', async () => {
    await rejectsWith(() => check('http://169.254.169.254'), '42501', /link-local or a metadata service$/);
  });

  it('no proxy of the environment is used', async (t) => {
    const proxy = await serve(t, (_, response) => response.end());
    const direct = await serve(t, (_, response) => void refuse(response, { status: 404, code: 'ContainerNotFound' }));
    const before = process.env.HTTP_PROXY;
    process.env.HTTP_PROXY = proxy.endpoint;
    try {
      await rejectsWith(() => check(direct.endpoint), '58P01', /container does not exist/);
    } finally {
      if (before === undefined) delete process.env.HTTP_PROXY;
      else process.env.HTTP_PROXY = before;
    }
    assert.deepEqual(proxy.requests, []);
  });

  it('TLS that cannot be trusted, or is for another name, is an error of its own', async (t) => {
    const server = await serveTls(t, 'somewhere.else', (_, response) => void response.writeHead(201, { etag: '"x"' }).end());
    if (server === undefined) return t.skip('TLS: no openssl on the PATH');
    await rejectsWith(() => check(`https://localhost:${server.port}`), '08001', /TLS with https:\/\/localhost:\d+ failed: \w+$/);
    const plain = await serve(t, (_, response) => response.end());
    await rejectsWith(() => check(plain.endpoint.replace('http', 'https')), '08001', /TLS with .* failed: /);
  });
});

describe('answers of Azure', { concurrency: true }, () => {
  const answer = (t: TestContext, fault: Fault) => serve(t, (_, response) => void refuse(response, fault));

  it('that mean "later" are tried again, three times in all; others are not', async (t) => {
    for (const [status, code, times] of [
      [503, 'ServerBusy', 3],
      [500, 'InternalError', 3],
      [403, 'AuthorizationPermissionMismatch', 1],
      [409, 'BlobImmutableDueToPolicy', 1],
      [404, 'ContainerNotFound', 1],
    ] as const) {
      const server = await answer(t, { status, code });
      await assert.rejects(check(server.endpoint));
      assert.equal(server.requests.length, times, code);
    }
  });

  it('become errors with a code of their own, without the text', async (t) => {
    for (const [status, code, sqlstate, text] of [
      [403, 'AuthenticationFailed', '28P01', /does not accept the secret key \(the signature does not match\)$/],
      [403, 'KeyBasedAuthenticationNotPermitted', '28000', /\(KeyBasedAuthenticationNotPermitted\)$/],
      [403, 'AccountIsDisabled', '28000', /\(AccountIsDisabled\)$/],
      [403, 'AuthorizationFailure', '42501', /may not write at azure:\/\/container\/path$/],
      [403, 'AuthorizationPermissionMismatch', '42501', /may not write at azure:\/\/container\/path$/],
      [409, 'BlobImmutableDueToPolicy', '42501', /may not write/],
      [404, 'ContainerNotFound', '58P01', /container does not exist: azure:\/\/container\/path$/],
      [503, 'ServerBusy', '53000', /too busy \(ServerBusy\)$/],
      [413, 'RequestBodyTooLarge', '54000', /larger than/],
      [409, 'LeaseIdMissing', '58000', /write failed \(LeaseIdMissing, HTTP 409\)$/],
    ] as const) {
      const { endpoint } = await answer(t, { status, code });
      await rejectsWith(() => check(endpoint), sqlstate, text);
    }
  });

  it('of another time mean that a clock is wrong', async (t) => {
    const headers = { date: new Date(Date.now() - 3_600_000).toUTCString() };
    const { endpoint } = await answer(t, { status: 403, code: 'AuthenticationFailed', headers });
    await rejectsWith(() => check(endpoint), '28000', /clock too far from its own$/);
  });

  it('name the right that is missing: write, list or read', async (t) => {
    const listing = (name: string) =>
      `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs><Blob><Name>${name}</Name><Properties><Content-Length>1</Content-Length></Properties></Blob></Blobs><NextMarker/></EnumerationResults>`;
    const denied = (denies: (request: IncomingMessage) => boolean) =>
      serve(t, (request, response) => {
        if (denies(request)) return void refuse(response, { status: 403, code: 'AuthorizationPermissionMismatch' });
        if (request.method === 'PUT') return void response.writeHead(201, { etag: '"x"' }).end();
        const body = request.url!.includes('comp=list') ? listing('path/crdb_external_storage_location') : 'other bytes';
        response.writeHead(200, { etag: '"x"', 'content-type': 'application/xml', 'content-length': body.length }).end(body);
      });
    const cases = [
      [(request: IncomingMessage) => request.method === 'PUT', /^failed to write a sentinel .* may not write/, '42501'],
      [(request: IncomingMessage) => request.url!.includes('comp=list'), /^failed to list sentinel .* may not list/, '42501'],
      [
        (request: IncomingMessage) => request.method === 'GET' && !request.url!.includes('comp=list'),
        /^failed to read sentinel .* may not read/,
        '42501',
      ],
      [() => false, /^content mismatch, expected: .* but found: "other bytes"$/, '58030'],
    ] as const;
    for (const [denies, text, sqlstate] of cases) await rejectsWith(async () => check((await denied(denies)).endpoint), sqlstate, text);
  });

  it('about blocks that another writer dropped are told as that', async (t) => {
    const { endpoint } = await serve(t, (request, response) => {
      if (request.url!.includes('comp=blocklist')) return void refuse(response, { status: 400, code: 'InvalidBlockList' });
      response.writeHead(201).end();
    });
    const storage = await open(endpoint);
    await rejectsWith(
      () => writeObject(storage, 'x', Buffer.alloc(9 * 1024 * 1024)),
      '58030',
      /^what was sent of the object is gone: "x"$/,
    );
    await storage.close();
  });

  it('to a listing from a name on: a service that does not know `startFrom` is asked for all', async (t) => {
    const names = ['a', 'b', 'c'].map((name) => `<Blob><Name>path/${name}</Name><Properties/></Blob>`).join('');
    const server = await serve(t, (request, response) => {
      if (request.url!.includes('startFrom=')) return void refuse(response, { status: 400, code: 'InvalidQueryParameterValue' });
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end(`<?xml version="1.0"?><EnumerationResults><Blobs>${names}</Blobs><NextMarker/></EnumerationResults>`);
    });
    const storage = await open(server.endpoint);
    assert.deepEqual(await listPaths(storage, '', 'a'), ['b', 'c']);
    assert.equal(server.requests.length, 2);
    await storage.close();
  });

  it('out of order are not passed on as if they were in order', async (t) => {
    const names = ['a/x', 'a-', 'a.b'].map((name) => `<Blob><Name>path/${name}</Name><Properties/></Blob>`).join('');
    const { endpoint } = await serve(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end(`<?xml version="1.0"?><EnumerationResults><Blobs>${names}</Blobs><NextMarker/></EnumerationResults>`);
    });
    const storage = await open(endpoint);
    await rejectsWith(() => listPaths(storage, ''), '08P01', /\(a listing out of order\)$/);
    await storage.close();
  });

  it('are whole: each part is sent with its MD5', async (t) => {
    const sums: string[] = [];
    const { endpoint } = await serve(t, (request, response) => {
      sums.push(String(request.headers['content-md5'] ?? request.headers['x-ms-blob-content-md5']));
      response.writeHead(201, { etag: '"x"' }).end();
    });
    const storage = await open(endpoint);
    await writeObject(storage, 'x', 'text');
    assert.deepEqual(sums, [createHash('md5').update('text').digest('base64')]);
    await storage.close();
  });

  it('that refuse the key half-way: the upload goes on with another one, and without another one it ends', async (t) => {
    const start = async (others: () => boolean) => {
      let [blocks, renewed] = [0, false];
      const server = await serve(t, (request, response) => {
        if (request.url!.includes('comp=block&') && ++blocks > 1 && !renewed)
          return void refuse(response, { status: 403, code: 'AuthenticationFailed' });
        response.writeHead(201, { etag: '"x"' }).end();
      });
      const storage: Storage = await openStorage({ uri: uri(server.endpoint), trusted: true }, settings, async () => {
        if (!others()) return false;
        storage.renew!({ uri: uri(server.endpoint).replace('U0VDUkVU', 'T1RIRVI='), trusted: true });
        renewed = true;
        return true;
      });
      return { storage, server };
    };
    const going = await start(() => true);
    await writeObject(going.storage, 'x', Buffer.alloc(20 * 1024 * 1024));
    await going.storage.close();
    assert.match(going.server.requests.at(-1)!, /comp=blocklist/);
    const ending = await start(() => false);
    await rejectsWith(() => writeObject(ending.storage, 'x', Buffer.alloc(20 * 1024 * 1024)), '28P01', /does not accept the secret key/);
    await ending.storage.close();
  });

  it('that break off go on where they were, as long as the blob is the same', async (t) => {
    const text = 'abcdefghijklmnopqrstuvwxyz'.repeat(1000);
    let changed = false;
    const ranges: string[] = [];
    const { endpoint } = await serve(t, (request, response) => {
      const range = String(request.headers['x-ms-range'] ?? request.headers.range ?? '');
      const from = Number(/bytes=(\d+)-/.exec(range)?.[1] ?? 0);
      ranges.push(`${from} ${request.headers['if-match'] ?? ''}`);
      if (changed) return void refuse(response, { status: 412, code: 'ConditionNotMet' });
      response.writeHead(from ? 206 : 200, { etag: '"v1"', 'content-length': text.length - from });
      if (from >= 20_000) return void response.end(text.slice(from));
      response.write(text.slice(from, from + 10_000), () => setTimeout(() => response.destroy(), 50));
    });
    const storage = await open(endpoint);
    assert.equal(String(await readObject(storage, 'x')), text);
    assert.deepEqual(ranges, ['0 ', '10000 "v1"', '20000 "v1"']);
    await rejectsWith(
      async () => {
        for await (const _ of storage.read('x')) changed = true;
      },
      '58030',
      /^the object changed while it was read: "x"$/,
    );
    await storage.close();
  });
});
