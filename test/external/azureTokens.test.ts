/**
 * AUTH=specified with a client secret, and AUTH=implicit: Azurite takes the tokens, which a stand-in of ours for Microsoft Entra ID gives. It has the shapes of
 * Microsoft's documentation; Entra ID itself was not asked.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { startAzurite } from '../servers/azurite.ts';
import { freePort } from '../servers/postgres.ts';
import { serve, serveTls } from './faultServer.ts';

const program = fileURLToPath(new URL('./azureCheckProgram.ts', import.meta.url));
const tenant = '11111111-2222-3333-4444-555555555555';
const secret = 'hush+hush/secret~';

/** A token that Azurite takes: it looks at issuer, audience and times, not at the signature. */
function tokenFor(resource: string): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { aud: resource, iss: `https://sts.windows.net/${tenant}/`, tid: tenant, iat: now - 60, nbf: now - 60, exp: now + 3600 };
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}

async function bodyOf(request: IncomingMessage): Promise<URLSearchParams> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return new URLSearchParams(text);
}

const json = (response: ServerResponse, status: number, body: object) =>
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));

interface Lab {
  /** Runs the program with these URIs, in this environment beside the certificate's. */
  check(environment: Readonly<Record<string, string>>, ...uris: string[]): Promise<string[]>;
  readonly azurite: string;
  readonly container: string;
  readonly authority: string;
  readonly asked: string[];
}

async function startLab(t: TestContext): Promise<Lab | { readonly missing: string }> {
  const asked: string[] = [];
  const entra = await serveTls(t, 'localhost', async (request, response) => {
    const origin = `https://${request.headers.host}/${tenant}`;
    if (request.url!.includes('.well-known/openid-configuration'))
      return void json(response, 200, {
        issuer: `${origin}/v2.0`,
        token_endpoint: `${origin}/oauth2/v2.0/token`,
        authorization_endpoint: `${origin}/oauth2/v2.0/authorize`,
        end_session_endpoint: `${origin}/oauth2/v2.0/logout`,
        jwks_uri: `${origin}/discovery/v2.0/keys`,
      });
    const form = await bodyOf(request);
    asked.push(`${request.method} ${new URL(request.url!, origin).pathname} ${form.get('scope')?.split(' ')[0]}`);
    if (form.get('client_secret') !== secret)
      return void json(response, 401, { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret HUSH-TEXT.' });
    json(response, 200, {
      token_type: 'Bearer',
      expires_in: 3599,
      ext_expires_in: 3599,
      access_token: tokenFor('https://storage.azure.com'),
    });
  });
  if (entra === undefined) return { missing: 'TLS: no openssl on the PATH' };
  const azurite = await startAzurite({ cert: entra.certificate, key: entra.key });
  if ('missing' in azurite) return azurite;
  t.after(() => azurite.stop());
  const run = promisify(execFile);
  return {
    azurite: azurite.service,
    container: azurite.container,
    authority: `https://localhost:${entra.port}`,
    asked,
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
    const service = { AUTH: 'specified', AZURE_CLIENT_ID: 'client', AZURE_CLIENT_SECRET: secret, AZURE_TENANT_ID: tenant };

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
        AZURE_CLIENT_SECRET: secret,
      };
      const [admins, others] = await lab.check(environment, `trusted ${implicit}`, `others ${implicit}`);
      assert.equal(admins, 'ok');
      assert.match(others!, /^42501 AUTH=implicit with an AZURE_ENDPOINT would send tokens of this machine to a server of your choice$/);
    });

    await t.test('a managed identity, and a machine without one', async () => {
      const msi = await serve(t, (request, response) => {
        if (request.headers['x-identity-header'] !== 'header') return void json(response, 401, {});
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
