/** Prints a URI so that it can be shown and logged: what is secret in it becomes `redacted` (spec: external connections, redaction). */
import { PgPierError } from '../errors.ts';
import { type ExternalUri, formatUri, parseUri, percentEncode } from './uri.ts';

/**
 * CockroachDB's list, and `sasl_client_secret`, which it forgets. Compared without regard to case: a misspelt name is refused
 * later, but the text may be shown before.
 */
const secretParameters = new Set(
  [
    'AWS_SECRET_ACCESS_KEY',
    'AWS_SESSION_TOKEN',
    'CREDENTIALS',
    'BEARER_TOKEN',
    'AZURE_ACCOUNT_KEY',
    'AZURE_CLIENT_SECRET',
    'sasl_password',
    'sasl_client_secret',
    'ca_cert',
    'client_cert',
    'client_key',
    'api_secret',
    'shared_access_key',
    'sslinline',
  ].map((name) => name.toLowerCase()),
);

const kmsSchemes = new Set(['aws-kms', 'gcp-kms', 'azure-kms', 'local-kms', 'aws']);

/**
 * Query keys come out sorted and values percent-encoded, whatever their order was. A KMS URI's path (the key) and a password before
 * the host are redacted too.
 * @throws PgPierError 22023 `failed to redact the URI: …` if it cannot be read.
 */
export function redactUri(text: string): string {
  let uri: ExternalUri;
  try {
    uri = parseUri(text);
  } catch (error) {
    if (!(error instanceof PgPierError)) throw error;
    throw new PgPierError('redactUri', { reason: error.message });
  }
  const values = new Map<string, string[]>();
  const all = isUrl(uri);
  for (const [name, value] of uri.parameters) {
    if (all || secretParameters.has(name.toLowerCase())) values.set(name, ['redacted']);
    else values.set(name, [...(values.get(name) ?? []), value]);
  }
  const sorted = [...values].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const query = sorted.flatMap(([name, list]) => list.map((value) => `${queryEscape(name)}=${queryEscape(value)}`)).join('&');
  return formatUri(redactAuthority(redactKey({ ...uri, query })));
}

/** `gs:///projects/…` without a bucket is the old spelling of a GCP KMS key; a CONNECTION of Databend's form has neither bucket nor path. */
function redactKey(uri: ExternalUri): ExternalUri {
  if (!kmsSchemes.has(uri.scheme) && !(uri.scheme === 'gs' && uri.host === '' && uri.path !== '')) return uri;
  const { rawPath: _, ...rest } = uri;
  return { ...rest, path: '/redacted' };
}

/** Parameters of an http(s) URI mean what its server says: signatures and tokens have many names. Most of a webhook's go on to its server. */
function isUrl({ scheme }: ExternalUri): boolean {
  return scheme === 'http' || scheme === 'https' || scheme === 'webhook-https';
}

function redactAuthority(uri: ExternalUri): ExternalUri {
  const colon = uri.userinfo?.indexOf(':') ?? -1;
  // A name without a password is how tokens are written.
  if (colon < 0 && uri.userinfo && isUrl(uri)) return { ...uri, userinfo: 'redacted' };
  return colon < 0 ? uri : { ...uri, userinfo: `${uri.userinfo?.slice(0, colon)}:redacted` };
}

/** Go's url.QueryEscape. */
function queryEscape(text: string): string {
  return percentEncode(text).replaceAll('%20', '+');
}
