/**
 * Reads and prints the URIs of the outside, `scheme://host/path?query`, with the rules of Go's net/url, because that is what the
 * people who write them are used to: a list of brokers is a host, `..` stays `..`, the query is kept as it was written. The
 * platform's own URL class refuses the first and silently rewrites the second.
 *
 * Three differences from Go, all on purpose. A host may hold blanks and any percent-encoded character (buckets and quoted names
 * need it). A fragment is an error: an unescaped `#` in a secret would cut the rest off and print it in plain. What Go drops in
 * silence (a malformed or `;`-separated parameter) is an error too. No error repeats a value, since a value may be a secret.
 */
import { PgPierError } from '../errors.ts';

export interface ExternalUri {
  /** Lower case. */
  readonly scheme: string;
  /** Raw `user:password` as written, `undefined` without an `@`. A secret. */
  readonly userinfo?: string;
  /** Percent-decoded: bucket, connection name, node id, or a comma-separated list of `host:port`. */
  readonly host: string;
  /** Percent-decoded; empty or with a leading `/`. Not normalised. */
  readonly path: string;
  /** The path as written, which `formatUri` prints again as long as it still means `path`. */
  readonly rawPath?: string;
  /** Everything after the `?`, verbatim; empty if there is none. */
  readonly query: string;
  /** Decoded (`+` is a blank), in order; a name may occur twice. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** @throws PgPierError 22023 `invalid URI: …`, without any part of the text but the scheme and parameter names. */
export function parseUri(text: string): ExternalUri {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\x00-\x1f\x7f]/.test(text)) throw invalid('it holds a control character');
  if (text.includes('#')) throw invalid('it has a fragment; write "#" as "%23"');
  const [, scheme, rest] = /^([A-Za-z][A-Za-z0-9+.-]*):(.*)$/.exec(text) ?? [];
  if (scheme === undefined || rest === undefined) throw invalid('it has no scheme, such as "s3://"');
  const mark = rest.indexOf('?');
  const beforeQuery = mark < 0 ? rest : rest.slice(0, mark);
  const query = mark < 0 ? '' : rest.slice(mark + 1);
  if (!beforeQuery.startsWith('//')) throw invalid(`"//" is missing after "${scheme.toLowerCase()}:"`);
  const slash = beforeQuery.indexOf('/', 2);
  const authority = slash < 0 ? beforeQuery.slice(2) : beforeQuery.slice(2, slash);
  const rawPath = slash < 0 ? '' : beforeQuery.slice(slash);
  const at = authority.lastIndexOf('@');
  const rawHost = authority.slice(at + 1);
  if (/[\\^`{|}/]/.test(rawHost)) throw invalid('invalid character in host name');
  // A list of brokers has a colon in every member; only what follows the last one is looked at, as in Go.
  if (/:[^\]:]*$/.test(rawHost) && !/:\d*$/.test(rawHost)) throw invalid('invalid port after host');
  const host = percentDecode(rawHost, 'host');
  const path = percentDecode(rawPath, 'path');
  // Places are shown in messages, which a zero byte would end.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[\x00-\x1f\x7f]/.test(host + path)) throw invalid('its host or path holds a percent-encoded control character');
  return {
    scheme: scheme.toLowerCase(),
    ...(at < 0 ? {} : { userinfo: authority.slice(0, at) }),
    host,
    path,
    rawPath,
    query,
    parameters: parseQuery(query),
  };
}

function parseQuery(query: string): [string, string][] {
  const parameters: [string, string][] = [];
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const name = percentDecode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '), 'name of a query parameter');
    // The name alone could still be the tail of a secret with an unescaped `&`; so it is told only where it looks like a name.
    const where = /^\w{1,64}$/.test(name) && equals >= 0 ? `query parameter ${name}` : 'query';
    if (pair.includes(';')) throw invalid(`semicolon in ${where}; write it as "%3B"`);
    const value = equals < 0 ? '' : percentDecode(pair.slice(equals + 1).replaceAll('+', ' '), `value of ${where}`);
    parameters.push([name, value]);
  }
  return parameters;
}

function percentDecode(text: string, where: string): string {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid(`invalid percent-encoding in the ${where}; write "%" as "%25"`);
  }
}

/** The URI as text again: path and query as they were written, everything else with Go's escaping. Holds secrets. */
export function formatUri(uri: ExternalUri): string {
  const userinfo = uri.userinfo === undefined ? '' : `${uri.userinfo}@`;
  const host = uri.host.replace(/[^A-Za-z0-9\-._~!$&'()*+,;=:[\]]/gu, percentEncode);
  return `${uri.scheme}://${userinfo}${host}${formatPath(uri)}${uri.query === '' ? '' : `?${uri.query}`}`;
}

function formatPath(uri: ExternalUri): string {
  if (uri.rawPath !== undefined && percentDecode(uri.rawPath, 'path') === uri.path) return uri.rawPath;
  return uri.path.replace(/[^A-Za-z0-9\-._~$&+,/:;=@]/gu, percentEncode);
}

/** `encodeURIComponent`, and the few characters that it leaves. */
export function percentEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** The first value of a parameter. Names are case-sensitive. */
export function parameter(uri: ExternalUri, name: string): string | undefined {
  return uri.parameters.find(([key]) => key === name)?.[1];
}

/**
 * The URI that `external://name/<subPath>` means when `uri` is what `name` stands for: the paths joined and cleaned of `.`, `..` and
 * doubled slashes.
 * @throws PgPierError 42501 if the result would lie outside the path of `uri`: whoever may use a connection may use what is below it.
 */
export function withSubPath(uri: ExternalUri, subPath: string): ExternalUri {
  const base = cleanPath(uri.path);
  const path = cleanPath(`${base}/${subPath}`);
  if (base !== '/' && path !== base && !path.startsWith(`${base}/`)) throw new PgPierError('pathOutsideConnection');
  if (escapesRoot(`${base}/${subPath}`)) throw new PgPierError('pathOutsideConnection');
  if (subPath === '' || subPath === '/') return uri;
  const { rawPath: _, ...rest } = uri;
  return { ...rest, path };
}

/** Go's path.Clean of a rooted path: `/a/./b//../c` is `/a/c`, `/..` is `/`. */
export function cleanPath(path: string): string {
  const kept: string[] = [];
  for (const segment of path.split('/')) {
    if (segment === '..') kept.pop();
    else if (segment !== '' && segment !== '.') kept.push(segment);
  }
  return `/${kept.join('/')}`;
}

/** Whether a walk along the path is above its start at any moment. */
export function escapesRoot(path: string): boolean {
  let depth = 0;
  for (const segment of path.split('/')) {
    if (segment === '..') depth -= 1;
    else if (segment !== '' && segment !== '.') depth += 1;
    if (depth < 0) return true;
  }
  return false;
}

function invalid(reason: string): PgPierError {
  return new PgPierError('invalidUri', { reason });
}
