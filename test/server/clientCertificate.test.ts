/** Client certificates, made by openssl and shown by libpq. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { makeCertificate, psql, startLab } from './loginLab.ts';

describe('client certificates', { skip: missingPostgres(15) }, () => {
  const home = mkdtempSync(join(tmpdir(), 'pgpier-certificates-'));
  const front = makeCertificate();
  let postgres: Postgres;
  const openssl = (...words: string[]): void => void execFileSync('openssl', words, { cwd: home, stdio: 'ignore' });
  const authority = (name: string): string => {
    openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.crt`,
    );
    return readFileSync(join(home, `${name}.crt`), 'utf8');
  };
  /** What libpq needs to show a certificate with this subject. */
  const signed = (subject: string, by: string, file: string): string => {
    openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', subject, '-keyout', `${file}.key`, '-out', `${file}.csr`);
    openssl(
      'x509',
      '-req',
      '-in',
      `${file}.csr`,
      '-CA',
      `${by}.crt`,
      '-CAkey',
      `${by}.key`,
      '-CAcreateserial',
      '-days',
      '2',
      '-out',
      `${file}.crt`,
    );
    chmodSync(join(home, `${file}.key`), 0o600);
    return `sslmode=require sslcert=${join(home, `${file}.crt`)} sslkey=${join(home, `${file}.key`)}`;
  };
  const roots = { known: '', shows: {} as Record<string, string> };

  before(async () => {
    roots.known = authority('known');
    authority('unknown');
    roots.shows = {
      alice: signed('/CN=alice', 'known', 'alice'),
      bob: signed('/CN=bob', 'known', 'bob'),
      twice: signed('/CN=alice/CN=bob', 'known', 'twice'),
      nameless: signed('/O=alice', 'known', 'nameless'),
      stranger: signed('/CN=alice', 'unknown', 'stranger'),
      none: 'sslmode=require sslcert=/nonexistent',
      plain: 'sslmode=disable',
    };
    postgres = await startPostgres({
      version: 15,
      hba: 'local all postgres trust\nlocal all trusted trust\nlocal all all scram-sha-256\n',
    });
    const admin = `host=${postgres.socketDir} port=${postgres.port} user=postgres`;
    assert.equal((await psql(admin, "create role alice login password 'wonder land'; create role trusted login")).error, '');
  });
  after(async () => {
    await postgres.stop();
    rmSync(home, { recursive: true, force: true });
  });
  const attempt = async (port: number, show: string, user = 'alice'): Promise<string> => {
    const to = `host=127.0.0.1 port=${port} user=${user} dbname=postgres password='wonder land'`;
    const { out, error } = await psql(`${to} ${roots.shows[show]}`, 'select current_user');
    return error === '' ? out : error.replace(/^[\s\S]*FATAL: {2}/, '');
  };
  const lab = (certificateNamesRole: boolean, trustedBackend = false) =>
    startLab(
      { host: postgres.socketDir, port: postgres.port },
      { certificateNamesRole, trustedBackend },
      { tls: { cert: front.cert, key: front.key, clientCa: roots.known } },
    );
  const missing = 'connection requires a valid client certificate';

  test('with authorities alone any certificate that one of them signed is enough, beside the password', async () => {
    const { port, listener, log } = await lab(false);
    for (const show of ['alice', 'bob', 'twice', 'nameless']) assert.equal(await attempt(port, show), 'alice', show);
    for (const show of ['stranger', 'none', 'plain']) assert.equal(await attempt(port, show), missing, show);
    assert.match(log.text, /its certificate is not trusted/);
    await listener.stop();
  });

  test('as PostgreSQL with clientcert=verify-full, the certificate must name the role', async () => {
    const { port, listener } = await lab(true);
    assert.equal(await attempt(port, 'alice'), 'alice');
    for (const show of ['bob', 'twice', 'nameless']) {
      assert.equal(await attempt(port, show), 'certificate authentication failed for user "alice"', show);
    }
    for (const show of ['stranger', 'none', 'plain']) assert.equal(await attempt(port, show), missing, show);
    await listener.stop();
  });

  test('it does not stand in for the password, unless the backend is said to trust the proxy', async () => {
    roots.shows.trusted = signed('/CN=trusted', 'known', 'trusted');
    const strict = await lab(true);
    assert.match(await attempt(strict.port, 'trusted', 'trusted'), /let the connection in without asking for a password/);
    await strict.listener.stop();
    const meant = await lab(true, true);
    assert.equal(await attempt(meant.port, 'trusted', 'trusted'), 'trusted');
    assert.equal(await attempt(meant.port, 'alice', 'trusted'), 'certificate authentication failed for user "trusted"');
    await meant.listener.stop();
  });

  test('authorities that are none are refused at the start', async () => {
    writeFileSync(join(home, 'nothing'), 'nothing');
    const start = startLab({ port: 1 }, {}, { tls: { cert: front.cert, key: front.key, clientCa: 'nothing' } });
    await assert.rejects(start, /certificate/);
  });
});
