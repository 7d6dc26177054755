/** Servers that are not what a `gs://` URI says, or that do what a fake does not: refuse, lose, break off, lie. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { checkStorage } from '../../external/storage/check.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { freePort } from '../servers/postgres.ts';
import { serve, serveTcp, serveTls } from './faultServer.ts';
import { open, refuse, settings, sumOf, uri } from './gsAddress.ts';
import { listPaths, readObject, rejectsWith, writeObject } from './storageContract.ts';

const check = (endpoint: string, more?: string) =>
  checkStorage({ uri: uri(endpoint, more), trusted: true }, settings, new AbortController().signal);

describe('Google Cloud Storage behind a wrong or broken address', { concurrency: true }, () => {
  it('a closed port is 08001, soon', async () => {
    const started = Date.now();
    const port = await freePort();
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08001', /cannot reach http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED$/);
    assert.ok(Date.now() - started < 8_000, `${Date.now() - started} ms`);
  });

  it('a name that does not exist is 08001', async () => {
    await rejectsWith(
      () => check('http://no-such-host.invalid'),
      '08001',
      /cannot reach http:\/\/no-such-host\.invalid: (ENOTFOUND|EAI_AGAIN)$/,
    );
  });

  it('a server that accepts and never answers ends CREATE after 15 seconds', async (t) => {
    const endpoint = `http://127.0.0.1:${await serveTcp(t)}`;
    const started = Date.now();
    await rejectsWith(() => check(endpoint), '08006', /no answer from http:\/\/127\.0\.0\.1:\d+ in time$/);
    assert.ok(Date.now() - started < 25_000, `${Date.now() - started} ms`);
  });

  it('a cancelled CREATE ends at once', async (t) => {
    const { endpoint } = await serve(t, () => {});
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    const started = Date.now();
    await rejectsWith(() => checkStorage({ uri: uri(endpoint), trusted: true }, settings, controller.signal), '57014', /: canceled/);
    assert.ok(Date.now() - started < 3_000);
  });

  it('a web server that answers everything with HTML is not taken for Google', async (t) => {
    for (const [status, sqlstate] of [
      [200, '08P01'],
      [400, '08P01'],
      [403, '42501'],
      [500, '58000'],
    ] as const) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><html><body><p>Hello<br>SECRET-PAGE</body></html>');
      });
      await rejectsWith(() => check(endpoint), sqlstate, /^(?!.*(SECRET|Hello))/s);
      const storage = await open(endpoint);
      if (status === 200) {
        await rejectsWith(() => listPaths(storage, ''), '08P01', /does not answer as Google Cloud Storage does/);
        await rejectsWith(() => readObject(storage, 'x'), '08P01', /does not answer as Google Cloud Storage does/);
      }
      await storage.close();
    }
  });

  it('what is not HTTP at all is 08P01', async (t) => {
    const port = await serveTcp(t, (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08P01', /\(not HTTP\)$/);
  });

  it('a redirect to the metadata service is not followed, nor is any other, nor the address of an upload session', async (t) => {
    const trap = await serve(t, (_, response) => response.end('trapped'));
    for (const [status, location] of [
      [301, 'http://169.254.169.254/computeMetadata/v1/'],
      [302, trap.endpoint],
      [307, trap.endpoint],
      [308, trap.endpoint],
    ] as const) {
      const { endpoint } = await serve(t, (_, response) => void response.writeHead(status, { location }).end());
      await rejectsWith(() => check(endpoint), '08P01', /redirects to another address, which is not followed$/);
    }
    const { endpoint, requests } = await serve(t, (request, response) => {
      if (request.method === 'POST') return void response.writeHead(200, { location: `${trap.endpoint}/session` }).end();
      refuse(response, 403, 'forbidden');
    });
    const storage = await open(endpoint);
    await rejectsWith(() => writeObject(storage, 'x', Buffer.alloc(17 * 1024 * 1024)), '42501', /may not write/);
    await storage.close();
    assert.ok(requests.includes('PUT /session'), requests.join());
    assert.deepEqual(trap.requests, []);
  });

  it('a name that is longer than Google takes is refused before anything is asked', async (t) => {
    const { endpoint, requests } = await serve(t, (_, response) => response.end());
    const storage = await open(endpoint);
    await rejectsWith(() => storage.write('é'.repeat(510)), '22023', /^name too long: "é+"$/);
    await rejectsWith(() => readObject(storage, 'x'.repeat(1020)), '22023', /^name too long: "x+"$/);
    await storage.close();
    assert.deepEqual(requests, []);
  });

  it('link-local addresses are refused to administrators too, by address and by name', async () => {
    for (const host of ['169.254.169.254', '[fe80::1]', '[::ffff:169.254.169.254]', '0xa9fea9fe', '[fd20:ce::254]']) {
      await rejectsWith(() => check(`http://${host}`), '42501', /is not allowed: it is link-local or a metadata service$/);
    }
  });

  it('each refusal has its own error, and its text is not repeated', async (t) => {
    const answer = async (status: number, reason: string) => (await serve(t, (_, response) => refuse(response, status, reason))).endpoint;
    const cases: readonly [number, string, string, RegExp][] = [
      [401, 'authError', '28000', /gs:\/\/bucket\/path does not accept these credentials \(authError\)$/],
      [403, 'forbidden', '42501', /these credentials may not write at gs:\/\/bucket\/path$/],
      [404, 'notFound', '58P01', /bucket does not exist: gs:\/\/bucket\/path$/],
      [400, 'required', '22023', /the bucket charges who asks it, and GOOGLE_BILLING_PROJECT is not set: gs:\/\/bucket\/path$/],
      [400, 'invalid', '58000', /write failed \(invalid, HTTP 400\)$/],
      [413, 'uploadTooLarge', '54000', /larger than/],
    ];
    for (const [status, reason, sqlstate, text] of cases)
      await rejectsWith(async () => check(await answer(status, reason)), sqlstate, text);
  });

  it('a busy server is asked four times with growing pauses, another one once', async (t) => {
    for (const [status, reason, times, sqlstate] of [
      [503, 'backendError', 4, '53000'],
      [429, 'rateLimitExceeded', 4, '53000'],
      [403, 'userRateLimitExceeded', 4, '53000'],
      [500, 'internalError', 4, '58000'],
      [403, 'forbidden', 1, '42501'],
      [412, 'conditionNotMet', 1, '58030'],
    ] as const) {
      const { endpoint, requests } = await serve(t, (_, response) => refuse(response, status, reason));
      const storage = await open(endpoint);
      await rejectsWith(() => listPaths(storage, ''), sqlstate, /./);
      await storage.close();
      assert.equal(requests.length, times, reason);
    }
  });

  it('GOOGLE_BILLING_PROJECT is named in every request', async (t) => {
    const { endpoint, requests } = await serve(t, (_, response) => refuse(response, 403, 'forbidden'));
    const storage = await openStorage({ uri: uri(endpoint, '&GOOGLE_BILLING_PROJECT=payer-1'), trusted: true }, settings);
    const works: (() => Promise<unknown>)[] = [
      () => writeObject(storage, 'x', 'y'),
      () => writeObject(storage, 'x', Buffer.alloc(9 << 20)),
      () => readObject(storage, 'x'),
      () => readObject(storage, 'x', { start: 1, end: 1 }),
      () => storage.delete('x'),
      () => listPaths(storage, ''),
    ];
    for (const work of works) await assert.rejects(work);
    await storage.close();
    assert.equal(requests.length, works.length);
    for (const request of requests) assert.match(request, /[?&]userProject=payer-1(&|$)/);
  });

  it('the right that is missing is named: write, list, read or delete', async (t) => {
    const marker = 'path/crdb_external_storage_location';
    const denied = async (kind: string) => {
      const { endpoint } = await serve(t, (request, response) => {
        const [path = '', query = ''] = request.url!.split('?');
        const asked = request.method === 'POST' ? 'write' : path.endsWith('/o') ? 'list' : request.method === 'DELETE' ? 'delete' : 'read';
        if (asked === kind) return refuse(response, 403, 'forbidden');
        if (asked === 'list') return void response.end(JSON.stringify({ kind: 'storage#objects', items: [{ name: marker, size: '1' }] }));
        if (query.includes('alt=media')) return void response.writeHead(200, { 'x-goog-generation': '1' }).end('other bytes');
        const content = Buffer.from('a CockroachDB cluster has been configured to read and write to this location');
        response.end(JSON.stringify({ generation: '1', size: String(content.length), crc32c: sumOf(content) }));
      });
      return endpoint;
    };
    for (const [kind, text] of [
      ['write', /^failed to write a sentinel ExternalStorage file: access denied: these credentials may not write/],
      ['list', /^failed to list sentinel ExternalStorage file: access denied: these credentials may not list/],
      ['read', /^failed to read sentinel ExternalStorage file: access denied: these credentials may not read/],
    ] as const) {
      await rejectsWith(async () => check(await denied(kind)), '42501', text);
    }
    await rejectsWith(async () => check(await denied('none')), '58030', /^content mismatch, expected: .* but found: "other bytes"$/);
    const storage = await open(await denied('delete'));
    await rejectsWith(() => storage.delete('x'), '42501', /may not delete/);
    await storage.close();
  });

  it('a read that breaks off goes on where it was, as long as the object is the same', async (t) => {
    const text = 'abcdefghijklmnopqrstuvwxyz'.repeat(1000);
    let changed = false;
    const asked: string[] = [];
    const { endpoint } = await serve(t, (request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      asked.push(`${from} ${/ifGenerationMatch=\d+/.exec(request.url!)?.[0] ?? ''}`);
      if (changed) return refuse(response, 412, 'conditionNotMet');
      const headers = {
        'x-goog-generation': '17',
        'x-goog-hash': `crc32c=${sumOf(Buffer.from(text))},md5=x`,
        'content-length': text.length - from,
      };
      response.writeHead(from ? 206 : 200, {
        ...headers,
        ...(from && { 'content-range': `bytes ${from}-${text.length - 1}/${text.length}` }),
      });
      if (from >= 20_000) return void response.end(text.slice(from));
      response.write(text.slice(from, from + 10_000), () => setTimeout(() => response.destroy(), 50));
    });
    const storage = await open(endpoint);
    assert.equal(String(await readObject(storage, 'x')), text);
    assert.deepEqual(asked, ['0 ', '10000 ifGenerationMatch=17', '20000 ifGenerationMatch=17']);
    await rejectsWith(
      async () => {
        for await (const _ of storage.read('x')) changed = true;
      },
      '58030',
      /^the object changed while it was read: "x"$/,
    );
    await storage.close();
  });

  it('a server that answers another range than it was asked for is not believed', async (t) => {
    for (const given of [undefined, 'bytes 0-3/9', 'bytes 50-53/99']) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(206, { 'x-goog-generation': '1', ...(given && { 'content-range': given }) }).end('text');
      });
      const storage = await open(endpoint);
      await rejectsWith(
        () => readObject(storage, 'x', { start: 5 }),
        '08P01',
        /does not answer as Google Cloud Storage does \(no object\)$/,
      );
      await storage.close();
    }
  });

  it('bytes that do not agree with their checksum are an error: read, and written, where the object is removed again', async (t) => {
    const { endpoint, requests } = await serve(t, (request, response) => {
      if (request.method === 'GET')
        return void response.writeHead(200, { 'x-goog-generation': '1', 'x-goog-hash': 'crc32c=AAAAAA==' }).end('text');
      if (request.method === 'DELETE') return void response.writeHead(204).end();
      response.end(JSON.stringify({ generation: '42', size: '4', crc32c: 'AAAAAA==' }));
    });
    const storage = await open(endpoint);
    await rejectsWith(() => readObject(storage, 'x'), '58030', /do not agree with their checksum: "x"$/);
    await rejectsWith(() => writeObject(storage, 'x', 'text'), '58030', /do not agree with their checksum: "x"$/);
    assert.equal(requests.at(-1), 'DELETE /storage/v1/b/bucket/o/path%2Fx?ifGenerationMatch=42');
    await storage.close();
  });

  it('bytes that arrived damaged are told as that, also where the object has been replaced or removed meanwhile', async (t) => {
    for (const [status, reason] of [
      [412, 'conditionNotMet'],
      [404, 'notFound'],
    ] as const) {
      const { endpoint } = await serve(t, (request, response) => {
        if (request.method === 'DELETE') return refuse(response, status, reason);
        response.end(JSON.stringify({ generation: '42', size: '4', crc32c: 'AAAAAA==' }));
      });
      const storage = await open(endpoint);
      await rejectsWith(() => writeObject(storage, 'x', 'text'), '58030', /do not agree with their checksum: "x"$/);
      await storage.close();
    }
  });

  it('TLS with a certificate that nobody signed, with one of another name, and with a server that has none is 08001', async (t) => {
    const server = await serveTls(t, 'localhost', (_, response) => void response.end());
    if (server === undefined) return t.skip('TLS: no openssl on the PATH');
    await rejectsWith(
      () => check(`https://localhost:${server.port}`),
      '08001',
      /TLS with https:\/\/localhost:\d+ failed: DEPTH_ZERO_SELF_SIGNED_CERT$/,
    );
    const authorities = getCACertificates('default');
    setDefaultCACertificates([readFileSync(server.certificate, 'utf8')]);
    t.after(() => setDefaultCACertificates(authorities));
    await rejectsWith(
      () => check(`https://127.0.0.1:${server.port}`),
      '08001',
      /TLS with https:\/\/127\.0\.0\.1:\d+ failed: ERR_TLS_CERT_ALTNAME_INVALID$/,
    );
    const plain = await serve(t, (_, response) => response.end());
    await rejectsWith(() => check(plain.endpoint.replace('http', 'https')), '08001', /TLS with .* failed: /);
  });
});
