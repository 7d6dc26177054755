/** Who a URI of Google's says we are: AUTH, CREDENTIALS, BEARER_TOKEN and ASSUME_ROLE, the same for `gs`, `gcp-kms` and `gcpubsub`. Pure. */
import { createPrivateKey } from 'node:crypto';
import { PgPierError } from '../../errors.ts';
import { base64Error } from '../base64.ts';
import { endpointParameter } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type ExternalUri, parameter } from '../uri.ts';

export interface GoogleLogin {
  readonly credentials:
    | { readonly kind: 'implicit' }
    | { readonly kind: 'key'; readonly key: ServiceAccountKey }
    | { readonly kind: 'token'; readonly token: string };
  /** Service accounts to become, one through the other: the last one is used, the others vouch for it. */
  readonly chain: readonly string[];
}

/** What is used of a service account's JSON key. */
export interface ServiceAccountKey {
  readonly email: string;
  readonly keyId?: string;
  /** PEM. A secret. */
  readonly privateKey: string;
  /** Where a signed assertion is changed for an access token. */
  readonly tokenUri: string;
}

export const loginParameters = ['AUTH', 'CREDENTIALS', 'BEARER_TOKEN', 'ASSUME_ROLE'] as const;

/** CockroachDB has other words for it at each. */
type CredentialsMissing = 'gsCredentialsNotSet' | 'gcpCredentialsNotSet';

type Given = Partial<Readonly<Record<(typeof loginParameters)[number], string>>>;

/** @throws PgPierError 22023 with CockroachDB's words; never with a part of a secret. */
export function readLogin(given: Given, missing: CredentialsMissing): GoogleLogin {
  return { credentials: readCredentials(given, missing), chain: readChain(given.ASSUME_ROLE) };
}

function readCredentials({ AUTH, CREDENTIALS, BEARER_TOKEN }: Given, missing: CredentialsMissing): GoogleLogin['credentials'] {
  if (AUTH === 'implicit') return { kind: 'implicit' };
  if (AUTH === 'default') throw new PgPierError('gsAuthDefault');
  if (AUTH && AUTH !== 'specified') throw new PgPierError('unsupportedAuth', { value: JSON.stringify(AUTH.slice(0, 32)) });
  // Base64 holds no blank; it was a "+" that should have been "%2B".
  if (CREDENTIALS) return { kind: 'key', key: readKey(CREDENTIALS.replaceAll(' ', '+')) };
  if (!BEARER_TOKEN) throw new PgPierError(missing);
  if (!/^[\x21-\x7e]+$/.test(BEARER_TOKEN)) throw new PgPierError('bearerTokenInvalid');
  return { kind: 'token', token: BEARER_TOKEN };
}

function readKey(text: string): ServiceAccountKey {
  const unreadable = base64Error(text);
  if (unreadable !== undefined) throw invalidKey(unreadable);
  let json: unknown;
  try {
    json = JSON.parse(Buffer.from(text, 'base64').toString());
  } catch {
    throw invalidKey('it is not JSON');
  }
  const field = (name: string): string | undefined => {
    const value = (json as Record<string, unknown> | null)?.[name];
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  // Other types name files, programs and addresses on this machine, which a user must not choose.
  if (field('type') !== 'service_account') throw invalidKey('its type is not "service_account"');
  if ((field('universe_domain') ?? 'googleapis.com') !== 'googleapis.com') {
    throw new PgPierError('notSupported', { what: 'a universe_domain other than googleapis.com' });
  }
  const email = field('client_email');
  const privateKey = field('private_key');
  if (email === undefined) throw invalidKey('it has no client_email');
  if (privateKey === undefined) throw invalidKey('it has no private_key');
  try {
    if (createPrivateKey(privateKey).asymmetricKeyType !== 'rsa') throw new Error('not RSA');
  } catch {
    throw invalidKey('its private_key is not an RSA key in PEM');
  }
  const keyId = field('private_key_id');
  return { email, privateKey, tokenUri: readTokenUri(field('token_uri')), ...(keyId === undefined ? {} : { keyId }) };
}

const invalidKey = (reason: string): PgPierError => new PgPierError('gcpCredentialsInvalid', { reason });

const googleTokenUri = 'https://oauth2.googleapis.com/token';

function readTokenUri(text: string | undefined): string {
  if (text === undefined) return googleTokenUri;
  if (!URL.canParse(text)) throw invalidKey('its token_uri is not a URL');
  const { protocol, username, password, hash, href } = new URL(text);
  if (!/^https?:$/.test(protocol) || username || password || hash) throw invalidKey('its token_uri is not a plain http(s) URL');
  return href;
}

/** A chain's member is a service account's address. */
function readChain(text: string | undefined): string[] {
  if (!text) return [];
  const chain = text.split(',').map((each) => each.trim());
  if (chain.some((each) => !/^[\w.+-]{1,100}@[\w.-]{1,200}$/.test(each))) throw new PgPierError('assumeRoleNotAccount');
  return chain;
}

/** @throws PgPierError 42501 for what the operator forbids: the machine's own credentials, addresses of the user's choice */
export function checkAllowed(
  { login, endpoint, provider }: { readonly login: GoogleLogin; readonly endpoint: string | undefined; readonly provider: string },
  settings: Pick<StorageSettings, 'disableHttp' | 'disableImplicitCredentials'> | undefined,
): void {
  if (login.credentials.kind === 'implicit' && settings?.disableImplicitCredentials)
    throw new PgPierError('implicitDisallowed', { provider });
  if (settings?.disableHttp && (endpoint !== undefined || hasOwnTokenServer(login)))
    throw new PgPierError('endpointDisallowed', { provider });
}

/** A token, unlike a signature, is good for whoever gets it. Throws 42501 where the machine's own would go to a server that somebody else than an admin chose. */
export function keepAmbientTokens(uri: { readonly login: GoogleLogin; readonly endpoint?: string }, trusted: boolean): void {
  if (uri.login.credentials.kind === 'implicit' && uri.endpoint !== undefined && !trusted) {
    throw new PgPierError('implicitEndpoint', { parameter: 'GOOGLE_ENDPOINT' });
  }
}

/** Whether the caller needs EXTERNALIOIMPLICITACCESS outside CREATE: ambient credentials, or an address of the caller's choice, be it the key's token server. */
export function requiresImplicitAccess(uri: ExternalUri): boolean {
  if (usesAmbientCredentials(uri) || parameter(uri, 'GOOGLE_ENDPOINT')) return true;
  const CREDENTIALS = parameter(uri, 'CREDENTIALS');
  if (!CREDENTIALS) return false;
  try {
    return hasOwnTokenServer(readLogin({ CREDENTIALS }, 'gsCredentialsNotSet'));
  } catch (error) {
    // What cannot be read reaches nothing; `validate` says what is wrong with it.
    if (error instanceof PgPierError) return false;
    throw error;
  }
}

/** Of a valid URI: an endpoint, and a key's token server, which is dialled too, where they are not Google's. */
export function placeParameters(uri: ExternalUri): Readonly<Record<string, string>> {
  const endpoint = endpointParameter('GOOGLE_ENDPOINT', parameter(uri, 'GOOGLE_ENDPOINT'));
  const CREDENTIALS = parameter(uri, 'CREDENTIALS');
  const login = CREDENTIALS && !usesAmbientCredentials(uri) ? readLogin({ CREDENTIALS }, 'gsCredentialsNotSet') : undefined;
  const own = login?.credentials.kind === 'key' && hasOwnTokenServer(login) ? login.credentials.key.tokenUri : undefined;
  return {
    ...(endpoint === undefined ? {} : { GOOGLE_ENDPOINT: endpoint }),
    ...(own === undefined ? {} : { token_uri: new URL(own).origin }),
  };
}

export function usesAmbientCredentials(uri: ExternalUri): boolean {
  return parameter(uri, 'AUTH') === 'implicit';
}

/** Whether the key asks for its tokens elsewhere than at Google: an address of the user's choice. */
function hasOwnTokenServer({ credentials }: GoogleLogin): boolean {
  if (credentials.kind !== 'key') return false;
  const { protocol, hostname, port } = new URL(credentials.key.tokenUri);
  return protocol !== 'https:' || port !== '' || !/^(accounts\.google\.com|([\w-]+\.)*googleapis\.com)$/.test(hostname);
}
