/**
 * Every sink that PgPier knows. A new one is a file and a row here. `validate` is pure and belongs to the relay; `open` loads the provider's code (and SDK)
 * only when it is called, in a worker process.
 */
import { PgPierError } from '../../errors.ts';
import { requireAllowedLocation } from '../allowedLocations.ts';
import type { Provider, ProviderTarget } from '../provider.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type ExternalUri, parseUri } from '../uri.ts';
import type { Sink } from './sink.ts';

export interface SinkProvider extends Provider {
  open(target: ProviderTarget, uri: ExternalUri, settings: StorageSettings): Promise<Sink>;
}

export const sinks: readonly SinkProvider[] = [];

/** The provider of a scheme, `undefined` if it is none of a sink. */
export function findSink(scheme: string): SinkProvider | undefined {
  return sinks.find((provider) => provider.scheme === scheme);
}

/** @throws PgPierError 22023 `unsupported sink: x` */
export function requireSink(scheme: string): SinkProvider {
  const provider = findSink(scheme);
  if (!provider) throw new PgPierError('unsupportedSink', { scheme });
  return provider;
}

/** Opens a resolved target. Goes outside only as far as the provider must. */
export async function openSink(target: ProviderTarget, settings: StorageSettings): Promise<Sink> {
  const uri = parseUri(target.uri);
  const provider = requireSink(uri.scheme);
  requireAllowedLocation(provider, uri, settings);
  return await provider.open(target, uri, settings);
}
