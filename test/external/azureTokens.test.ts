/**
 * AUTH=specified with a client secret, and AUTH=implicit: Azurite takes the tokens, which a stand-in of ours for Microsoft Entra ID
 * (entra.ts) gives.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startAzurite } from '../servers/azurite.ts';
import { freePort } from '../servers/postgres.ts';
import { clientSecret, json, startEntra, tenant, tokenFor } from './entra.ts';
import { serve } from './faultServer.ts';

const program = fileURLToPath(new URL('./azureCheckProgram.ts', import.meta.url));
interface Lab {
  /** Runs the program with these URIs, in this environment beside the certificate's. */
  check(environment: Readonly<Record<string, string>>, ...uris: string[]): Promise<string[]>;
  readonly azurite: string;
  readonly container: string;
  readonly authority: string;
  readonly asked: string[];
}

async function startLab(t: TestContext): Promise<Lab | { readonly missing: string }> {
  const entra = await startEntra(t);
  if (entra === undefined) return { missing: 'TLS: no openssl on the PATH' };
  const azurite = await startAzurite({ cert: entra.certificate, key: entra.key });
  if ('missing' in azurite) return azurite;
  t.after(() => azurite.stop());
  const run = promisify(execFile);
  return {
    azurite: azurite.service,
    container: azurite.container,
    authority: entra.authority,
    asked: entra.asked,
    async check(environment, ...uris) {
      const env = { PATH: process.env.PATH, HOME: process.env.HOME, NODE_EXTRA_CA_CERTS: entra.certificate, ...environment };
      const { stdout } = await run(process.execPath, [program, ...uris], { env, timeout: 60_000 });
      return stdout.trimEnd().split('\n');
    },
  };
}

describe('tokens for Azure Blob Storage', () => {
  it('come from Entra ID for a client secret, and from the machine with AUTH=implicit', { timeout: 120_000 }, async (t) => {
    const lab = await startLab(t);
    if ('missing' in lab) return t.skip(lab.missing);
    const uri = (more: Readonly<Record<string, string>>, account = 'pgpiertest') => {
      const parameters = { AZURE_ACCOUNT_NAME: account, AZURE_ENDPOINT: lab.azurite, ...more };
      return `azure://${lab.container}/path?${Object.entries(parameters)
        .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
        .join('&')}`;
    };
    const service = { AUTH: 'specified', AZURE_CLIENT_ID: 'client', AZURE_CLIENT_SECRET: clientSecret, AZURE_TENANT_ID: tenant };

    await t.test('a client secret', async () => {
      const [right, wrong, plus] = await lab.check(
        { AZURE_AUTHORITY_HOST: lab.authority },
        `trusted ${uri(service)}`,
        `trusted ${uri({ ...service, AZURE_CLIENT_SECRET: 'wrong-hush' })}`,
        `trusted ${uri(service).replaceAll('%2B', '+')}`,
      );
      assert.equal(right, 'ok');
      assert.match(wrong!, /^28000 .*azure:\/\/pgpier-test\/path does not accept these credentials \(AADSTS7000215\)$/);
      assert.doesNotMatch(wrong!, /hush/i);
      assert.equal(plus, 'ok');
      assert.deepEqual([...new Set(lab.asked)], [`POST /${tenant}/oauth2/v2.0/token https://storage.azure.com/.default`]);
    });

    await t.test('an authority that is not there', async () => {
      const [told] = await lab.check({ AZURE_AUTHORITY_HOST: `https://localhost:${await freePort()}` }, `trusted ${uri(service)}`);
      assert.match(told!, /^08001 .*cannot reach https:\/\/localhost:\d+: ECONNREFUSED$/);
    });

    const implicit = uri({ AUTH: 'implicit' });
    await t.test('the environment', async () => {
      const environment = {
        AZURE_AUTHORITY_HOST: lab.authority,
        AZURE_TENANT_ID: tenant,
        AZURE_CLIENT_ID: 'c',
        AZURE_CLIENT_SECRET: clientSecret,
      };
      const [admins, others] = await lab.check(environment, `trusted ${implicit}`, `others ${implicit}`);
      assert.equal(admins, 'ok');
      assert.match(others!, /^42501 AUTH=implicit with AZURE_ENDPOINT would send tokens of this machine to a server of your choice$/);
    });

    await t.test('a managed identity, and a machine without one', async () => {
      const msi = await serve(t, (request, response) => {
        if (request.headers['x-identity-header'] !== 'header') return json(response, 401, {});
        const resource = new URL(request.url!, 'http://h').searchParams.get('resource')!;
        const expires = Math.floor(Date.now() / 1000) + 3600;
        json(response, 200, {
          access_token: tokenFor('https://storage.azure.com'),
          expires_on: String(expires),
          resource,
          token_type: 'Bearer',
        });
      });
      const [found] = await lab.check({ IDENTITY_ENDPOINT: `${msi.endpoint}/msi/token`, IDENTITY_HEADER: 'header' }, `trusted ${implicit}`);
      assert.equal(found, 'ok');
      assert.match(msi.requests[0]!, /^GET \/msi\/token\?.*resource=https%3A%2F%2Fstorage\.azure\.com/);
      // The address of Azure's metadata service, moved to a machine that has none.
      const nothing = await serve(t, (_, response) => void response.writeHead(404).end());
      const [none] = await lab.check({ AZURE_POD_IDENTITY_AUTHORITY_HOST: nothing.endpoint }, `trusted ${implicit}`);
      assert.match(none!, /^28000 .*AUTH=implicit: no credentials were found in the environment of PgPier$/);
    });
  });
});
