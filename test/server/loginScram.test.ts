/** SCRAM against RFC 7677's own exchange, a hostile server, and channel binding against PostgreSQL and openssl. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { saslInitialResponse, saslResponse } from '../../protocol/frontend/saslInitialResponse.ts';
import { tlsServerEndPoint } from '../../protocol/scram/channelBinding.ts';
import { saslPrep } from '../../protocol/scram/saslPrep.ts';
import { ScramClient, ScramError, scramKeys } from '../../protocol/scram/scramClient.ts';
import { connectBackend } from '../../server/login/backend.ts';
import { LinkReader } from '../../server/login/linkReader.ts';
import { missingPostgres, startPostgres } from '../servers/postgres.ts';
import { makeCertificate, psql, startup } from './loginLab.ts';

const nonce = 'rOprNGfwEbeRWgbNEkqO';
const serverFirst = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';
const pencil = Buffer.from('pencil');
const rfcClient = (): ScramClient => new ScramClient({ nonce, user: 'user' });

test("the exchange of RFC 7677 comes out as printed there, and a changed server's signature is noticed", async () => {
  const scram = rfcClient();
  assert.equal(scram.clientFirst().toString(), 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
  assert.equal(
    scram.clientFinal(await scramKeys(pencil, scram.serverFirst(Buffer.from(serverFirst)))).toString(),
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
  );
  scram.verifyServerFinal(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='));
  assert.throws(() => scram.verifyServerFinal(Buffer.from('v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')), ScramError);
  assert.throws(() => scram.verifyServerFinal(Buffer.from('e=invalid-proof')), ScramError);
});

test('a hostile first message is refused before any key is derived', () => {
  for (const hostile of [
    serverFirst.replace('i=4096', 'i=2147483647'),
    serverFirst.replace('i=4096', 'i=0'),
    serverFirst.replace('i=4096', 'i=-1'),
    serverFirst.replace('r=rOpr', 'r=xOpr'),
    `r=${nonce},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${nonce}${'x'.repeat(2_000)},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096`,
    `r=${nonce}x,s=${'AAAA'.repeat(1_000)},i=4096`,
    `m=ext,${serverFirst}`,
    '',
  ]) {
    assert.throws(() => rfcClient().serverFirst(Buffer.from(hostile)), ScramError, hostile.slice(0, 40));
  }
});

test('passwords are prepared as RFC 4013 has it', () => {
  const prepared = (text: string): string => saslPrep(Buffer.from(text)).toString();
  assert.equal(prepared('I\u00adX'), 'IX');
  assert.equal(prepared('user'), 'user');
  assert.equal(prepared('\u00aa'), 'a');
  assert.equal(prepared('\u2168'), 'IX');
  assert.equal(prepared('a\u00a0b'), 'a b');
  // Prohibited there; PostgreSQL takes the raw bytes then.
  assert.equal(prepared('a\u0007\u2168'), 'a\u0007\u2168');
  assert.equal(prepared('\u06271'), '\u06271');
  assert.deepEqual(saslPrep(Buffer.from([0xff, 0xc3])), Buffer.from([0xff, 0xc3]));
});

test("the certificate's hash follows its signature's, as openssl computes it, and there is none for Ed25519", () => {
  for (const [algorithm, digest, hash] of [
    [['-newkey', 'rsa:2048'], '-sha256', 'sha256'],
    [['-newkey', 'rsa:2048'], '-sha1', 'sha256'],
    [['-newkey', 'rsa:2048'], '-sha512', 'sha512'],
    [['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], '-sha384', 'sha384'],
  ] as const) {
    const { certFile, cert } = makeCertificate(algorithm, digest);
    const printed = execFileSync('openssl', ['x509', '-in', certFile, '-noout', '-fingerprint', `-${hash}`], { encoding: 'utf8' });
    const expected = printed.split('=')[1]!.trim().replaceAll(':', '').toLowerCase();
    assert.equal(tlsServerEndPoint(new X509Certificate(cert).raw)?.toString('hex'), expected);
  }
  assert.equal(tlsServerEndPoint(new X509Certificate(makeCertificate(['-newkey', 'ed25519']).cert).raw), undefined);
  assert.equal(tlsServerEndPoint(Buffer.from('3082ffff30', 'hex')), undefined);
});

for (const version of [15, 18] as const) {
  const missing = missingPostgres(version);
  test(`PostgreSQL ${version} accepts the right channel binding, a password of several iterations and refuses a tampered binding`, async (t) => {
    if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
    const certificate = makeCertificate();
    const hba = 'local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n';
    const postgres = await startPostgres({ version, ssl: certificate, hba });
    const made = await psql(`host=${postgres.socketDir} port=${postgres.port} user=postgres`, `create role alice login password 'x½y'`);
    assert.equal(made.error, '');
    const attempt = async (change: (binding: Buffer) => Buffer): Promise<string> => {
      const backend = await connectBackend({ host: '127.0.0.1', port: postgres.port, sslmode: 'require' }, AbortSignal.timeout(5_000));
      const reader = new LinkReader(backend.link, 'backend');
      backend.link.write(startup('alice'));
      await reader.message(10_000);
      const channelBinding = change(tlsServerEndPoint(backend.certificate!)!);
      const scram = new ScramClient({ nonce, channelBinding });
      backend.link.write(saslInitialResponse(scram.mechanism, scram.clientFirst()));
      const first = await reader.message(10_000);
      backend.link.write(saslResponse(scram.clientFinal(await scramKeys(Buffer.from('x½y'), scram.serverFirst(first.subarray(9))))));
      const answer = await reader.message(10_000);
      if (answer[0] === 0x52) scram.verifyServerFinal(answer.subarray(9));
      backend.link.destroy();
      return answer[0] === 0x52 ? 'in' : answer.toString('utf8');
    };
    assert.equal(await attempt((binding) => binding), 'in');
    assert.match(await attempt((binding) => Buffer.from(binding.map((byte) => byte ^ 1))), /SCRAM channel binding check failed/);
    await postgres.stop();
  });
}
