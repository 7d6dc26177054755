/** What an `http://` or `https://` URI says where a connection is made of it: where a Confluent schema registry is. Pure. */
import { PgPierError } from '../../errors.ts';
import { type HttpEndpoint, parseHttpUri } from '../storage/httpUri.ts';
import { takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { readTls, tlsParameterNames } from '../tlsParameters.ts';
import type { ExternalUri } from '../uri.ts';

export interface SchemaRegistryUri extends HttpEndpoint {
  /** For each request. */
  readonly timeoutMilliseconds: number;
}

const defaultTimeout = 30_000;
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };

/** @throws PgPierError 22023 */
export function parseSchemaRegistryUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableHttp'>): SchemaRegistryUri {
  const { timeout, ...given } = takeParameters(uri, 'schema registry', ['timeout', ...tlsParameterNames]);
  const tls = readTls(given);
  const useless = tlsParameterNames.find((name) => given[name]);
  if (uri.scheme === 'http' && useless !== undefined) {
    throw new PgPierError('parameterRequires', { parameter: useless, needed: 'https' });
  }
  return { ...parseHttpUri({ ...uri, query: '' }, settings), tls, timeoutMilliseconds: readTimeout(timeout) };
}

function readTimeout(text: string | undefined): number {
  if (!text) return defaultTimeout;
  const [, number = '', unit = ''] = /^(\d{1,4}(?:\.\d+)?)(ms|s|m)$/.exec(text) ?? [];
  const milliseconds = Number(number) * (units[unit] ?? 0);
  if (!(milliseconds >= 1 && milliseconds <= 10 * 60_000)) {
    throw new PgPierError('parameterInvalid', { parameter: 'timeout', must: 'be a time up to 10 minutes, such as 30s' });
  }
  return milliseconds;
}
