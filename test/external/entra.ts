/** A stand-in of ours for Microsoft Entra ID, in the shapes of Microsoft's documentation: tokens for a client secret, over TLS. Entra ID itself was not asked. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Owner, serveTls } from './faultServer.ts';

export const tenant = '11111111-2222-3333-4444-555555555555';
export const clientSecret = 'hush+hush/secret~';

export interface Entra {
  /** For AZURE_AUTHORITY_HOST. */
  readonly authority: string;
  /** PEM files of the certificate of `localhost`, which is its own authority, and its key. */
  readonly certificate: string;
  readonly key: string;
  /** `METHOD /path scope` of each request for a token so far. */
  readonly asked: string[];
}

/** Undefined where there is no openssl. */
export async function startEntra(owner: Owner): Promise<Entra | undefined> {
  const asked: string[] = [];
  const server = await serveTls(owner, 'localhost', async (request, response) => {
    const origin = `https://${request.headers.host}/${tenant}`;
    if (request.url!.includes('.well-known/openid-configuration')) {
      json(response, 200, {
        issuer: `${origin}/v2.0`,
        token_endpoint: `${origin}/oauth2/v2.0/token`,
        authorization_endpoint: `${origin}/oauth2/v2.0/authorize`,
        end_session_endpoint: `${origin}/oauth2/v2.0/logout`,
        jwks_uri: `${origin}/discovery/v2.0/keys`,
      });
      return;
    }
    const form = new URLSearchParams(await bodyOf(request));
    const scope = form.get('scope')?.split(' ')[0] ?? '';
    asked.push(`${request.method} ${new URL(request.url!, origin).pathname} ${scope}`);
    if (form.get('client_secret') !== clientSecret) {
      json(response, 401, { error: 'invalid_client', error_description: 'AADSTS7000215: Invalid client secret HUSH-TEXT.' });
      return;
    }
    const access_token = tokenFor(scope.replace(/\/\.default$/, ''));
    json(response, 200, { token_type: 'Bearer', expires_in: 3599, ext_expires_in: 3599, access_token });
  });
  return server && { authority: `https://localhost:${server.port}`, certificate: server.certificate, key: server.key, asked };
}

/** A token for a resource, with a signature that is none. Azurite takes it: it looks at issuer, audience and times. */
export function tokenFor(resource: string): string {
  const now = Math.floor(Date.now() / 1000);
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { aud: resource, iss: `https://sts.windows.net/${tenant}/`, tid: tenant, iat: now - 60, nbf: now - 60, exp: now + 3600 };
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.c2lnbmF0dXJl`;
}

export async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

export const json = (response: ServerResponse, status: number, body: object): void =>
  void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
