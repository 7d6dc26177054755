/**
 * A stand-in of ours for Azure Key Vault, in the shapes of Microsoft's documentation, with real RSA keys: no server that somebody else wrote was found. It takes
 * tokens for its own resource alone.
 */
import { constants, generateKeyPairSync, type KeyObject, privateDecrypt, publicEncrypt } from 'node:crypto';
import { bodyOf, json } from '../entra.ts';
import { type Owner, serveTls } from '../faultServer.ts';

export interface KeyVault {
  /** `https://localhost:port`. */
  readonly service: string;
  /** The PEM file of its certificate, which is its own authority. */
  readonly certificate: string;
  /** Outside of HTTP, as Microsoft's definition of RSA-OAEP-256 says it. */
  decrypt(key: string, ciphertext: Buffer): Buffer;
}

export const version = '0123456789abcdef0123456789abcdef';

const padding = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' } as const;

const refusals: Readonly<Record<string, readonly [status: number, code: string, inner?: string]>> = {
  disabled: [403, 'Forbidden', 'KeyDisabled'],
  expired: [403, 'Forbidden', 'KeyExpired'],
  denied: [403, 'Forbidden', 'ForbiddenByRbac'],
  walled: [403, 'Forbidden', 'ForbiddenByFirewall'],
  deleted: [409, 'Conflict', 'ObjectIsDeletedButRecoverable'],
  elliptic: [400, 'BadParameter'],
  busy: [429, 'Throttled'],
  odd: [400, 'SomethingElse'],
};

/** Undefined where there is no openssl. */
export async function startKeyVault(owner: Owner): Promise<KeyVault | undefined> {
  const keys = new Map<string, { readonly publicKey: KeyObject; readonly privateKey: KeyObject }>();
  for (const name of ['first', 'second']) keys.set(name, generateKeyPairSync('rsa', { modulusLength: 2048 }));
  const server = await serveTls(owner, 'localhost', async (request, response) => {
    const refuse = (status: number, code: string, inner?: string) =>
      json(response, status, { error: { code, message: 'HUSH-TEXT', ...(inner === undefined ? {} : { innererror: { code: inner } }) } });
    const { pathname, searchParams } = new URL(request.url!, 'https://h');
    const [, name, operation] = /^\/keys\/([\w-]+)\/[\da-f]{32}\/(encrypt|decrypt)$/.exec(pathname) ?? [];
    const { alg, value } = JSON.parse(await bodyOf(request)) as { alg: string; value: string };
    if (audienceOf(request.headers.authorization) !== 'https://vault.azure.net') return refuse(401, 'Unauthorized');
    if (request.method !== 'POST' || searchParams.get('api-version') !== '7.4' || alg !== 'RSA-OAEP-256')
      return refuse(400, 'BadParameter');
    const fault = refusals[name ?? ''];
    if (fault !== undefined) return refuse(...fault);
    const key = keys.get(name ?? '');
    if (key === undefined) return refuse(404, 'KeyNotFound');
    try {
      const bytes = Buffer.from(value, 'base64url');
      const made = operation === 'encrypt' ? publicEncrypt({ key: key.publicKey, ...padding }, bytes) : decrypt(key.privateKey, bytes);
      json(response, 200, { kid: `https://${request.headers.host}/keys/${name}/${version}`, value: made.toString('base64url') });
    } catch {
      refuse(400, 'BadParameter');
    }
  });
  return (
    server && {
      service: `https://localhost:${server.port}`,
      certificate: server.certificate,
      decrypt: (key, ciphertext) => decrypt(keys.get(key)!.privateKey, ciphertext),
    }
  );
}

const decrypt = (key: KeyObject, bytes: Buffer): Buffer => privateDecrypt({ key, ...padding }, bytes);

function audienceOf(authorization: string | undefined): unknown {
  const [, claims] = /^Bearer [\w-]+\.([\w-]+)\./.exec(authorization ?? '') ?? [];
  return claims === undefined ? undefined : (JSON.parse(Buffer.from(claims, 'base64url').toString()) as { aud: unknown }).aud;
}
