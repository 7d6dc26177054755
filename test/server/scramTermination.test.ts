/** SCRAM ended at the proxy: PostgreSQL's own verifiers and checks behind, libpq and node-postgres in front, PostgreSQL's own words for what is wrong. */
import assert from 'node:assert/strict';
import * as net from 'node:net';
import { after, before, test } from 'node:test';
import * as tls from 'node:tls';
import pg from 'pg';
import { saslInitialResponse, saslResponse } from '../../protocol/frontend/saslInitialResponse.ts';
import { sslRequest } from '../../protocol/frontend/sslRequest.ts';
import { ScramClient, scramKeys } from '../../protocol/scram/scramClient.ts';
import { readScramVerifier } from '../../protocol/scram/verifier.ts';
import type { BackendTarget } from '../../server/login/listenerOptions.ts';
import { PasswordVerifiers } from '../../server/passwordVerifiers.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { type Lab, makeCertificate, messages, psql, RawClient, startLab, startup } from './loginLab.ts';

const hba = 'local all postgres trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nlocal all all scram-sha-256\n';
const front = makeCertificate(['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], '-sha384');
const nonce = 'rOprNGfwEbeRWgbNEkqO';
const silent = { fatal() {}, error() {}, warn() {}, info() {}, debug() {}, trace() {}, silent() {} } as never;

test('a verifier is read as PostgreSQL writes it, and nothing else is taken for one', () => {
  const text =
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=';
  const verifier = readScramVerifier(text)!;
  assert.equal(verifier.iterations, 4096);
  assert.equal(verifier.salt.toString('base64'), 'W22ZaJ0SNY7soEsUEjb6gQ==');
  for (const other of ['', 'md5a6343a68d964ca596d9752250d54bb8a', text.slice(0, -1), `${text}x`, text.replace('4096', '-1')]) {
    assert.equal(readScramVerifier(other), undefined, other);
  }
});

for (const version of [15, 18] as const) {
  const missing = missingPostgres(version);
  const back = version === 15 ? makeCertificate() : makeCertificate(['-newkey', 'rsa:2048'], '-sha512');
  let postgres: Postgres;
  let admin: pg.Client;
  let verifiers: PasswordVerifiers;
  const labs: Lab[] = [];

  before(async () => {
    if (missing) return;
    postgres = await startPostgres({ version, hba, ssl: { cert: back.cert, key: back.key } });
    const service = { host: postgres.socketDir, port: postgres.port, user: 'postgres', database: 'postgres' };
    admin = new pg.Client(service);
    await admin.connect();
    await admin.query(`create role alice login password 'wonder land'; create role empty login;
      create role expired login password 'wonder land' valid until '2001-01-01'; create role nologin password 'wonder land';
      create role single login password 'wonder land' connection limit 0; create role changing login password 'first';
      create role "ünï" login password 'pässwörd ½';
      set password_encryption = 'md5'; create role old login password 'wonder land'; set password_encryption = 'scram-sha-256'`);
    await admin.query('create database closed');
    await admin.query('revoke connect on database closed from public');
    verifiers = new PasswordVerifiers(service, silent);
  });
  after(async () => {
    await Promise.all(labs.map((lab) => lab.listener.stop()));
    await verifiers?.close();
    await admin?.end();
    await postgres?.stop();
  });
  const it = (name: string, body: () => Promise<void>): void => {
    test(`${name} (${version})`, async (t) => {
      if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
      await body();
    });
  };
  const plain = () => ({ host: postgres.socketDir, port: postgres.port, sslmode: 'disable' as const });
  const encrypted = () => ({ port: postgres.port, sslmode: 'verify-full' as const, sslrootcert: back.cert });
  const lab = async (backend: Partial<BackendTarget> & { port: number }): Promise<Lab> => {
    const made = await startLab(
      backend,
      { method: { kind: 'scram', verifiers, only: false } },
      { tls: { cert: front.cert, key: front.key } },
    );
    labs.push(made);
    return made;
  };
  const conninfo = (port: number, user: string, more: string, password = 'wonder land', database = 'postgres'): string =>
    `host=127.0.0.1 port=${port} user=${user} dbname=${database} password='${password}' ${more}`;

  it('every pair of legs lets the right password in, with channel binding wherever there is TLS, and the wrong one not', async () => {
    for (const backend of [plain(), encrypted()]) {
      const { port, log } = await lab(backend);
      for (const more of [
        'sslmode=disable',
        'sslmode=require',
        'sslmode=require channel_binding=disable',
        'sslmode=require channel_binding=require',
      ]) {
        const sql = 'select current_user, ssl from pg_stat_ssl where pid = pg_backend_pid()';
        const good = await psql(conninfo(port, 'alice', more), sql);
        assert.deepEqual([good.out, good.error], [`alice|${'sslrootcert' in backend ? 't' : 'f'}`, ''], more);
        const bad = await psql(conninfo(port, 'alice', more, 'wonderland'), 'select 1');
        assert.match(bad.error, /FATAL: {2}password authentication failed for user "alice"$/, more);
      }
      assert.doesNotMatch(log.text, /wonder|SCRAM-SHA-256\$/);
    }
    // Who asks for channel binding and gets no TLS is refused by libpq itself.
    const { port } = labs[0]!;
    assert.match(
      (await psql(conninfo(port, 'alice', 'sslmode=disable channel_binding=require'), 'select 1')).error,
      /channel binding required/,
    );
  });

  it('node-postgres logs in with channel binding, with letters beyond ASCII in name and password', async () => {
    const { port } = await lab(encrypted());
    const config = { host: '127.0.0.1', port, user: 'ünï', password: 'pässwörd ½', database: 'postgres', ssl: { ca: front.cert } };
    const client = new pg.Client({ ...config, enableChannelBinding: true });
    await client.connect();
    assert.equal((await client.query('select current_user as u')).rows[0].u, 'ünï');
    await client.end();
  });

  it('PostgreSQL still decides who may log in, in the words it has without us', async () => {
    const { port } = await lab(encrypted());
    for (const [user, database] of [
      ['expired', 'postgres'],
      ['nologin', 'postgres'],
      ['single', 'postgres'],
      ['empty', 'postgres'],
      ['nobody', 'postgres'],
      ['old', 'postgres'],
      ['alice', 'missing'],
      ['alice', 'closed'],
    ] as const) {
      const through = await psql(conninfo(port, user, 'sslmode=require', 'wonder land', database), 'select 1');
      const direct = await psql(conninfo(postgres.port, user, 'sslmode=require', 'wonder land', database), 'select 1');
      assert.equal(through.error.replace(`port ${port}`, ''), direct.error.replace(`port ${postgres.port}`, ''), user);
      assert.match(direct.error, /FATAL/);
    }
  });

  it('a password that changes is the new one at the next login, and a proof by the old one fails', async () => {
    const { port } = await lab(encrypted());
    for (const password of ['first', 'second', 'second', 'third']) {
      await admin.query(`alter role changing password '${password}'`);
      assert.equal((await psql(conninfo(port, 'changing', 'sslmode=require', password), 'select 1')).out, '1');
    }
    assert.match((await psql(conninfo(port, 'changing', 'sslmode=require', 'first'), 'select 1')).error, /password authentication failed/);
  });

  it('a role that does not exist, has no password or has expired looks like a wrong password, with the salt that PostgreSQL shows', async () => {
    const { port } = await lab(encrypted());
    const shapes = new Set<string>();
    for (const user of ['alice', 'nobodyx', 'expired', 'empty', 'old', 'nologin']) {
      const salts = new Set<string>();
      for (const to of [port, port, postgres.port]) {
        const client = await overTls(to, user);
        const scram = new ScramClient({ nonce });
        client.send(saslInitialResponse(scram.mechanism, scram.clientFirst()));
        await client.until((each) => each.types() === 'RR');
        const first = scram.serverFirst(messages(client.received)[1]!.subarray(9));
        salts.add(`${first.salt.toString('base64')} ${first.iterations}`);
        client.send(saslResponse(scram.clientFinal(await scramKeys(Buffer.from('not it'), first))));
        const all = messages(await client.toEnd());
        if (to === port) shapes.add(all.map((each) => `${each[0]} ${each.length - user.length}`).join(', '));
        assert.match(all.at(-1)!.toString(), /C28P01\0Mpassword authentication failed for user "/);
      }
      assert.equal(salts.size, 1, user);
    }
    // The names differ in length, which the error alone may show.
    assert.equal(new Set([...shapes].map((shape) => shape.split(', ').length)).size, 1);
  });

  it('what is no valid SASL message is refused with the words of PostgreSQL', async () => {
    const { port } = await lab(encrypted());
    const plus = 'SCRAM-SHA-256-PLUS';
    const first = (mechanism: string, text: string) => [saslInitialResponse(mechanism, Buffer.from(text, 'latin1'))];
    const after = (text: (serverNonce: string) => string, opening = `n,,n=,r=${nonce}`) => [
      saslInitialResponse('SCRAM-SHA-256', Buffer.from(opening)),
      (serverNonce: string) => saslResponse(Buffer.from(text(serverNonce), 'latin1')),
    ];
    const lengthOf = (length: number): Buffer => {
      const message = Buffer.from(saslInitialResponse('SCRAM-SHA-256', Buffer.from(`n,,n=,r=${nonce}`)));
      message.writeInt32BE(length, 5 + 'SCRAM-SHA-256'.length + 1);
      return message;
    };
    const bad: (Buffer | ((serverNonce: string) => Buffer))[][] = [
      first('SCRAM-SHA-256', `y,,n=,r=${nonce}`),
      first(plus, `y,,n=,r=${nonce}`),
      first(plus, `n,,n=,r=${nonce}`),
      first(plus, `p=tls-unique,,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `p=tls-server-end-point,,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `x,,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `n;,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `n,a=alice,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `n,b=alice,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `n,,m=x,n=,r=${nonce}`),
      first('SCRAM-SHA-256', `n,,r=${nonce}`),
      first('SCRAM-SHA-256', 'n,,n='),
      first('SCRAM-SHA-256', 'n,,n=,r=\x01\x02'),
      first('SCRAM-SHA-256', `n,,n=,r=${nonce},5=x`),
      first('SCRAM-SHA-256', `n,,n=,r=${nonce},x`),
      first('SCRAM-SHA-256', `n,,n=,r=${nonce}\0`),
      first('SCRAM-SHA-256', ''),
      first('SCRAM-SHA-1', `n,,n=,r=${nonce}`),
      [lengthOf(2 ** 31 - 1)],
      [lengthOf(5)],
      [lengthOf(-2)],
      after((r) => `c=biws,r=${r},p=AAAA`),
      after((r) => `c=biws,r=${r}`),
      after((r) => `c=eSws,r=${r},p=${'A'.repeat(43)}=`),
      after((r) => `c=biws,r=${r}x,p=${'A'.repeat(43)}=`),
      after((r) => `c=biws,r=${r},p=${'A'.repeat(43)}=,x=y`),
      after((r) => `r=${r},c=biws,p=${'A'.repeat(43)}=`),
      after(() => ''),
    ];
    const through: string[][] = [];
    const direct: string[][] = [];
    for (const exchange of bad) {
      through.push(await refusal(port, exchange));
      direct.push(await refusal(postgres.port, exchange));
    }
    assert.deepEqual(through, direct);
    assert.ok(direct.every((fields) => fields.includes('SFATAL')));
    const tampered = new ScramClient({ nonce, channelBinding: Buffer.alloc(48, 1) });
    const exchange = [
      saslInitialResponse(tampered.mechanism, tampered.clientFirst()),
      (_: string, message: Buffer) => {
        tampered.serverFirst(message);
        return saslResponse(tampered.clientFinal({ clientKey: Buffer.alloc(32), serverKey: Buffer.alloc(32) }));
      },
    ];
    assert.deepEqual(await refusal(port, exchange), await refusal(postgres.port, exchange));
    assert.ok((await refusal(port, exchange)).includes('MSCRAM channel binding check failed'));
    // Without an initial response the exchange begins with an empty challenge.
    const late = await overTls(port, 'alice');
    const none = saslInitialResponse('SCRAM-SHA-256', Buffer.alloc(0));
    none.writeInt32BE(-1, none.length - 4);
    late.send(none);
    await late.until((each) => each.types() === 'RR');
    late.send(saslResponse(Buffer.from(`n,,n=,r=${nonce}`)));
    await late.until((each) => each.types() === 'RRR');
    late.socket.destroy();
  });

  it('verifiers that cannot be read are an error with a hint, and only what the right to pg_authid allows is read', async () => {
    await admin.query("create role weak login password 'weak'");
    const weak = new PasswordVerifiers(
      { host: '127.0.0.1', port: postgres.port, user: 'weak', password: 'weak', database: 'postgres', ssl: { ca: back.cert } },
      silent,
    );
    assert.equal(await weak.mayRead(), false);
    const broken = await startLab(
      encrypted(),
      { method: { kind: 'scram', verifiers: weak, only: false } },
      { tls: { cert: front.cert, key: front.key } },
    );
    labs.push(broken);
    const refused = await psql(conninfo(broken.port, 'alice', 'sslmode=require'), 'select 1');
    assert.match(refused.error, /cannot read password verifiers from the backend[\s\S]*HINT/);
    await admin.query('grant select (rolname, rolpassword) on pg_authid to weak');
    assert.equal(await weak.mayRead(), true);
    assert.equal((await psql(conninfo(broken.port, 'alice', 'sslmode=require'), 'select current_user')).out, 'alice');
    await weak.close();
  });
}

/** TLS by SSLRequest, a startup packet, and the list of SASL mechanisms received. */
async function overTls(port: number, user: string): Promise<RawClient> {
  const socket = net.connect({ host: '127.0.0.1', port, noDelay: true });
  socket.write(sslRequest());
  await new Promise((resolve) => socket.once('data', resolve));
  const secured = tls.connect({ socket, rejectUnauthorized: false });
  await new Promise((resolve, reject) => secured.once('secureConnect', resolve).once('error', reject));
  const client = new RawClient(secured);
  client.send(startup(user));
  await client.until((each) => each.types() === 'R');
  assert.match(client.received.toString('latin1'), /SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0$/);
  return client;
}

/** The fields of the error that ends an exchange, but for where in PostgreSQL's source it was raised. */
async function refusal(
  port: number,
  exchange: readonly (Buffer | ((serverNonce: string, message: Buffer) => Buffer))[],
): Promise<string[]> {
  const client = await overTls(port, 'alice');
  for (const [index, part] of exchange.entries()) {
    if (Buffer.isBuffer(part)) client.send(part);
    else {
      await client.until((each) => each.types() === 'R'.repeat(index + 1));
      const message = messages(client.received)[index]!.subarray(9);
      client.send(part(/r=([^,]*)/.exec(message.toString('latin1'))![1]!, message));
    }
  }
  const error = messages(await client.toEnd()).find((message) => message[0] === 0x45);
  const fields = error?.subarray(5).toString('utf8').split('\0') ?? [];
  return fields.filter((field) => /^[SCMD]/.test(field));
}
