/**
 * A libpq connection URI (PostgreSQL documentation, "Connection URIs"): `postgres://user:password@host:port/database?sslmode=…`. Own reader,
 * because `new URL()` refuses what libpq takes (an empty host, a percent-encoded socket directory as host).
 */

import { Secret } from '../../catalog/secrets.ts';
import type { SslMode } from '../login/listenerOptions.ts';

const SSL_MODES: readonly SslMode[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

export const sessionAttrs = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
/** libpq's target_session_attrs: what a server must be to be connected to. */
export type SessionAttrs = (typeof sessionAttrs)[number];

export interface Host {
  /** A name, an address, or the directory of a Unix socket (begins with `/`). */
  readonly host: string;
  readonly port: number;
}

export interface HostList {
  /** At least one, in the order in which they are tried. */
  readonly hosts: readonly Host[];
  readonly sessionAttrs: SessionAttrs;
  /** libpq's load_balance_hosts=random: each connection tries them in an order of its own. */
  readonly shuffled: boolean;
}

/** A server to connect to, as a URI told it. With `choice` the first of several, or one that must be of a kind. */
export interface ConnectionTarget {
  /** A name, an address, or the directory of a Unix socket (begins with `/`). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: Secret;
  /** libpq's words; `prefer` where the URI has none. Means nothing on a Unix socket. */
  readonly sslmode: SslMode;
  /** A file of root certificates (PEM), or `system`. */
  readonly sslrootcert?: string;
  /** For one host; libpq's connect_timeout. */
  readonly connectTimeoutMs?: number;
  readonly choice?: HostList;
}

export interface Defaults {
  readonly user: string;
  /** Absent: the user's name, as in libpq. */
  readonly database?: string;
}

// A password with an unescaped `/` or `?` ends up among the other parts: so no message repeats a part, but for words that cannot be one.
const NAMEABLE = ['application_name', 'channel_binding', 'hostaddr', 'options', 'sslcert', 'sslkey'];
const PARAMETERS = [
  'host',
  'port',
  'user',
  'password',
  'dbname',
  'sslmode',
  'sslrootcert',
  'connect_timeout',
  'target_session_attrs',
  'load_balance_hosts',
];

/** The target, or what is wrong with the text; messages never hold the password. */
export function parseConnectionUri(
  text: string,
  defaults: Defaults,
): { readonly target: ConnectionTarget } | { readonly mistakes: readonly string[] } {
  const match = /^postgres(?:ql)?:\/\/(?:([^@/?]*)@)?([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(text);
  if (!match) return { mistakes: ['is not a URL of the form postgres://USER@HOST:PORT/DATABASE'] };
  const mistakes: string[] = [];
  const decode = (part: string): string => {
    try {
      return decodeURIComponent(part);
    } catch {
      mistakes.push('holds a % that begins no percent-encoding');
      return '';
    }
  };

  const [, userInfo = '', hostPort = '', path = '', query = ''] = match;
  const given = new Map<string, string>();
  const colon = userInfo.indexOf(':');
  given.set('user', decode(colon < 0 ? userInfo : userInfo.slice(0, colon)));
  if (colon >= 0) given.set('password', decode(userInfo.slice(colon + 1)));
  const addresses = hostPort.split(',').map((each) => {
    const parts = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(each);
    if (!parts) mistakes.push('has an address that cannot be read: an IPv6 address stands in brackets');
    return { host: decode(parts?.[1] ?? parts?.[2] ?? ''), port: parts?.[3] ?? '' };
  });
  given.set('host', addresses.map(({ host }) => host).join(','));
  given.set('port', addresses.map(({ port }) => port).join(','));
  given.set('dbname', decode(path));
  for (const pair of query.split('&').filter((each) => each !== '')) {
    const equals = pair.indexOf('=');
    const key = decode(equals < 0 ? pair : pair.slice(0, equals));
    if (equals >= 0 && PARAMETERS.includes(key)) given.set(key, decode(pair.slice(equals + 1)));
    else
      mistakes.push(
        `has ${NAMEABLE.includes(key) ? `the parameter "${key}"` : 'a parameter'} that is not known here; known are ${PARAMETERS.join(', ')}`,
      );
  }

  const hosts = hostList(given.get('host')!, given.get('port')!, mistakes);
  const attrs = sessionAttrs.find((each) => each === (given.get('target_session_attrs') || 'any'));
  if (attrs === undefined) mistakes.push(`has an unknown target_session_attrs; it is one of ${sessionAttrs.join(', ')}`);
  const balance = given.get('load_balance_hosts') || 'disable';
  if (balance !== 'disable' && balance !== 'random') mistakes.push('has an unknown load_balance_hosts; it is disable or random');
  const timeout = given.get('connect_timeout') || '0';
  if (!/^\d{1,5}$/.test(timeout)) mistakes.push('has a connect_timeout that is not a number of seconds');
  const sslmode = SSL_MODES.find((mode) => mode === (given.get('sslmode') || 'prefer'));
  if (sslmode === undefined) mistakes.push(`has an unknown sslmode; it is one of ${SSL_MODES.join(', ')}`);
  if (mistakes.length > 0 || sslmode === undefined || attrs === undefined) return { mistakes };

  const user = given.get('user') || defaults.user;
  const password = given.get('password');
  const sslrootcert = given.get('sslrootcert');
  return {
    target: {
      ...hosts[0]!,
      user,
      database: given.get('dbname') || defaults.database || user,
      ...(password ? { password: new Secret(password) } : {}),
      sslmode,
      ...(sslrootcert ? { sslrootcert } : {}),
      ...(Number(timeout) > 0 ? { connectTimeoutMs: Math.max(2, Number(timeout)) * 1000 } : {}),
      ...(hosts.length > 1 || attrs !== 'any' ? { choice: { hosts, sessionAttrs: attrs, shuffled: balance === 'random' } } : {}),
    },
  };
}

/** libpq's rules: as many ports as hosts, or one for all; an empty one means the default. Never empty. */
function hostList(hostText: string, portText: string, mistakes: string[]): Host[] {
  const names = hostText.split(',');
  const ports = portText.split(',');
  if (ports.length !== 1 && ports.length !== names.length) mistakes.push(`has ${ports.length} ports for ${names.length} hosts`);
  return names.map((name, index) => {
    const text = (ports.length === 1 ? ports[0] : ports[index]) || '5432';
    const port = Number(text);
    if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535) mistakes.push('has a port that is not a number from 1 to 65535');
    return { host: name || '127.0.0.1', port };
  });
}
