/**
 * A libpq connection URI (PostgreSQL documentation, "Connection URIs"): `postgres://user:password@host:port/database?sslmode=…`. Own reader,
 * because `new URL()` refuses what libpq takes (an empty host, a percent-encoded socket directory as host).
 */

import { Secret } from '../../catalog/secrets.ts';
import type { SslMode } from '../login/listenerOptions.ts';

const SSL_MODES: readonly SslMode[] = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'];

/** A server to connect to, as a URI told it. */
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
}

export interface Defaults {
  readonly user: string;
  /** Absent: the user's name, as in libpq. */
  readonly database?: string;
}

// A password with an unescaped `/` or `?` ends up among the other parts: so no message repeats a part, but for words that cannot be one.
const NAMEABLE = [
  'application_name',
  'channel_binding',
  'connect_timeout',
  'hostaddr',
  'options',
  'sslcert',
  'sslkey',
  'target_session_attrs',
];
const PARAMETERS = ['host', 'port', 'user', 'password', 'dbname', 'sslmode', 'sslrootcert'];

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
  if (hostPort.includes(',')) mistakes.push('names several hosts; give one');
  else {
    const parts = /^(?:\[([^\]]*)\]|([^:]*))(?::(.*))?$/.exec(hostPort);
    if (!parts) mistakes.push('has an address that cannot be read: an IPv6 address stands in brackets');
    given.set('host', decode(parts?.[1] ?? parts?.[2] ?? ''));
    given.set('port', parts?.[3] ?? '');
  }
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

  const portText = given.get('port') || '5432';
  const port = Number(portText);
  if (!/^\d{1,5}$/.test(portText) || port < 1 || port > 65_535) mistakes.push('has a port that is not a number from 1 to 65535');
  const sslmode = SSL_MODES.find((mode) => mode === (given.get('sslmode') || 'prefer'));
  if (sslmode === undefined) mistakes.push(`has an unknown sslmode; it is one of ${SSL_MODES.join(', ')}`);
  if (mistakes.length > 0 || sslmode === undefined) return { mistakes };

  const user = given.get('user') || defaults.user;
  const password = given.get('password');
  const sslrootcert = given.get('sslrootcert');
  return {
    target: {
      host: given.get('host') || '127.0.0.1',
      port,
      user,
      database: given.get('dbname') || defaults.database || user,
      ...(password ? { password: new Secret(password) } : {}),
      sslmode,
      ...(sslrootcert ? { sslrootcert } : {}),
    },
  };
}
