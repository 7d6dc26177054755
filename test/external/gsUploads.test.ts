/** Resumable uploads to a server that takes, loses and breaks off as Google's may. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import type { OtherCredentials, Storage } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { serve } from './faultServer.ts';
import { open, refuse, settings, sumOf, token, uri } from './gsAddress.ts';
import { rejectsWith, writeObject } from './storageContract.ts';

/** A session as Google describes it: bytes in order, in multiples of 256 KiB until the last, as many as the server likes of each request. */
async function serveUploads(
  t: TestContext,
  fault: (part: number, request: IncomingMessage) => 'lose' | 'half' | 'break' | 'busy' | 'stranger' | undefined,
) {
  let have = Buffer.alloc(0);
  let part = 0;
  const log: string[] = [];
  let made: Buffer | undefined;
  const { endpoint } = await serve(t, async (request, response) => {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(chunk);
    } catch {
      return;
    }
    const body = Buffer.concat(chunks);
    const range = request.headers['content-range'] ?? '';
    log.push(`${request.method} ${range}`.trim());
    if (request.method === 'POST') return void response.writeHead(200, { location: `${endpoint}/upload/session?upload_id=1` }).end();
    if (request.method === 'DELETE') return void response.writeHead(499).end();
    const object = () => response.end(JSON.stringify({ generation: '1', size: String(made!.length), crc32c: sumOf(made!) }));
    const incomplete = () => response.writeHead(308, have.length === 0 ? {} : { range: `bytes=0-${have.length - 1}` }).end();
    if (range === 'bytes */*') return void (made === undefined ? incomplete() : object());
    const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range) ?? [];
    assert.equal(Number(first), have.length, `${range} when there are ${have.length}`);
    assert.equal(Number(last) - Number(first) + 1, body.length);
    if (total === '*') assert.equal(body.length % (256 * 1024), 0);
    const wrong = fault(++part, request);
    if (wrong === 'stranger') return refuse(response, 401, 'authError');
    if (wrong === 'busy') return refuse(response, 503, 'backendError');
    if (wrong === 'break') return void request.socket.destroy();
    have = Buffer.concat([have, wrong === 'half' ? body.subarray(0, 3 * 256 * 1024) : body]);
    if (total !== '*' && have.length === Number(total)) {
      assert.equal(request.headers['x-goog-hash'], `crc32c=${sumOf(have)}`);
      made = have;
    }
    if (wrong === 'lose') return void request.socket.destroy();
    made === undefined ? incomplete() : object();
  });
  return { endpoint, log, made: () => made };
}

describe('A resumable upload', () => {
  const pattern = Buffer.alloc(20 * 1024 * 1024 + 5);
  for (let at = 0; at < pattern.length; at += 4096) pattern.writeUInt32LE(at, at - (at % 4));
  const mebibytes = (storage: Storage, path: string) =>
    writeObject(storage, path, ...Array.from({ length: 21 }, (_, index) => pattern.subarray(index << 20, (index + 1) << 20)));

  for (const [what, fault] of [
    ['whose parts arrive in part', (part: number) => (part <= 4 ? 'half' : undefined)],
    ['whose answers are lost', (part: number) => (part % 2 === 1 ? 'lose' : undefined)],
    ['whose connections break', (part: number) => (part % 2 === 1 ? 'break' : undefined)],
    ['to a server that is busy now and then', (part: number) => (part % 3 === 0 ? 'busy' : undefined)],
  ] as const) {
    it(`${what} ends with the bytes that were written`, async (t) => {
      const { endpoint, made, log } = await serveUploads(t, fault);
      const storage = await open(endpoint);
      await mebibytes(storage, 'x');
      await storage.close();
      assert.ok(made()?.equals(pattern), log.join('\n'));
    });
  }

  it('has parts of 8 MiB, and the last one says how long the object is', async (t) => {
    const { endpoint, log } = await serveUploads(t, () => undefined);
    const storage = await open(endpoint);
    await mebibytes(storage, 'x');
    await storage.close();
    const size = pattern.length;
    assert.deepEqual(log, ['POST', 'PUT bytes 0-8388607/*', 'PUT bytes 8388608-16777215/*', `PUT bytes 16777216-${size - 1}/${size}`]);
  });

  it('that cannot go on fails after four attempts, and abort ends the session', async (t) => {
    const { endpoint, log } = await serveUploads(t, () => 'busy');
    const storage = await open(endpoint);
    await rejectsWith(() => mebibytes(storage, 'x'), '53000', /too busy \(backendError\)$/);
    await storage.close();
    const sent = log.filter((line) => line.startsWith('PUT bytes 0-'));
    assert.equal(sent.length, 4);
    assert.equal(log.at(-1), 'DELETE');
  });

  it('that was cancelled ends its session', async (t) => {
    const { endpoint, log, made } = await serveUploads(t, () => undefined);
    const storage = await open(endpoint);
    const controller = new AbortController();
    const writer = await storage.write('x', { signal: controller.signal });
    await writer.write(pattern);
    controller.abort();
    await rejectsWith(() => writer.finish(), '57014', /^canceled/);
    await writer.abort();
    await storage.close();
    assert.equal(log.at(-1), 'DELETE');
    assert.equal(made(), undefined);
  });

  it('whose credentials are refused half-way goes on with others, and without others it ends', async (t) => {
    const start = async (others: (storage: () => Storage) => OtherCredentials) => {
      const seen: string[] = [];
      let parts = 0;
      const { endpoint, made } = await serveUploads(t, (_part, request) => {
        const bearer = request.headers.authorization!.replace('Bearer ', '');
        seen.push(bearer);
        if (bearer === token && ++parts > 1) return 'stranger';
        return undefined;
      });
      const storage: Storage = await openStorage({ uri: uri(endpoint), trusted: true }, settings, () => others(() => storage)());
      return { seen, made, storage, endpoint };
    };
    const going = await start((storage) => async () => {
      storage().renew!({ uri: uri(going.endpoint).replace(token, 'ya29.next'), trusted: true });
      return true;
    });
    await mebibytes(going.storage, 'x');
    await going.storage.close();
    assert.ok(going.made()?.equals(pattern));
    assert.deepEqual(going.seen, [token, token, 'ya29.next', 'ya29.next']);
    const ending = await start(() => async () => false);
    await rejectsWith(() => mebibytes(ending.storage, 'x'), '28000', /does not accept these credentials \(authError\)$/);
    await ending.storage.close();
  });
});
