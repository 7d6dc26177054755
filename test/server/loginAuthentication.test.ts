/** Who gets in, on every pair of legs, with PostgreSQL's own password checks behind and psql or node-postgres in front. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, before, test } from 'node:test';
import * as tls from 'node:tls';
import pg from 'pg';
import { gssencRequest } from '../../protocol/frontend/gssencRequest.ts';
import { sslRequest } from '../../protocol/frontend/sslRequest.ts';
import { missingPostgres, type Postgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import { errorIn, fakeBackend, makeCertificate, psql, query, RawClient, startLab, startup } from './loginLab.ts';

const hba = [
  'local all trusted trust',
  'host all trusted 127.0.0.1/32 trust',
  'local all postgres trust',
  'host all postgres 127.0.0.1/32 trust',
  'local all clear password',
  'host all clear 127.0.0.1/32 password',
  'local all old md5',
  'host all old 127.0.0.1/32 md5',
  'local all all scram-sha-256',
  'host all all 127.0.0.1/32 scram-sha-256',
].join('\n');

const front = makeCertificate();
const clientTls = { cert: front.cert, key: front.key };
const versions: readonly PostgresVersion[] = [15, 18];

for (const version of versions) {
  const missing = missingPostgres(version);
  const back = version === 15 ? makeCertificate() : makeCertificate(['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], '-sha384');
  let postgres: Postgres;

  before(async () => {
    if (missing) return;
    postgres = await startPostgres({ version, hba: `${hba}\n`, ssl: { cert: back.cert, key: back.key } });
    const admin = new pg.Client({ host: postgres.socketDir, port: postgres.port, user: 'postgres', database: 'postgres' });
    await admin.connect();
    await admin.query(`create role alice login password 'wonder land'; create role clear login password 'wonder land'; create role trusted login;
      create role expired login password 'wonder land' valid until '2001-01-01'; create role nologin password 'wonder land';
      create role "ünï" login password 'pässwörd ½';
      set password_encryption = 'md5'; create role old login password 'wonder land'`);
    await admin.end();
  });
  after(() => postgres?.stop());

  const it = (name: string, body: () => Promise<void>): void => {
    test(`${name} (${version})`, async (t) => {
      if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
      await body();
    });
  };
  const conninfo = (port: number, user: string, more: string, password = 'wonder land'): string =>
    `host=127.0.0.1 port=${port} user=${user} dbname=postgres password='${password}' ${more}`;

  const unix = (): { host: string; port: number; sslmode: 'disable' } => ({
    host: postgres.socketDir,
    port: postgres.port,
    sslmode: 'disable',
  });
  const encrypted = (): { port: number; sslmode: 'verify-full'; sslrootcert: string } => ({
    port: postgres.port,
    sslmode: 'verify-full',
    sslrootcert: back.cert,
  });

  it('SCRAM passes through where at most one leg has TLS', async () => {
    const lab = await startLab(unix(), {}, { tls: clientTls });
    const behindTls = await startLab(encrypted());
    for (const [port, more] of [
      [lab.port, 'sslmode=disable'],
      [lab.port, 'sslmode=require channel_binding=prefer'],
      [lab.port, `sslmode=verify-full sslrootcert=${front.certFile}`],
      [behindTls.port, 'sslmode=disable'],
    ] as const) {
      const good = await psql(conninfo(port, 'alice', more), 'select current_user');
      assert.deepEqual([good.out, good.error], ['alice', ''], more);
      const bad = await psql(conninfo(port, 'alice', more, 'wonderland'), 'select 1');
      assert.match(bad.error, /FATAL: {2}password authentication failed for user "alice"/, more);
    }
    assert.doesNotMatch(lab.log.text + behindTls.log.text, /wonder/);
    await lab.listener.stop();
    await behindTls.listener.stop();
  });

  it('through two TLS legs SCRAM is refused with a hint, and with the password policy it is answered with channel binding', async () => {
    const refusing = await startLab(encrypted(), {}, { tls: clientTls });
    const refused = await psql(conninfo(refusing.port, 'alice', 'sslmode=require'), 'select 1');
    assert.match(refused.error, /SCRAM cannot be passed through[\s\S]*PGPIER_AUTH be auto, scram or password/);
    await refusing.listener.stop();

    const lab = await startLab(encrypted(), { method: { kind: 'password' } }, { tls: clientTls });
    const sql = 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()';
    assert.equal((await psql(conninfo(lab.port, 'alice', 'sslmode=require'), sql)).out, 'alice|t');
    const bad = await psql(conninfo(lab.port, 'alice', 'sslmode=require', 'wrong'), 'select 1');
    assert.match(bad.error, /password authentication failed for user "alice"/);
    const expired = await psql(conninfo(lab.port, 'expired', 'sslmode=require'), 'select 1');
    assert.match(expired.error, /password authentication failed for user "expired"/);
    const nologin = await psql(conninfo(lab.port, 'nologin', 'sslmode=require'), 'select 1');
    assert.match(nologin.error, /role "nologin" is not permitted to log in/);
    const letters = new pg.Client({
      host: '127.0.0.1',
      port: lab.port,
      user: 'ünï',
      password: 'pässwörd ½',
      database: 'postgres',
      ssl: { ca: front.cert },
    });
    await letters.connect();
    assert.equal((await letters.query('select current_user as u')).rows[0].u, 'ünï');
    await letters.end();
    assert.doesNotMatch(lab.log.text, /wonder|pässw/);
    await lab.listener.stop();
  });

  it('md5 and a password in clear text are relayed where they are safe, and refused where not', async () => {
    const lab = await startLab(unix(), {}, { tls: clientTls });
    assert.equal((await psql(conninfo(lab.port, 'old', 'sslmode=disable'), 'select current_user')).out, 'old');
    assert.equal((await psql(conninfo(lab.port, 'clear', 'sslmode=require'), 'select current_user')).out, 'clear');
    assert.match((await psql(conninfo(lab.port, 'clear', 'sslmode=disable'), 'select 1')).error, /the client connection is not encrypted/);
    await lab.listener.stop();
    const open = await startLab({ port: postgres.port }, {}, { tls: clientTls });
    assert.match(
      (await psql(conninfo(open.port, 'clear', 'sslmode=require'), 'select 1')).error,
      /the backend connection is not encrypted/,
    );
    // Between two open connections as without the proxy: pg_hba.conf asks for it on such a one.
    assert.equal((await psql(conninfo(open.port, 'clear', 'sslmode=disable'), 'select current_user')).out, 'clear');
    await open.listener.stop();
  });

  it('a backend that trusts the proxy is refused unless that is meant', async () => {
    const lab = await startLab(unix());
    const refused = await psql(conninfo(lab.port, 'trusted', 'sslmode=disable'), 'select 1');
    assert.match(refused.error, /let the connection in without asking for a password\s+HINT/);
    assert.match(lab.log.text, /"user":"trusted","database":"postgres","sslcode|"user":"trusted","database":"postgres","sqlstate":"28000"/);
    await lab.listener.stop();
    const meant = await startLab(unix(), { trustedBackend: true, loopbackOnly: true });
    assert.equal((await psql(conninfo(meant.port, 'trusted', 'sslmode=disable'), 'select current_user')).out, 'trusted');
    await meant.listener.stop();
  });

  it('node-postgres logs in and its pipelined first query is answered', async () => {
    const lab = await startLab(unix());
    const client = new pg.Client({ host: '127.0.0.1', port: lab.port, user: 'alice', password: 'wonder land', database: 'postgres' });
    const connecting = client.connect();
    await connecting;
    const wide = await client.query("select repeat('x', 3000000) as x");
    assert.equal(wide.rows[0].x.length, 3_000_000);
    await client.end();
    await lab.listener.stop();
  });

  it('a large row passes through two TLS legs unchanged', async () => {
    const lab = await startLab(encrypted(), { method: { kind: 'password' } }, { tls: clientTls });
    const client = new pg.Client({
      host: 'localhost',
      port: lab.port,
      user: 'alice',
      password: 'wonder land',
      database: 'postgres',
      ssl: { ca: front.cert },
    });
    await client.connect();
    const text = 'some text '.repeat(400_000);
    const { rows } = await client.query('select $1::text as back, md5($1) = md5(repeat($2, 400000)) as same', [text, 'some text ']);
    assert.equal(rows[0].back, text);
    assert.equal(rows[0].same, true);
    await client.end();
    await lab.listener.stop();
  });

  it("a certificate that is not the backend's is not accepted, and sslmode says when", async () => {
    const wrong = await startLab({ ...encrypted(), sslrootcert: front.cert });
    assert.match((await psql(conninfo(wrong.port, 'alice', 'sslmode=disable'), 'select 1')).error, /certificate is not trusted/);
    await wrong.listener.stop();
    for (const sslmode of ['prefer', 'require'] as const) {
      const lab = await startLab({ port: postgres.port, sslmode });
      const sql = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()';
      assert.equal((await psql(conninfo(lab.port, 'alice', 'sslmode=disable'), sql)).out, 't');
      await lab.listener.stop();
    }
  });
}

test('direct TLS needs ALPN postgresql', async () => {
  const lab = await startLab({ port: 1 }, {}, { tls: clientTls });
  const connect = async (protocols: string[] | undefined): Promise<string> => {
    const socket = tls.connect({
      host: '127.0.0.1',
      port: lab.port,
      rejectUnauthorized: false,
      ...(protocols ? { ALPNProtocols: protocols } : {}),
    });
    const client = new RawClient(socket);
    const secured = await new Promise<boolean>((resolve) =>
      socket.once('secureConnect', () => resolve(true)).once('error', () => resolve(false)),
    );
    if (!secured) return 'alert';
    client.send(startup());
    return errorIn(await client.toEnd())?.slice(0, 11) ?? 'closed';
  };
  assert.equal(await connect(['postgresql']), 'FATAL 08001');
  assert.equal(await connect(undefined), 'closed');
  assert.equal(await connect(['h2']), 'alert');
  await lab.listener.stop();
});

test('half a ClientHello and silence end at the deadline', async () => {
  const lab = await startLab({ port: 1 }, {}, { tls: clientTls, loginTimeoutMs: 200 });
  for (const first of [Buffer.alloc(0), sslRequest()]) {
    const client = await RawClient.connect(lab.port);
    client.send(first);
    if (first.length > 0) await client.until((c) => c.received.toString() === 'S');
    client.send(Buffer.from('16030100f0010000ec0303', 'hex'));
    await client.toEnd(3_000);
  }
  await lab.listener.stop();
});

test('bytes smuggled behind SSLRequest never reach the login, and GSSENCRequest before TLS is declined', async () => {
  const lab = await startLab({ port: 1 }, {}, { tls: { ...clientTls, required: true } });
  const smuggler = await RawClient.connect(lab.port);
  smuggler.send(sslRequest(), startup());
  assert.equal(errorIn(await smuggler.toEnd()), 'FATAL 08P01 received unencrypted data after SSL request');
  const plain = await RawClient.connect(lab.port);
  plain.send(startup());
  assert.match(errorIn(await plain.toEnd()) ?? '', /^FATAL 28000 this server accepts encrypted connections alone/);

  const socket = net.connect(lab.port, '127.0.0.1');
  const client = new RawClient(socket);
  client.send(gssencRequest());
  await client.until((c) => c.received.toString() === 'N');
  client.send(sslRequest());
  await client.until((c) => c.received.toString() === 'NS');
  socket.removeAllListeners('data');
  const secured = new RawClient(tls.connect({ socket, rejectUnauthorized: false }));
  await new Promise((resolve) => secured.socket.once('secureConnect', resolve));
  await secured.sendBytewise(startup());
  assert.match(errorIn(await secured.toEnd()) ?? '', /^FATAL 08001/);
  await lab.listener.stop();
});

test('a backend that puts bytes behind its S, or answers an error, is dropped', async () => {
  for (const answer of ['Sjunk', 'Njunk', 'Eevil words\0', 'X']) {
    const backend = await fakeBackend((socket) => socket.once('data', () => socket.write(answer)));
    const lab = await startLab({ port: backend.port, sslmode: 'prefer' });
    const client = await RawClient.connect(lab.port);
    client.send(startup());
    const received = await client.toEnd();
    assert.match(errorIn(received) ?? '', /^FATAL 08001 could not connect to the backend: it did not answer/);
    assert.doesNotMatch(received.toString('latin1'), /evil|junk/);
    await lab.listener.stop();
    backend.stop();
  }
});

const challenge = (kind: number, rest = ''): Buffer => {
  const body = Buffer.from(rest, 'latin1');
  const head = Buffer.from([0x52, 0, 0, 0, 8 + body.length, 0, 0, 0, kind]);
  return Buffer.concat([head, body]);
};

test('what is no valid password message is refused as PostgreSQL refuses it', async () => {
  const p = (length: number, rest: string): Buffer => {
    const head = Buffer.from([0x70, 0, 0, 0, 0]);
    head.writeInt32BE(length | 0, 1);
    return Buffer.concat([head, Buffer.from(rest, 'latin1')]);
  };
  const md5 = challenge(5, 'salt');
  const sasl = challenge(10, 'SCRAM-SHA-256\0\0');
  for (const [ask, send, expected] of [
    [md5, p(5, '\0'), /28P01 empty password/],
    [md5, p(9, 'a\0b\0\0'), /08P01 invalid password packet size/],
    [md5, p(65_536, 'x'), /08P01 invalid password packet size/],
    [md5, p(-1, ''), /08P01 invalid password packet size/],
    [md5, query('select 1'), /08P01 expected password response, got message type 81/],
    [sasl, query('select 1'), /08P01 expected SASL response, got message type 81/],
    [sasl, p(4 + 14 + 4, 'SCRAM-SHA-256\0\xff\xff\xff\xfe'), /08P01 insufficient data left in message/],
    [sasl, p(4 + 14 + 4, 'SCRAM-SHA-256\0\x7f\xff\xff\xff'), /08P01 insufficient data left in message/],
    [sasl, p(4 + 19 + 4, 'SCRAM-SHA-256-PLUS\0\0\0\0\0'), /08P01 client selected an invalid SASL/],
    [challenge(7), Buffer.alloc(0), /28000 the backend asks for GSSAPI authentication/],
    [challenge(11, 'x'), Buffer.alloc(0), /08P01 the backend sent something unexpected/],
    [challenge(10, 'no end'), Buffer.alloc(0), /08P01 the backend sent something unexpected/],
    [Buffer.from([0x52, 0xff, 0xff, 0xff, 0xff]), Buffer.alloc(0), /08P01 the backend sent something unexpected/],
  ] as const) {
    const backend = await fakeBackend((socket) => socket.once('data', () => socket.write(ask)));
    const lab = await startLab({ port: backend.port });
    const client = await RawClient.connect(lab.port);
    client.send(startup());
    if (send.length > 0) {
      await client.until((c) => c.types() === 'R');
      client.send(send);
    }
    assert.match(errorIn(await client.toEnd()) ?? '', expected);
    await lab.listener.stop();
    backend.stop();
  }
});

test('a backend that loses patience while the client thinks is heard', async () => {
  const impatient = Buffer.concat([Buffer.from([0x45, 0, 0, 0, 27]), Buffer.from('SFATAL\0C57014\0Mtoo slow\0\0')]);
  impatient.writeInt32BE(impatient.length - 1, 1);
  const backend = await fakeBackend((socket) =>
    socket.once('data', () => {
      socket.write(challenge(5, 'salt'));
      setTimeout(() => socket.end(impatient), 50);
    }),
  );
  const lab = await startLab({ port: backend.port });
  const client = await RawClient.connect(lab.port);
  client.send(startup());
  assert.equal(errorIn(await client.toEnd()), 'FATAL 57014 too slow');
  await lab.listener.stop();
  backend.stop();
});
