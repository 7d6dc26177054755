/**
 * The operator's list of what may be reached (`PGPIER_ALLOWED_LOCATIONS`), asked wherever a storage, a key service or a sink is opened: before anything is
 * dialled, for everybody, and for connections that were there before the list. Its patterns (docs/connections.md):
 *
 *     s3:*                                       whatever the scheme leads to, endpoints of their own included
 *     s3://company-*                             a host and perhaps a path, which stand for all below them; `*` is any text within one name
 *     kafka://*.internal:9092                    without a port any port will do; each host of a list has to fit
 *     s3://lake/pg?AWS_ENDPOINT=https://minio    parameters that say where: all that the URI has, and no others
 */
import { PgPierError } from '../errors.ts';
import type { Provider } from './provider.ts';
import { redactUri } from './redact.ts';
import { cleanPath, type ExternalUri, escapesRoot, formatUri, parseUri } from './uri.ts';

interface LocationPattern {
  readonly scheme: string;
  /** Absent: everything. */
  readonly place?: {
    readonly host: RegExp;
    readonly port: RegExp | undefined;
    readonly segments: readonly RegExp[];
    readonly parameters: ReadonlyMap<string, RegExp>;
  };
}

/** `undefined` for what is no pattern. */
export function parseLocationPattern(text: string): LocationPattern | undefined {
  const [, scheme, rest] = /^([a-z][a-z0-9+.-]*):(.+)$/.exec(text.trim()) ?? [];
  if (scheme === undefined || rest === undefined) return undefined;
  if (rest === '*') return { scheme };
  const [, authority, path = '', query = ''] = /^\/\/([^/?#\s]*)(\/[^?#\s]*)?(?:\?([^#\s]*))?$/.exec(rest) ?? [];
  if (authority === undefined || authority.includes('@') || /(^|\/)\.\.?(\/|$)/.test(path)) return undefined;
  const { host, port } = splitPort(authority);
  const parameters = new Map<string, RegExp>();
  for (const pair of query.split('&').filter((each) => each !== '')) {
    const [, name, value] = /^(\w+)=(.*)$/.exec(pair) ?? [];
    if (name === undefined || value === undefined) return undefined;
    parameters.set(name, glob(value, '.'));
  }
  const within = '[^/]';
  return {
    scheme,
    place: {
      // What a host can hold by percent-encoding ends it for whoever reads it again.
      host: glob(host, '[^/?#@\\\\\\s]'),
      port: port === undefined ? undefined : glob(port, '\\d'),
      segments: segmentsOf(path).map((segment) => glob(segment, within)),
      parameters,
    },
  };
}

/** @throws PgPierError 42501 for a place that no pattern of the operator's allows; without a list everything is allowed. */
export function requireAllowedLocation(
  provider: Provider,
  uri: ExternalUri,
  { allowedLocations }: { readonly allowedLocations?: readonly string[] },
): void {
  if (allowedLocations === undefined) return;
  const parameters = provider.placeParameters?.(uri) ?? {};
  if (allowedLocations.some((text) => allows(parseLocationPattern(text), provider.scheme, uri, parameters))) return;
  throw new PgPierError('locationNotAllowed', { location: inWords(uri, parameters) });
}

/** @param scheme the provider's own, whatever alias of it the URI has: `gs:///` where a key is meant is not the storage of that name */
function allows(
  pattern: LocationPattern | undefined,
  scheme: string,
  uri: ExternalUri,
  parameters: Readonly<Record<string, string>>,
): boolean {
  if (pattern === undefined || pattern.scheme !== scheme) return false;
  const { place } = pattern;
  if (place === undefined) return true;
  const names = new Set([...Object.keys(parameters), ...place.parameters.keys()]);
  if (![...names].every((name) => place.parameters.get(name)?.test(parameters[name] ?? '') ?? false)) return false;
  const hostFits = (member: string): boolean => {
    const { host, port } = splitPort(member);
    return place.host.test(host) && (place.port === undefined || place.port.test(port ?? ''));
  };
  if (!uri.host.split(',').every(hostFits) || escapesRoot(uri.path)) return false;
  const segments = segmentsOf(cleanPath(uri.path));
  return place.segments.every((segment, index) => segments[index] !== undefined && segment.test(segments[index]));
}

function splitPort(authority: string): { readonly host: string; readonly port: string | undefined } {
  const [, host, port] = /^(.*):(\d+|\*)$/s.exec(authority) ?? [];
  return host === undefined ? { host: authority, port: undefined } : { host, port };
}

const segmentsOf = (path: string): string[] => path.split('/').filter((segment) => segment !== '');

/** The whole of a text; `*` is any number of `character`. */
function glob(text: string, character: string): RegExp {
  const literal = text.split('*').map((piece) => piece.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  return new RegExp(`^${literal.join(`${character}*`)}$`, 's');
}

function inWords(uri: ExternalUri, parameters: Readonly<Record<string, string>>): string {
  const { query: _, ...shown } = parseUri(redactUri(formatUri(uri)));
  const where = Object.entries(parameters).map(([name, value]) => `${name}=${value}`);
  return `${formatUri({ ...shown, query: '', parameters: [] })}${where.length === 0 ? '' : ` (${where.join(', ')})`}`;
}
