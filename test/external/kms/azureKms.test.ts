/** `azure-kms` against stand-ins of ours for Key Vault and Entra ID (keyVault.ts, entra.ts). */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import * as tls from 'node:tls';
import { checkKeyService } from '../../../external/kms/check.ts';
import { openKeyService, requireKeyService } from '../../../external/kms/keyServices.ts';
import { redactUri } from '../../../external/redact.ts';
import type { StorageSettings } from '../../../external/storage/storage.ts';
import { parseUri } from '../../../external/uri.ts';
import { clientSecret, type Entra, startEntra, tenant } from '../entra.ts';
import { serveTcp, serveTls } from '../faultServer.ts';
import { rejectsWith } from '../storageContract.ts';
import { runKeyServiceContract } from './keyServiceContract.ts';
import { type KeyVault, startKeyVault, version } from './keyVault.ts';

const settings: StorageSettings = { nodeId: 1, allowedNetworks: [] };
const principal = {
  AUTH: 'specified',
  AZURE_VAULT_NAME: 'my-vault',
  AZURE_CLIENT_ID: 'client',
  AZURE_CLIENT_SECRET: clientSecret,
  AZURE_TENANT_ID: tenant,
};
const uriOf = (key: string, parameters: Readonly<Record<string, string>>) =>
  `azure-kms:///${key}?${Object.entries(parameters)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')}`;

describe('azure-kms on a stand-in', () => {
  const ends: (() => void)[] = [];
  let entra: Entra | undefined;
  let vault: KeyVault | undefined;
  const trustedBefore = tls.getCACertificates('default');
  const authorityBefore = process.env.AZURE_AUTHORITY_HOST;
  before(async () => {
    const owner = { after: (end: () => void) => void ends.push(end) };
    entra = await startEntra(owner);
    vault = await startKeyVault(owner);
    if (entra === undefined || vault === undefined) return;
    process.env.AZURE_AUTHORITY_HOST = entra.authority;
    tls.setDefaultCACertificates([...trustedBefore, ...[entra, vault].map(({ certificate }) => readFileSync(certificate, 'utf8'))]);
  });
  after(() => {
    for (const end of ends) end();
    tls.setDefaultCACertificates(trustedBefore);
    if (authorityBefore === undefined) delete process.env.AZURE_AUTHORITY_HOST;
    else process.env.AZURE_AUTHORITY_HOST = authorityBefore;
  });

  const missing = () => (vault === undefined ? 'TLS: no openssl on the PATH' : undefined);
  const target = (key: string, changes: Readonly<Record<string, string>> = {}) => ({
    uri: uriOf(`${key}/${version}`, { ...principal, AZURE_ENDPOINT: vault!.service, ...changes }),
    trusted: true,
  });
  const open = (key: string, changes?: Readonly<Record<string, string>>) => openKeyService(target(key, changes), settings);
  const check = (key: string, changes?: Readonly<Record<string, string>>) =>
    checkKeyService(target(key, changes), settings, AbortSignal.timeout(20_000));
  const on = (title: string, body: () => Promise<void>) => it(title, (t) => (missing() ? t.skip(missing()) : body()));

  runKeyServiceContract('azure-kms', () => {
    const reason = missing();
    return { ...(reason === undefined ? {} : { missing: reason }), open, secrets: [clientSecret, 'first', version] };
  });

  on('what it encrypts is RSA-OAEP-256 to others, and tokens are for key vaults, one for many calls', async () => {
    const before = entra!.asked.length;
    const service = await open('first');
    for (const text of ['one', 'two', 'three'])
      assert.equal(String(vault!.decrypt('first', await service.encrypt(Buffer.from(text)))), text);
    await service.close();
    assert.deepEqual(entra!.asked.slice(before), [`POST /${tenant}/oauth2/v2.0/token https://vault.azure.net/.default`]);
  });

  on('CREATE encrypts and decrypts, and says what is wrong with the key', async () => {
    assert.ok((await check('first')) > 0);
    const frame = 'failed to encrypt marker content when setting up External Connection: ';
    for (const [key, sqlstate, text] of [
      ['missing', '42704', 'azure-kms:///redacted: there is no such key'],
      ['denied', '42501', 'access denied: these credentials may not encrypt with the key of azure-kms:///redacted'],
      ['walled', '42501', 'access denied: these credentials may not encrypt with the key of azure-kms:///redacted'],
      ['disabled', '55000', 'azure-kms:///redacted: the key cannot be used (KeyDisabled)'],
      ['expired', '55000', 'azure-kms:///redacted: the key cannot be used (KeyExpired)'],
      ['deleted', '55000', 'azure-kms:///redacted: the key cannot be used (ObjectIsDeletedButRecoverable)'],
      ['elliptic', '22023', 'azure-kms:///redacted: the key is not of a kind that encrypts and decrypts'],
      ['busy', '53000', `${vault!.service} is too busy (Throttled)`],
      ['odd', '58000', 'azure-kms:///redacted: encrypt failed (SomethingElse, HTTP 400)'],
    ] as const)
      await assert.rejects(check(key), (error: Error & { data: { sqlstate: string } }) => {
        assert.equal(error.message, frame + text);
        assert.equal(error.data.sqlstate, sqlstate);
        return true;
      });
  });

  on('a wrong client secret is 28000, with Entra’s code and without its words', async () => {
    await assert.rejects(check('first', { AZURE_CLIENT_SECRET: 'wrong-hush' }), (error: Error & { data: { sqlstate: string } }) => {
      assert.match(error.message, /azure-kms:\/\/\/redacted does not accept these credentials \(AADSTS7000215\)$/);
      assert.equal(error.data.sqlstate, '28000');
      assert.doesNotMatch(JSON.stringify([error, error.message, error.stack]), /hush/i);
      return true;
    });
  });

  on('a private address is refused to those who are not trusted', async () => {
    const service = await openKeyService({ ...target('first'), trusted: false }, settings);
    await rejectsWith(() => service.encrypt(Buffer.from('x')), '42501', /is not allowed: it is a loopback or private address$/);
    await service.close();
  });

  it('the other side may be broken: pages, redirects, silence, addresses that are refused', async (t) => {
    if (entra === undefined) return t.skip('TLS: no openssl on the PATH');
    for (const [status, sqlstate, text] of [
      [200, '08P01', /does not answer as Azure Key Vault does \(no bytes\)$/],
      [404, '08P01', /does not answer as Azure Key Vault does \(HTTP 404\)$/],
      [302, '08P01', /redirects to another address, which is not followed$/],
    ] as const) {
      const server = await serveTls(t, 'localhost', (_, response) => {
        response.writeHead(status, { location: 'http://169.254.169.254/' }).end('<html>HUSH');
      });
      tls.setDefaultCACertificates([...tls.getCACertificates('default'), readFileSync(server!.certificate, 'utf8')]);
      await rejectsWith(() => check('first', { AZURE_ENDPOINT: `https://localhost:${server!.port}` }), sqlstate, text);
    }
    const silent = await open('first', { AZURE_ENDPOINT: `https://localhost:${await serveTcp(t)}` });
    await rejectsWith(() => silent.encrypt(Buffer.from('x'), { signal: AbortSignal.timeout(500) }), '08006', /in time$/);
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await rejectsWith(() => silent.encrypt(Buffer.from('x'), { signal: controller.signal }), '57014', /^canceled/);
    await silent.close();
    // Entra ID that says nothing.
    process.env.AZURE_AUTHORITY_HOST = `https://localhost:${await serveTcp(t)}`;
    const waiting = await open('first');
    await rejectsWith(() => waiting.encrypt(Buffer.from('x'), { signal: AbortSignal.timeout(500) }), '08006', /in time$/);
    const second = new AbortController();
    setTimeout(() => second.abort(), 300);
    const begun = Date.now();
    await rejectsWith(() => waiting.encrypt(Buffer.from('x'), { signal: second.signal }), '57014', /^canceled/);
    assert.ok(Date.now() - begun < 4_000, `${Date.now() - begun} ms`);
    await waiting.close();
    process.env.AZURE_AUTHORITY_HOST = entra.authority;
    await rejectsWith(() => check('first', { AZURE_ENDPOINT: 'https://169.254.169.254' }), '42501', /link-local or a metadata service$/);
  });
});

describe('an azure-kms URI', () => {
  const validate = (text: string, given?: StorageSettings) => requireKeyService('azure-kms').validate(parseUri(text), given);
  const key = `backups/${version}`;

  it('is refused in the words of CockroachDB', () => {
    validate(uriOf(key, principal));
    validate(uriOf(key, { AUTH: 'implicit', AZURE_VAULT_NAME: 'v-1' }));
    const { AZURE_VAULT_NAME: _, AZURE_CLIENT_ID: __, ...rest } = principal;
    for (const [text, message] of [
      [uriOf(key, rest), 'kms URI expected but did not receive: AZURE_VAULT_NAME, AZURE_CLIENT_ID'],
      [uriOf(key, { AUTH: 'implicit' }), 'kms URI expected but did not receive: AZURE_VAULT_NAME'],
      [uriOf(key, { AZURE_VAULT_NAME: 'v-1' }), 'azure kms requires explicit auth (RBAC) or implicit auth'],
      [uriOf('backups', principal), "azure kms key must be of form 'id/version'"],
      [uriOf('a/b/c', principal), "azure kms key must be of form 'id/version'"],
      [uriOf('..%2f/x', principal), "azure kms key must be of form 'id/version'"],
      [uriOf('', principal), 'path component of the KMS cannot be empty; must contain the Customer Managed Key'],
      [uriOf(key, { ...principal, REGION: 'x' }), 'unknown KMS query parameters: REGION'],
      [uriOf(key, { ...principal, AUTH: 'maybe' }), 'unsupported value "maybe" for AUTH'],
      [uriOf(key, { ...principal, AZURE_VAULT_NAME: 'evil.example/' }), /^AZURE_VAULT_NAME must be/],
      [uriOf(key, { ...principal, AZURE_ENVIRONMENT: 'x' }), /no cloud environment matching the name "X"$/],
      [uriOf(key, { ...principal, AZURE_ENDPOINT: 'http://h' }), /^tokens are not sent without TLS/],
      [uriOf(key, principal).replace('///', '//host/'), /has no host/],
    ] as const)
      assert.throws(() => validate(text), { message }, text);
  });

  it('is bound by what the operator forbids, and its key and secret are redacted', () => {
    const limits = { ...settings, disableHttp: true, disableImplicitCredentials: true };
    assert.throws(() => validate(uriOf(key, { ...principal, AZURE_ENDPOINT: 'h' }), limits), {
      message: /^custom endpoints disallowed for azure kms/,
    });
    assert.throws(() => validate(uriOf(key, { AUTH: 'implicit', AZURE_VAULT_NAME: 'v-1' }), limits), {
      message: /^implicit credentials disallowed for azure kms/,
    });
    assert.equal(
      redactUri(uriOf(key, { ...principal, AZURE_CLIENT_SECRET: 'HUSH' })),
      `azure-kms:///redacted?AUTH=specified&AZURE_CLIENT_ID=client&AZURE_CLIENT_SECRET=redacted&AZURE_TENANT_ID=${tenant}&AZURE_VAULT_NAME=my-vault`,
    );
    const places = requireKeyService('azure-kms').placeParameters!;
    assert.deepEqual(places(parseUri(uriOf(key, { ...principal, AZURE_ENVIRONMENT: 'AzureUSGovernment' }))), {
      AZURE_VAULT_NAME: 'my-vault',
      AZURE_ENVIRONMENT: 'AzureUSGovernmentCloud',
    });
  });

  it('that sends the machine’s tokens to an endpoint of one’s own is for admins', async () => {
    const uri = uriOf(key, { AUTH: 'implicit', AZURE_VAULT_NAME: 'v-1', AZURE_ENDPOINT: 'h.example' });
    await rejectsWith(
      () => openKeyService({ uri, trusted: false }, settings),
      '42501',
      /^AUTH=implicit with AZURE_ENDPOINT would send tokens/,
    );
  });
});
