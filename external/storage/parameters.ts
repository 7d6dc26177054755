/** Reads a provider's query parameters and refuses the rest, as CockroachDB's `ConsumeURL` does. */
import { PgPierError } from '../../errors.ts';
import { type ExternalUri, parameter } from '../uri.ts';

/** BACKUP and RESTORE read it before a storage is opened; every provider lets it pass. */
const tolerated = 'COCKROACH_LOCALITY';

/**
 * The first value of every known parameter.
 * @throws PgPierError 22023 `unknown <provider> query parameters: A, B`
 */
export function takeParameters<Name extends string>(
  uri: ExternalUri,
  provider: string,
  known: readonly Name[],
): Partial<Readonly<Record<Name, string>>> {
  const taken = new Map<string, string>();
  const unknown = new Set<string>();
  for (const [name, value] of uri.parameters) {
    if ((known as readonly string[]).includes(name)) {
      if (!taken.has(name)) taken.set(name, value);
    } else if (name !== tolerated) unknown.add(printable(name));
  }
  if (unknown.size > 0) throw new PgPierError('unknownQueryParameters', { provider, names: [...unknown].join(', ') });
  return Object.fromEntries(taken) as Partial<Record<Name, string>>;
}

/** What follows an unescaped `&` in a secret looks like a name of a parameter: only what could be a name is repeated. */
function printable(name: string): string {
  return /^[A-Za-z_]\w{0,63}$/.test(name) ? name : '(not a name; a "&" in a value is written "%26")';
}

/** @throws PgPierError 22023 unless it is a word that Go's strconv.ParseBool takes. An empty or absent parameter is false. */
export function booleanParameter(name: string, value: string | undefined): boolean {
  if (value === undefined || value === '') return false;
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(value)) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(value)) return false;
  throw new PgPierError('parameterNotBool', { parameter: name });
}

/**
 * The address of a store that is not the provider's own, as an absolute `http(s)://host[:port]`. `host:port` without a scheme means https. A path, user or
 * query has no meaning and may hide a mistake.
 * @throws PgPierError 22023
 */
export function endpointParameter(name: string, text: string | undefined): string | undefined {
  if (!text) return undefined;
  let url: URL;
  try {
    url = new URL(/^https?:\/\//i.test(text) ? text : `https://${text}`);
  } catch {
    throw new PgPierError('endpointInvalid', { parameter: name });
  }
  if (url.hostname === '' || url.username || url.password || url.search || url.hash || url.pathname !== '/') {
    throw new PgPierError('endpointInvalid', { parameter: name });
  }
  return `${url.protocol}//${url.host}`;
}

/** `placeParameters` of a provider whose stores may stand elsewhere: the same bucket at another endpoint is another bucket. */
export function endpointPlace(name: string): (uri: ExternalUri) => Readonly<Record<string, string>> {
  return (uri) => {
    const endpoint = endpointParameter(name, parameter(uri, name));
    return endpoint === undefined ? {} : { [name]: endpoint };
  };
}
