/** Web servers that are not what the URI says, or that fail. Each answers on loopback in a way that nginx cannot be made to. */
import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { freePort } from '../servers/postgres.ts';
import { serve as serveHttp, serveTcp } from './faultServer.ts';
import { readObject, rejectsWith, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const open = (host: string, path = '/path', scheme = 'http') =>
  openStorage({ uri: `${scheme}://ann:HUSH@${host}${path}?sig=HUSH`, trusted: true }, settings);

async function serve(t: TestContext, answer: RequestListener): Promise<{ host: string; requests: readonly string[] }> {
  const { endpoint, requests } = await serveHttp(t, answer);
  return { host: endpoint.slice('http://'.length), requests };
}

const serveBytes = async (t: TestContext, onSocket: (socket: Socket) => void = () => {}) => `127.0.0.1:${await serveTcp(t, onSocket)}`;

/** Answers when all of the body has come. */
const whole = (answer: (body: Buffer, response: ServerResponse, request: IncomingMessage) => void): RequestListener => {
  return (request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => answer(Buffer.concat(chunks), response, request));
  };
};

const status = (code: number, headers: Record<string, string> = {}): RequestListener =>
  whole((_, response) => void response.writeHead(code, headers).end('<html>SECRET-PAGE</html>'));

describe('http storage behind a wrong or broken address', { concurrency: true }, () => {
  it('a closed port is 08001, after a few tries', async () => {
    const started = Date.now();
    const storage = await open(`127.0.0.1:${await freePort()}`);
    await rejectsWith(() => readObject(storage, 'x'), '08001', /^cannot reach http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED$/);
    assert.ok(Date.now() - started < 10_000);
  });

  it('a name that does not exist is 08001', async () => {
    const storage = await open('no-such-host.invalid');
    await rejectsWith(() => readObject(storage, 'x'), '08001', /^cannot reach http:\/\/no-such-host\.invalid: (ENOTFOUND|EAI_AGAIN)$/);
  });

  it('what is not HTTP at all is 08P01', async (t) => {
    const storage = await open(await serveBytes(t, (socket) => socket.end('SSH-2.0-OpenSSH_9.2\r\n')));
    await rejectsWith(() => readObject(storage, 'x'), '08P01', /does not answer as a web server does \(not HTTP\)$/);
  });

  it('each refusal has an error of its own, and no text of the answer is in it', async (t) => {
    const cases: readonly [number, string, RegExp, RegExp][] = [
      [400, '58000', /read failed \(HTTP 400\)$/, /write failed \(HTTP 400\)$/],
      [401, '28000', /does not accept these credentials \(HTTP 401\)$/, /does not accept these credentials \(HTTP 401\)$/],
      [403, '42501', /may not read at http/, /may not write at http/],
      [405, '0A000', /takes no GET requests \(HTTP 405\)$/, /takes no PUT requests \(HTTP 405\)$/],
      [501, '0A000', /takes no GET requests \(HTTP 501\)$/, /takes no PUT requests \(HTTP 501\)$/],
      [404, '58P01', /^http object does not exist: "x"$/, /the server has no place for "x" \(HTTP 404\)$/],
      [413, '54000', /larger than/, /larger than/],
      [507, '53100', /no space left/, /no space left/],
    ];
    for (const [code, sqlstate, read, write] of cases) {
      const { host, requests } = await serve(t, status(code));
      const storage = await open(host);
      await rejectsWith(() => readObject(storage, 'x'), sqlstate, read);
      await rejectsWith(() => writeObject(storage, 'x', 'y'), sqlstate, write);
      await rejectsWith(() => writeObject(storage, 'x', Buffer.alloc(9 * 1024 * 1024)), sqlstate, write);
      assert.equal(requests.length, 3, `${code} is not asked again`);
      for (const work of [() => readObject(storage, 'x'), () => writeObject(storage, 'x', 'y')])
        await work().catch((error) => assert.doesNotMatch(JSON.stringify(error), /SECRET|HUSH|ann/));
      await storage.close();
    }
    const { host } = await serve(t, status(411));
    await rejectsWith(async () => writeObject(await open(host), 'x', Buffer.alloc(9 * 1024 * 1024)), '0A000', /length is not known/);
    const webdav = await open((await serve(t, status(409))).host);
    await rejectsWith(() => writeObject(webdav, 'a/b', 'c'), '58P01', /no place for "a\/b" \(HTTP 409\)$/);
  });

  it('a redirect is not followed, and the error tells where it leads without its secrets', async (t) => {
    const trap = await serve(t, status(200));
    for (const [code, location, shown] of [
      [301, 'http://169.254.169.254/latest/meta-data/', 'http://169.254.169.254/latest/meta-data/'],
      [302, `http://u:HUSH@${trap.host}/other?token=HUSH#HUSH`, `http://${trap.host}/other`],
      [307, '/moved?sig=HUSH', undefined],
      [308, '', 'an address that it does not tell'],
    ] as const) {
      const { host } = await serve(t, status(code, location === '' ? {} : { location }));
      const storage = await open(host);
      for (const work of [() => readObject(storage, 'x'), () => writeObject(storage, 'x', 'y'), () => storage.delete('x')])
        await assert.rejects(work, { message: `http://${host} redirects to ${shown ?? `http://${host}/moved`}, which is not followed` });
    }
    assert.deepEqual(trap.requests, []);
  });

  it('metadata services are refused to admins too, by address and by name', async () => {
    for (const host of ['169.254.169.254', '[fe80::1]', '[::ffff:169.254.169.254]', '0xa9fea9fe', '[fd00:ec2::254]', '100.100.100.200']) {
      const storage = await open(host);
      await rejectsWith(() => readObject(storage, 'x'), '42501', /is not allowed: it is link-local or a metadata service$/);
      await rejectsWith(() => writeObject(storage, 'x', 'y'), '42501', /is not allowed/);
    }
  });

  it('a server that is busy is asked again, as patiently as it wants within bounds', async (t) => {
    const bodies: string[] = [];
    const recovers = await serve(
      t,
      whole((body, response) => {
        bodies.push(String(body));
        response.writeHead(bodies.length < 3 ? 503 : 201, bodies.length === 1 ? { 'retry-after': '1' } : {}).end();
      }),
    );
    const started = Date.now();
    await writeObject(await open(recovers.host), 'x', 'all of it');
    assert.deepEqual(bodies, ['all of it', 'all of it', 'all of it']);
    assert.ok(Date.now() - started >= 1_000);
    const stays = await serve(t, status(503));
    await rejectsWith(async () => readObject(await open(stays.host), 'x'), '53000', /too busy \(HTTP 503\)$/);
    assert.equal(stays.requests.length, 3);
    const tomorrow = await serve(t, status(429, { 'retry-after': '86400' }));
    await rejectsWith(async () => (await open(tomorrow.host)).delete('x'), '53000', /too busy \(HTTP 429\)$/);
    assert.equal(tomorrow.requests.length, 1);
  });

  it('a connection that breaks is made again for what can be repeated, and not in the middle of a stream', async (t) => {
    let requests = 0;
    const { host } = await serve(t, (request, response) => {
      requests++;
      if (request.headers['content-length'] === undefined) return void request.once('data', () => request.socket.destroy());
      whole((body, answer) => (requests === 1 ? request.socket.destroy() : answer.end(String(body.length))))(request, response);
    });
    const storage = await open(host);
    await writeObject(storage, 'x', 'y');
    assert.equal(requests, 2);
    await rejectsWith(() => writeObject(storage, 'x', Buffer.alloc(9 * 1024 * 1024)), '08001', /ECONNRESET$|EPIPE$/);
    assert.equal(requests, 3);
  });

  it('an answer before the end of a stream ends the upload', async (t) => {
    for (const [code, sqlstate] of [
      [403, '42501'],
      [201, '08P01'],
    ] as const) {
      const { host } = await serve(t, (_, response) => void response.writeHead(code).end());
      const writer = await (await open(host)).write('x');
      await rejectsWith(
        async () => {
          for (let count = 0; count < 400; count++) await writer.write(Buffer.alloc(1024 * 1024));
        },
        sqlstate,
        /^/,
      );
      await writer.abort();
    }
  });

  it('a cancel ends what waits for a silent server', async (t) => {
    const host = await serveBytes(t);
    const storage = await open(host);
    for (const [reason, sqlstate] of [
      [new AbortController(), '57014'],
      [AbortSignal.timeout(200), '08006'],
    ] as const) {
      const signal = reason instanceof AbortController ? reason.signal : reason;
      if (reason instanceof AbortController) setTimeout(() => reason.abort(), 200);
      await rejectsWith(() => readObject(storage, 'x', { signal }), sqlstate, /^(canceled while|no answer from) /);
    }
    const controller = new AbortController();
    const writer = await storage.write('x', { signal: controller.signal });
    setTimeout(() => controller.abort(), 200);
    await rejectsWith(
      async () => {
        for (;;) await writer.write(Buffer.alloc(1024 * 1024));
      },
      '57014',
      /^canceled/,
    );
    await writer.abort();
    await storage.close();
  });
});

describe('a read that breaks off', { concurrency: true }, () => {
  const text = 'abcdefghijklmnopqrstuvwxyz'.repeat(1000);
  /** Sends 10,000 bytes and breaks the connection, until less than that is left. */
  const breaking = (headers: () => Record<string, string>, ranges: string[], knowsRanges = true): RequestListener => {
    return (request, response) => {
      const from = knowsRanges ? Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0) : 0;
      const { 'if-match': match, 'if-unmodified-since': since } = request.headers;
      ranges.push([request.headers.range, match, since].filter(Boolean).join(' '));
      const range = from > 0 ? { 'content-range': `bytes ${from}-${text.length - 1}/${text.length}` } : {};
      response.writeHead(from > 0 ? 206 : 200, { ...headers(), ...range, 'content-length': text.length - from });
      const length = knowsRanges ? 10_000 : 10_000 * ranges.length;
      if (from + length >= text.length) return void response.end(text.slice(from));
      response.write(text.slice(from, from + length), () => setTimeout(() => response.destroy(), 50));
    };
  };

  it('goes on where it was, held to the same strong ETag', async (t) => {
    const ranges: string[] = [];
    const { host } = await serve(
      t,
      breaking(() => ({ etag: '"v1"' }), ranges),
    );
    assert.equal(String(await readObject(await open(host), 'x')), text);
    assert.deepEqual(ranges, ['', 'bytes=10000- "v1"', 'bytes=20000- "v1"']);
  });

  it('goes on by the time of the last change, where that is good enough', async (t) => {
    const ranges: string[] = [];
    const modified = 'Wed, 01 Jan 2025 00:00:00 GMT';
    const { host } = await serve(
      t,
      breaking(() => ({ etag: 'W/"v1"', 'last-modified': modified }), ranges),
    );
    assert.equal(String(await readObject(await open(host), 'x', { start: 5 })), text.slice(5));
    assert.deepEqual(ranges.slice(1, 2), [`bytes=10005- ${modified}`]);
  });

  it('passes over what it has where the server knows no ranges', async (t) => {
    const ranges: string[] = [];
    const { host } = await serve(
      t,
      breaking(() => ({ etag: '"v1"' }), ranges, false),
    );
    assert.equal(String(await readObject(await open(host), 'x', { start: 3, end: 25_000 })), text.slice(3, 25_000));
    assert.equal(ranges.length, 3);
  });

  it('is an error where nothing proves that the rest belongs to it', async (t) => {
    for (const headers of [{}, { etag: 'W/"v1"' }, { 'last-modified': new Date().toUTCString() }]) {
      const ranges: string[] = [];
      const { host } = await serve(
        t,
        breaking(() => headers, ranges),
      );
      await rejectsWith(async () => readObject(await open(host), 'x'), '08001', /^cannot reach http:\/\/127\.0\.0\.1:\d+: ECONNRESET$/);
      assert.equal(ranges.length, 1);
    }
  });

  it('is 58030 where the object has changed, also by a server that does not look at the condition', async (t) => {
    let version = 0;
    const careless = await serve(
      t,
      breaking(() => ({ etag: `"v${++version}"` }), []),
    );
    await rejectsWith(async () => readObject(await open(careless.host), 'x'), '58030', /^the object changed while it was read: "x"$/);
    const careful = await serve(t, (request, response) => {
      if (request.headers['if-match']) return void response.writeHead(412).end();
      breaking(() => ({ etag: '"v1"' }), [])(request, response);
    });
    await rejectsWith(async () => readObject(await open(careful.host), 'x'), '58030', /^the object changed while it was read: "x"$/);
  });

  it('takes no other range than it asked for', async (t) => {
    const { host } = await serve(t, (_, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-9/100' }).end('0123456789');
    });
    await rejectsWith(async () => readObject(await open(host), 'x', { start: 5, end: 10 }), '08P01', /another range than was asked for/);
  });
});

/** Alone: its clock is everybody's. */
describe('a server that falls silent', () => {
  for (const [start, how] of [
    [0, 'in the middle of an answer'],
    [1, 'in the middle of an answer of which a part is wanted'],
  ] as const)
    it(`${how} is given up after a minute`, async (t) => {
      const { host } = await serve(t, (_, response) => {
        response.writeHead(200, { 'content-length': '10' }).write('01234');
      });
      const storage = await open(host);
      t.mock.timers.enable({ apis: ['setTimeout'] });
      const wanted = '01234'.slice(start);
      const got: Buffer[] = [];
      const reading = (async () => {
        for await (const chunk of storage.read('x', { start })) got.push(chunk);
      })();
      const refused = rejectsWith(() => reading, '08006', /^no answer from http:\/\/127\.0\.0\.1:\d+ in time$/);
      for (let turn = 0; String(Buffer.concat(got)) !== wanted && turn < 10_000; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
      t.mock.timers.tick(60_000);
      await refused;
    });
});
