/** What a `webhook-https://` URI says: where messages are posted. Pure. */
import { PgPierError } from '../../errors.ts';
import { type HttpEndpoint, parseHttpEndpoint } from '../storage/httpUri.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { ExternalUri } from '../uri.ts';

/** The parameters that are not TLS's go to the endpoint, as they were written. */
export function parseWebhookUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp'>): HttpEndpoint {
  return parseHttpEndpoint({ ...uri, scheme: 'https' }, settings);
}

/** @throws PgPierError 22023 always: nobody is to read what goes over the wire */
export function refuseWebhookHttp(): never {
  throw new PgPierError('webhookHttp');
}
