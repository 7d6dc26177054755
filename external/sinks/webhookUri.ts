/** What a `webhook-https://` URI says: where messages are posted. Pure. */
import { PgPierError } from '../../errors.ts';
import { type HttpUri, parseHttpUri } from '../storage/httpUri.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';
import { readTls, type SinkTls, type TlsParameters, tlsParameterNames } from './tlsParameters.ts';

/** Where requests go, and how their server is trusted. */
export interface HttpEndpoint extends HttpUri {
  readonly tls: SinkTls;
}

/** The parameters that are not TLS's go to the endpoint, as they were written. */
export function parseWebhookUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp'>): HttpEndpoint {
  const own = (name: string): boolean => (tlsParameterNames as readonly string[]).includes(name);
  const given = new Map<string, string>();
  for (const [name, value] of uri.parameters) if (own(name) && !given.has(name)) given.set(name, value);
  const passed = uri.query.split('&').filter((pair) => pair !== '' && !own(decodeName(pair)));
  const tls = readTls(Object.fromEntries(given) as TlsParameters);
  return { ...parseHttpUri({ ...uri, scheme: 'https', query: passed.join('&') }, settings), tls };
}

/** @throws PgPierError 22023 always: nobody is to read what goes over the wire */
export function refuseWebhookHttp(): never {
  throw new PgPierError('webhookHttp');
}

/** A name as `parseUri` has read it, which refused what cannot be decoded. */
function decodeName(pair: string): string {
  return decodeURIComponent(pair.split('=', 1)[0]!.replaceAll('+', ' '));
}
