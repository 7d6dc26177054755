/** SIGHUP: a new certificate under running sessions. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import * as net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as tls from 'node:tls';
import pg from 'pg';
import { startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { makeCertificate } from './loginLab.ts';

const directory = mkdtempSync(join(tmpdir(), 'pgpier-reload-'));
after(() => rmSync(directory, { recursive: true, force: true }));

test('after SIGHUP new clients are shown the new certificate, sessions go on, and files that cannot be used change nothing', {
  skip: missingPostgres(15),
}, async () => {
  const certFile = join(directory, 'server.crt');
  const keyFile = join(directory, 'server.key');
  const write = (cert: string, key: string): void => {
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key);
  };
  const [first, second] = [makeCertificate(), makeCertificate()];
  write(first.cert, first.key);
  const postgres = await startPostgres({ version: 15 });
  const proxy = await startPgpier({ backend: postgres, env: { PGPIER_TLS_CERT: certFile, PGPIER_TLS_KEY: keyFile } });
  const session = new pg.Client({ connectionString: proxy.connectionString(), ssl: { rejectUnauthorized: false } });
  try {
    await session.connect();
    assert.equal(await shown(proxy.port), fingerprint(first.cert));

    write(second.cert, second.key);
    await hangUp('certificate and key read again');
    assert.equal(await shown(proxy.port), fingerprint(second.cert));
    assert.equal((await session.query('select 1 as one')).rows[0].one, 1);

    write(first.cert, second.key);
    await hangUp('cannot be used; the old ones stay in use');
    assert.equal(await shown(proxy.port), fingerprint(second.cert));
    rmSync(certFile);
    await hangUp('cannot be used; the old ones stay in use', 2);
    assert.equal(await shown(proxy.port), fingerprint(second.cert));
    assert.equal((await session.query('select 1 as one')).rows[0].one, 1);
    assert.ok(!proxy.output().includes('PRIVATE KEY'), 'no key in the log');
  } finally {
    await session.end();
    await proxy.stop();
    await postgres.stop();
  }

  async function hangUp(line: string, times = 1): Promise<void> {
    proxy.kill('SIGHUP');
    for (let waited = 0; proxy.output().split(line).length <= times; waited += 20) {
      assert.ok(waited < 5_000, `no line "${line}" in:\n${proxy.output()}`);
      await sleep(20);
    }
  }
});

const fingerprint = (pem: string): string => new X509Certificate(pem).fingerprint256;

/** The fingerprint of the certificate that a client is shown, by direct TLS. */
function shown(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const raw = net.connect({ port, host: '127.0.0.1' });
    const socket = tls.connect({ socket: raw, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.on('error', reject);
  });
}
