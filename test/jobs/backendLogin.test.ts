import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openBackendSession } from '../../jobs/backendLogin.ts';
import type { BackendLogin } from '../../jobs/task.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { type ExportLab, failure, psqlCopy, startExportLab } from './exportLab.ts';

const never = new AbortController().signal;

function makeCertificate(directory: string, name: string): { cert: string; key: string; file: string } {
  const [cert, key] = [join(directory, `${name}.crt`), join(directory, `${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject], {
    stdio: 'ignore',
  });
  return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8'), file: cert };
}

function hasOpenssl(): boolean {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
const missing = missingPostgres(15) || missingPostgres(18) || (!hasOpenssl() && 'openssl: not installed');

describe('TLS', { skip: missing }, () => {
  let lab: ExportLab;
  let directory: string;
  let own: { file: string };
  let other: { file: string };
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'pgpier-tls-'));
    const server = makeCertificate(directory, 'localhost');
    own = server;
    other = makeCertificate(directory, 'other');
    const hba = 'local all postgres trust\nhost all postgres 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n';
    lab = await startExportLab({ version: 18, ssl: server, hba });
  });
  after(async () => {
    await lab?.stop();
    rmSync(directory, { recursive: true, force: true });
  });

  async function attempt(fields: Partial<BackendLogin>): Promise<boolean> {
    const { login, close } = await lab.logins.open('postgres', 'postgres');
    try {
      const session = await openBackendSession({ ...login, ...fields }, 'test', never);
      const { rows } = await session.query('select ssl from pg_catalog.pg_stat_ssl where pid = pg_catalog.pg_backend_pid()');
      await session.close();
      return rows[0].ssl;
    } finally {
      await close();
    }
  }

  test('every sslmode connects, or refuses, as libpq does', async () => {
    for (const sslmode of ['allow', 'prefer', 'require'] as const) assert.equal(await attempt({ sslmode }), true, sslmode);
    assert.equal((await failure(attempt({ sslmode: 'disable' }))).sqlstate, '28000');
    for (const sslmode of ['require', 'verify-ca', 'verify-full'] as const) {
      const host = sslmode === 'verify-full' ? 'localhost' : '127.0.0.1';
      assert.equal(await attempt({ sslmode, host, sslrootcert: own.file }), true, sslmode);
      assert.equal((await failure(attempt({ sslmode, host, sslrootcert: other.file }))).sqlstate, '57P03', sslmode);
    }
    assert.equal((await failure(attempt({ sslmode: 'verify-full', sslrootcert: own.file }))).sqlstate, '57P03');
    assert.equal((await failure(attempt({ sslmode: 'verify-full', host: 'localhost' }))).sqlstate, '57P03');
    const unreadable = await failure(attempt({ sslmode: 'verify-ca', sslrootcert: '/nowhere' }));
    assert.deepEqual([unreadable.sqlstate, /certificate file/.test(unreadable.message)], ['57P03', true]);
  });

  test('an export over TLS has the bytes of psql', async () => {
    const query = `select n, repeat(md5(n::text), n % 2000) from generate_series(1, 2000) n`;
    const { login, close } = await lab.logins.open('postgres', 'postgres');
    const files = await lab.export(query, { login: { ...login, sslmode: 'require' } });
    await close();
    assert.ok(lab.content(files).equals(psqlCopy(lab.server, query)));
  });

  test('a cancel over TLS ends the query at once', async () => {
    const { login, close } = await lab.logins.open('postgres', 'postgres');
    const session = await openBackendSession({ ...login, sslmode: 'require' }, 'test', never);
    const running = failure(session.query('select pg_catalog.pg_sleep(60)'));
    const sessions = `select 1 from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and pid <> pg_backend_pid()`;
    while ((await lab.admin.query(sessions)).rows.length === 0) await sleep(10);
    session.abandon();
    assert.equal((await running).sqlstate, '58000');
    for (let tries = 0; tries < 100 && (await lab.admin.query(sessions)).rows.length > 0; tries++) await sleep(10);
    assert.deepEqual((await lab.admin.query(sessions)).rows, []);
    await close();
  });

  test('prefer goes on without TLS where the server has none', async () => {
    await lab.admin.query(`alter system set ssl = off`);
    await lab.admin.query('select pg_reload_conf()');
    await sleep(200);
    const login = { host: '127.0.0.1', port: lab.server.port, database: 'postgres', user: 'postgres', password: '' };
    const session = await openBackendSession({ ...login, sslmode: 'prefer' }, 'test', never);
    assert.equal((await session.query('select 1 as one')).rows[0].one, 1);
    await session.close();
    assert.equal((await failure(openBackendSession({ ...login, sslmode: 'require' }, 'test', never))).sqlstate, '57P03');
  });
});

test('a server that accepts and says nothing is given up, and at once when the signal aborts', async () => {
  const server = createServer(() => {}).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const abort = new AbortController();
  const reason = new Error('stop');
  setTimeout(() => abort.abort(reason), 100);
  const login = { host: '127.0.0.1', port, database: 'x', user: 'x', password: 'x', sslmode: 'prefer' } as const;
  await assert.rejects(openBackendSession(login, 'test', abort.signal), (error) => error === reason);
  server.close();
});
