/** What an `http://` or `https://` URI of a storage says. Pure. */
import { PgPierError } from '../../errors.ts';
import { readTls, type TlsChoice, type TlsParameters, tlsParameterNames } from '../tlsParameters.ts';
import { cleanPath, type ExternalUri, percentEncode } from '../uri.ts';
import type { StorageSettings } from './storage.ts';

export interface HttpUri {
  /** `https://host:port`, without credentials and without a standard port. */
  readonly origin: string;
  readonly secure: boolean;
  /** Without brackets around an IPv6 address. */
  readonly hostname: string;
  readonly port: number;
  /** As a request line takes it, without a slash at its end; the object's path goes behind it. */
  readonly base: string;
  /** With its `?`, or empty. It belongs to the URL and goes with each request: signatures, tokens. A secret. */
  readonly query: string;
  readonly credentials?: { readonly user: string; readonly password: string };
  /** For messages: nothing secret. */
  readonly location: string;
}

/** Where requests go, and how their server is trusted. */
export interface HttpEndpoint extends HttpUri {
  readonly tls: TlsChoice;
}

/**
 * The parameters that are not TLS's go to the server, as they were written.
 * @throws PgPierError as `parseHttpUri`, and for what is wrong with certificates and keys
 */
export function parseHttpEndpoint(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp'>): HttpEndpoint {
  const own = (name: string): boolean => (tlsParameterNames as readonly string[]).includes(name);
  const given = new Map<string, string>();
  for (const [name, value] of uri.parameters) if (own(name) && !given.has(name)) given.set(name, value);
  const [first] = given.keys();
  if (uri.scheme === 'http' && first !== undefined) throw new PgPierError('parameterRequires', { parameter: first, needed: 'https' });
  const passed = uri.query.split('&').filter((pair) => pair !== '' && !own(decodeName(pair)));
  const tls = readTls(Object.fromEntries(given) as TlsParameters);
  return { ...parseHttpUri({ ...uri, query: passed.join('&') }, settings), tls };
}

/** A name as `parseUri` has read it, which refused what cannot be decoded. */
function decodeName(pair: string): string {
  return decodeURIComponent(pair.split('=', 1)[0]!.replaceAll('+', ' '));
}

/** @throws PgPierError 22023 for what is no address of a web server; 42501 where the operator forbids http. */
export function parseHttpUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp'>): HttpUri {
  if (settings?.disableHttp) throw new PgPierError('httpDisallowed');
  const url = readHost(uri);
  const secure = uri.scheme === 'https';
  const base = (uri.rawPath ?? uri.path).replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]/gu, percentEncode).replace(/\/+$/, '');
  return {
    origin: url.origin,
    secure,
    hostname: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port === '' ? (secure ? 443 : 80) : Number(url.port),
    base,
    query: uri.query === '' ? '' : `?${uri.query.replace(/[^\x21-\x7e]/gu, percentEncode)}`,
    ...(uri.userinfo === undefined ? {} : { credentials: readCredentials(uri.userinfo) }),
    location: `${url.origin}${cleanPath(uri.path).replace(/^\/$/, '')}`,
  };
}

function readHost({ scheme, host }: ExternalUri): URL {
  if (host === '') throw new PgPierError('invalidUri', { reason: `a host is missing after "${scheme}://"` });
  const unfit = new PgPierError('invalidUri', { reason: `"${scheme}://" needs one host, with or without a port` });
  if (/[\s/?#@\\,%]/.test(host)) throw unfit;
  try {
    return new URL(`${scheme}://${host}`);
  } catch {
    throw unfit;
  }
}

/** Of Basic authentication: what stands before the first colon is the name, which can hold none. */
function readCredentials(userinfo: string): { user: string; password: string } {
  const colon = userinfo.indexOf(':');
  try {
    const user = decodeURIComponent(colon < 0 ? userinfo : userinfo.slice(0, colon));
    if (user.includes(':')) throw new PgPierError('invalidUri', { reason: 'the name before the host holds a colon' });
    return { user, password: colon < 0 ? '' : decodeURIComponent(userinfo.slice(colon + 1)) };
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    throw new PgPierError('invalidUri', { reason: 'invalid percent-encoding before the host; write "%" as "%25"' });
  }
}
