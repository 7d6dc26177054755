/**
 * Access tokens for a login: given ones, those that a service account's key signs for (RFC 7523), those of the machine (`google-auth-library`), and those of accounts
 * that others may act for (IAM Credentials API). Each is kept until five minutes before its end.
 *
 * The library is for the machine's own alone: its client for keys knows one token server, whatever the key says, and neither it nor the one for impersonation
 * can be cancelled, or kept from repeating an answer's text in an error.
 */
import { sign } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { Egress } from '../egress.ts';
import { socketError } from '../socketErrors.ts';
import { exchange, GoogleFailure, type GoogleRequest, readJson, retrying, stopped } from './http.ts';
import type { GoogleLogin, ServiceAccountKey } from './login.ts';

export interface GoogleTokens {
  /** @throws PgPierError 28000 refused, 42501 a role that may not be assumed, 08xxx, 57014 */
  get(signal?: AbortSignal): Promise<string>;
  /** Whether there is another token than this one, which was refused; it is forgotten. */
  forget(token: string): boolean;
}

export interface TokenContext {
  readonly egress: Egress;
  /** A URI without secrets, for messages. */
  readonly location: string;
  readonly scope: string;
  /** The IAM Credentials API, for tests. */
  readonly iam?: string;
}

interface Token {
  readonly value: string;
  /** Milliseconds since 1970. */
  readonly expires: number;
}

const googleIam = 'https://iamcredentials.googleapis.com';
/** With every scope the source of a chain may do nothing but become somebody else. */
const iamScope = 'https://www.googleapis.com/auth/iam';
const tokenSeconds = 3600;
const marginMilliseconds = 5 * 60_000;
const tokenMilliseconds = 10_000;
/** A machine that is on no cloud finds out slowly. */
const ambientMilliseconds = 20_000;

export function openTokens(login: GoogleLogin, context: TokenContext): GoogleTokens {
  const { credentials, chain } = login;
  const scope = chain.length === 0 ? context.scope : iamScope;
  if (credentials.kind === 'token' && chain.length === 0) {
    const { token } = credentials;
    return { get: async () => token, forget: () => false };
  }
  const source = async (): Promise<Token> => {
    if (credentials.kind === 'token') return { value: credentials.token, expires: Number.POSITIVE_INFINITY };
    return credentials.kind === 'key' ? await signedFor(credentials.key, scope, context) : await ambient(scope, context);
  };
  const own = kept(source, context);
  return chain.length === 0 ? own : kept(() => impersonated(own, chain, context), context);
}

/** One token for all who ask at the same time. Who stops waiting does not stop it for the others. */
function kept(fetch: () => Promise<Token>, { location }: TokenContext): GoogleTokens {
  let token: Token | undefined;
  let fetching: Promise<Token> | undefined;
  return {
    async get(signal) {
      if (token !== undefined && token.expires - marginMilliseconds > Date.now()) return token.value;
      fetching ??= fetch().finally(() => {
        fetching = undefined;
      });
      token = await unlessCancelled(fetching, location, signal);
      return token.value;
    },
    forget(refused) {
      if (token?.value === refused) token = undefined;
      return true;
    },
  };
}

async function unlessCancelled<T>(work: Promise<T>, location: string, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  work.catch(() => {});
  const { promise: cancelled, reject } = Promise.withResolvers<never>();
  const cancel = () => reject(stopped(signal, location, 'Google'));
  if (signal.aborted) cancel();
  signal.addEventListener('abort', cancel, { once: true });
  try {
    return await Promise.race([work, cancelled]);
  } finally {
    signal.removeEventListener('abort', cancel);
  }
}

async function signedFor(key: ServiceAccountKey, scope: string, context: TokenContext): Promise<Token> {
  const now = Math.floor(Date.now() / 1000);
  const claims = { iss: key.email, scope, aud: key.tokenUri, iat: now, exp: now + tokenSeconds };
  const answer = await ask(context, {
    method: 'POST',
    url: key.tokenUri,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer',
      assertion: assertion({ alg: 'RS256', typ: 'JWT', ...(key.keyId === undefined ? {} : { kid: key.keyId }) }, claims, key.privateKey),
    }).toString(),
  });
  const { access_token: value, expires_in: seconds } = answer as { access_token?: unknown; expires_in?: unknown };
  if (typeof value !== 'string' || value === '') throw notTokens(key.tokenUri);
  return { value, expires: Date.now() + Number(seconds ?? tokenSeconds) * 1000 };
}

/** A JWT (RFC 7519). */
function assertion(header: object, claims: object, privateKey: string): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
}

/** The last of the chain, by way of the others. */
async function impersonated(own: GoogleTokens, chain: readonly string[], context: TokenContext): Promise<Token> {
  const role = chain.at(-1)!;
  const iam = context.iam ?? googleIam;
  const delegates = chain.slice(0, -1).map((each) => `projects/-/serviceAccounts/${each}`);
  const bearer = await own.get();
  let answer: object;
  try {
    answer = await ask(context, {
      method: 'POST',
      url: `${iam}/v1/projects/-/serviceAccounts/${encodeURIComponent(role)}:generateAccessToken`,
      headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
      body: JSON.stringify({ delegates, scope: [context.scope], lifetime: `${tokenSeconds}s` }),
    });
  } catch (error) {
    if (error instanceof GoogleFailure) throw new PgPierError('impersonationDenied', { role, cause: error.code ?? `HTTP ${error.status}` });
    throw error;
  }
  const { accessToken: value, expireTime } = answer as { accessToken?: unknown; expireTime?: unknown };
  const expires = Date.parse(String(expireTime));
  if (typeof value !== 'string' || Number.isNaN(expires)) throw notTokens(iam);
  return { value, expires };
}

/** What the environment has: GOOGLE_APPLICATION_CREDENTIALS, gcloud's own file, workload identity, the metadata server. It is the operator's, so egress.ts does not judge it. */
async function ambient(scope: string, { location }: TokenContext): Promise<Token> {
  const { GoogleAuth } = await import('google-auth-library');
  const found = async (): Promise<Token> => {
    // No token depends on the project; without one the library would run gcloud, or ask further services for it.
    const client = await new GoogleAuth({ scopes: [scope], projectId: 'none' }).getClient();
    const { token } = await client.getAccessToken();
    if (!token) throw new PgPierError('storageCredentialsMissing');
    return { value: token, expires: client.credentials.expiry_date ?? Date.now() + 2 * marginMilliseconds };
  };
  const late = new AbortController();
  try {
    return await Promise.race([
      found(),
      sleep(ambientMilliseconds, undefined, { signal: late.signal }).then(() => {
        throw new PgPierError('storageTimeout', { endpoint: 'Google' });
      }),
    ]);
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    const { status, code } = error as { status?: unknown; code?: unknown };
    if (typeof status === 'number') throw new PgPierError('storageCredentialsRejected', { location, cause: `HTTP ${status}` });
    throw socketError({ code }, 'Google', 'Google') ?? new PgPierError('storageCredentialsMissing');
  } finally {
    late.abort();
  }
}

async function ask({ egress, location }: TokenContext, request: GoogleRequest): Promise<object> {
  const endpoint = new URL(request.url).origin;
  try {
    return await retrying(undefined, async () =>
      readJson(await exchange(egress, { ...request, milliseconds: tokenMilliseconds }), { endpoint, provider: 'a token server' }),
    );
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    if (!(error instanceof GoogleFailure)) {
      throw (
        socketError(error as object, endpoint, 'a token server') ?? new PgPierError('storageUnreachable', { endpoint, cause: 'unknown' })
      );
    }
    if (error.status >= 300 && error.status < 400) throw new PgPierError('storageRedirected', { endpoint });
    if (error.status === 429 || error.status === 503) throw new PgPierError('storageBusy', { endpoint, cause: `HTTP ${error.status}` });
    if (request.headers?.authorization !== undefined && error.status !== 401) throw error;
    if (error.code === undefined)
      throw new PgPierError('storageProtocol', { endpoint, provider: 'a token server', cause: `HTTP ${error.status}` });
    // An assertion is good for an hour from its own second on; Google does not say more than invalid_grant.
    if (error.date !== undefined && Math.abs(error.date - Date.now()) > marginMilliseconds)
      throw new PgPierError('storageClockSkew', { location });
    throw new PgPierError('storageCredentialsRejected', { location, cause: error.code });
  }
}

const notTokens = (url: string): PgPierError =>
  new PgPierError('storageProtocol', { endpoint: new URL(url).origin, provider: 'a token server', cause: 'no token' });
