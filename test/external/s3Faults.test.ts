/** Servers that are not what the URI says. Each answers on loopback in a way that no real S3 server can be made to. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import tls from 'node:tls';
import { checkStorage } from '../../external/storage/check.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { freePort } from '../servers/postgres.ts';
import { serve, serveTcp, serveTls } from './faultServer.ts';
import { listPaths, readObject, rejectsWith, writeObject } from './storageContract.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const uri = (endpoint: string, more = '&AWS_REGION=us-east-1') =>
  `s3://bucket/path?AWS_ACCESS_KEY_ID=AK&AWS_SECRET_ACCESS_KEY=SECRET&AWS_ENDPOINT=${encodeURIComponent(endpoint)}${more}`;
const check = (endpoint: string, more?: string) =>
  checkStorage({ uri: uri(endpoint, more), trusted: true }, settings, new AbortController().signal);
const open = (endpoint: string) => openStorage({ uri: uri(endpoint), trusted: true }, settings);

describe('S3 behind a wrong or broken address', { concurrency: true }, () => {
  it('a closed port is 08001, soon', async () => {
    const started = Date.now();
    const port = await freePort();
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08001', /cannot reach http:\/\/127\.0\.0\.1:\d+: ECONNREFUSED$/);
    await rejectsWith(() => check(`http://127.0.0.1:${port}`, ''), '08001', /ECONNREFUSED$/);
    assert.ok(Date.now() - started < 5_000);
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
    assert.ok(Date.now() - started < 17_000, `${Date.now() - started} ms`);
  });

  it('a cancelled CREATE ends at once', async (t) => {
    const { endpoint } = await serve(t, () => {});
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 200);
    const started = Date.now();
    await rejectsWith(() => checkStorage({ uri: uri(endpoint), trusted: true }, settings, controller.signal), '57014', /: canceled/);
    assert.ok(Date.now() - started < 3_000);
  });

  it('a web server that answers everything with HTML is not taken for S3', async (t) => {
    for (const status of [200, 404, 403, 500]) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { 'content-type': 'text/html' }).end('<!doctype html><html><body><p>Hello<br>SECRET-PAGE</body></html>');
      });
      await assert.rejects(check(endpoint), (error: Error & { data: { sqlstate: string } }) => {
        assert.match(error.data.sqlstate, status === 403 ? /^42501$/ : /^(08P01|58P01|58000)$/, `${status}: ${error.message}`);
        assert.doesNotMatch(error.message, /SECRET|Hello/);
        return true;
      });
      const storage = await open(endpoint);
      if (status === 200) await rejectsWith(() => listPaths(storage, ''), '08P01', /does not answer as S3 does/);
      await storage.close();
    }
  });

  it('a store that has no conditional writes says so, where one is asked for', async (t) => {
    const inXml = '<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header you provided</Message></Error>';
    for (const body of [inXml, '', '<html>Not Implemented</html>']) {
      const { endpoint } = await serve(t, (request, response) => {
        request.resume();
        if (request.headers['if-none-match'] === undefined) return void response.writeHead(200, { etag: '"1"' }).end();
        response.writeHead(501, { 'content-type': 'application/xml' }).end(body);
      });
      const storage = await open(endpoint);
      await writeObject(storage, 'plain', 'x');
      const writer = await storage.write('once', { ifAbsent: true });
      await writer.write(Buffer.from('x'));
      await rejectsWith(() => writer.finish(), '0A000', /^s3:\/\/bucket\/path cannot make an object only where there is none$/);
      await writer.abort();
      await storage.close();
    }
  });

  it('what is not HTTP at all is 08P01', async (t) => {
    const port = await serveTcp(t, (socket) => void socket.end('SSH-2.0-OpenSSH_9.2\r\n'));
    await rejectsWith(() => check(`http://127.0.0.1:${port}`), '08P01', /\(not HTTP\)$/);
  });

  it('a redirect to the metadata service is not followed, nor is any other', async (t) => {
    const trap = await serve(t, (_, response) => response.end('trapped'));
    for (const [status, location] of [
      [301, 'http://169.254.169.254/latest/meta-data/'],
      [302, trap.endpoint],
      [307, trap.endpoint],
      [308, trap.endpoint],
    ] as const) {
      const { endpoint } = await serve(t, (_, response) => {
        response.writeHead(status, { location }).end();
      });
      await rejectsWith(() => check(endpoint), '08P01', /redirects to another address, which is not followed$/);
      await rejectsWith(() => check(endpoint, ''), '08P01', /redirects to another address, which is not followed$/);
    }
    assert.deepEqual(trap.requests, []);
  });

  it('a redirect of S3 to another region says which', async (t) => {
    const { endpoint } = await serve(t, (_, response) => {
      response.writeHead(301, { 'x-amz-bucket-region': 'eu-west-1', location: 'http://169.254.169.254/' });
      response.end('<?xml version="1.0"?><Error><Code>PermanentRedirect</Code><Endpoint>169.254.169.254</Endpoint></Error>');
    });
    await rejectsWith(() => check(endpoint), '22023', /another region than AWS_REGION says; it is in eu-west-1$/);
  });

  it('without AWS_REGION the region is asked for, and used', async (t) => {
    const scopes: string[] = [];
    const { endpoint } = await serve(t, (request, response) => {
      scopes.push(/Credential=AK\/\d+\/([^/]+)\//.exec(request.headers.authorization ?? '')?.[1] ?? 'none');
      response.writeHead(request.method === 'HEAD' ? 400 : 200, { 'x-amz-bucket-region': 'eu-central-1', etag: '"x"' }).end();
    });
    const storage = await openStorage({ uri: uri(endpoint, ''), trusted: true }, settings);
    await writeObject(storage, 'x', 'y');
    await storage.close();
    assert.deepEqual(scopes, ['us-east-1', 'eu-central-1']);
  });

  it('link-local addresses are refused to administrators too, by address and by name', async () => {
    for (const host of ['169.254.169.254', '[fe80::1]', '[::ffff:169.254.169.254]', '0xa9fea9fe', '[fd00:ec2::254]', '100.100.100.200']) {
      await rejectsWith(() => check(`http://${host}`), '42501', /is not allowed: it is link-local or a metadata service$/);
    }
  });

  it('a server that is overloaded is 53000, a full one 53100, an archive 55000', async (t) => {
    const answer = (status: number, code: string) =>
      serve(t, (_, response) => {
        response
          .writeHead(status, { 'content-type': 'application/xml' })
          .end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>m</Message></Error>`);
      });
    const slow = await answer(503, 'SlowDown');
    await rejectsWith(() => check(slow.endpoint), '53000', /too busy \(SlowDown\)$/);
    assert.equal(slow.requests.length, 3);
    await rejectsWith(async () => check((await answer(507, 'XMinioStorageFull')).endpoint), '53100', /no space left/);
    await rejectsWith(
      async () => check((await answer(403, 'AccessDenied')).endpoint),
      '42501',
      /these credentials may not write at s3:\/\/bucket\/path$/,
    );
    await rejectsWith(async () => check((await answer(403, 'RequestTimeTooSkewed')).endpoint), '28000', /clock/);
    const archive = await open((await answer(403, 'InvalidObjectState')).endpoint);
    await rejectsWith(() => readObject(archive, 'old'), '55000', /^the object is archived, and must be restored at the store .*: "old"$/);
    await archive.close();
    await rejectsWith(async () => check((await answer(400, 'ExpiredToken')).endpoint), '28000', /the session token has expired$/);
  });

  it('the right that is missing is named: write, list or read', async (t) => {
    const denied = (method: string, list: boolean) =>
      serve(t, (request, response) => {
        const isList = request.url!.includes('list-type=2');
        if (request.method === method && isList === list) {
          return void response.writeHead(403).end('<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>');
        }
        const key = '<Contents><Key>path/crdb_external_storage_location</Key><Size>1</Size></Contents>';
        response
          .writeHead(200, { etag: '"x"' })
          .end(isList ? `<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>${key}</ListBucketResult>` : 'other bytes');
      });
    await rejectsWith(
      async () => check((await denied('PUT', false)).endpoint),
      '42501',
      /^failed to write a sentinel ExternalStorage file: access denied: these credentials may not write/,
    );
    await rejectsWith(
      async () => check((await denied('GET', true)).endpoint),
      '42501',
      /^failed to list sentinel ExternalStorage file: access denied: these credentials may not list/,
    );
    await rejectsWith(
      async () => check((await denied('GET', false)).endpoint),
      '42501',
      /^failed to read sentinel ExternalStorage file: access denied: these credentials may not read/,
    );
    await rejectsWith(
      async () => check((await denied('DELETE', false)).endpoint),
      '58030',
      /^content mismatch, expected: .* but found: "other bytes"$/,
    );
  });

  it('a read that breaks off goes on where it was, as long as the object is the same', async (t) => {
    const text = 'abcdefghijklmnopqrstuvwxyz'.repeat(1000);
    let changed = false;
    const ranges: string[] = [];
    const { endpoint } = await serve(t, (request, response) => {
      const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
      ranges.push(`${from} ${request.headers['if-match'] ?? ''}`);
      if (changed) return void response.writeHead(412).end('<?xml version="1.0"?><Error><Code>PreconditionFailed</Code></Error>');
      const range = from ? { 'content-range': `bytes ${from}-${text.length - 1}/${text.length}` } : {};
      response.writeHead(from ? 206 : 200, { etag: '"v1"', 'content-length': text.length - from, ...range });
      if (from >= 20_000) return void response.end(text.slice(from));
      response.write(text.slice(from, from + 10_000), () => setTimeout(() => response.destroy(), 50));
    });
    const storage = await open(endpoint);
    assert.equal(String(await readObject(storage, 'x')), text);
    assert.deepEqual(ranges, ['0 ', '10000 "v1"', '20000 "v1"']);
    ranges.length = 0;
    await rejectsWith(
      async () => {
        for await (const _ of storage.read('x')) changed = true;
      },
      '58030',
      /^the object changed while it was read: "x"$/,
    );
    await storage.close();
  });

  it('a server that passes over the range is not taken at its word', async (t) => {
    const { endpoint } = await serve(t, (_, response) => void response.writeHead(200, { etag: '"x"' }).end('0123456789'));
    const storage = await open(endpoint);
    await rejectsWith(() => readObject(storage, 'x', { start: 3 }), '08P01', /does not answer as S3 does \(another range\)$/);
    await storage.close();
  });

  it('a certificate of another name is refused although its authority is trusted', async (t) => {
    const server = await serveTls(t, 'storage.example', (_, response) => void response.writeHead(200, { etag: '"x"' }).end());
    if (server === undefined) return t.skip('TLS: no openssl on the PATH');
    const before = tls.getCACertificates('default');
    t.after(() => tls.setDefaultCACertificates(before));
    tls.setDefaultCACertificates([...before, readFileSync(server.certificate, 'utf8')]);
    await rejectsWith(
      () => check(`https://localhost:${server.port}`),
      '08001',
      /TLS with https:\/\/localhost:\d+ failed: ERR_TLS_CERT_ALTNAME_INVALID$/,
    );
  });

  it('TLS that cannot be trusted is an error of its own, and AWS_SKIP_TLS_VERIFY passes it', async (t) => {
    const server = await serveTls(t, 'localhost', (_, response) => void response.writeHead(200, { etag: '"x"' }).end());
    if (server === undefined) return t.skip('TLS: no openssl on the PATH');
    const { port } = server;
    await rejectsWith(
      () => check(`https://localhost:${port}`),
      '08001',
      /TLS with https:\/\/localhost:\d+ failed: DEPTH_ZERO_SELF_SIGNED_CERT$/,
    );
    const skipping = uri(`https://localhost:${port}`, '&AWS_REGION=us-east-1&AWS_SKIP_TLS_VERIFY=true');
    const storage = await openStorage({ uri: skipping, trusted: true }, settings);
    await writeObject(storage, 'x', 'y');
    await storage.close();
    const plain = await serve(t, (_, response) => response.end());
    await rejectsWith(() => check(plain.endpoint.replace('http', 'https')), '08001', /TLS with .* failed: /);
  });
});
