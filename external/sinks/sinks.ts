/**
 * Every sink that PgPier knows. A new one is a file and a row here. `validate` is pure and belongs to the relay; `open` loads the provider's code (and SDK)
 * only when it is called, in a worker process.
 */
import { PgPierError } from '../../errors.ts';
import { requireAllowedLocation } from '../allowedLocations.ts';
import * as google from '../google/login.ts';
import type { Provider, ProviderTarget } from '../provider.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type ExternalUri, parameter, parseUri } from '../uri.ts';
import { type KafkaUri, parseAzureEventHubUri, parseConfluentCloudUri, parseKafkaUri } from './kafkaUri.ts';
import { parsePubsubUri } from './pubsubUri.ts';
import { parseSchemaRegistryUri } from './schemaRegistryUri.ts';
import type { Sink } from './sink.ts';
import { parseWebhookUri, refuseWebhookHttp } from './webhookUri.ts';

export interface SinkProvider extends Provider {
  open(target: ProviderTarget, uri: ExternalUri, settings: StorageSettings): Promise<Sink>;
}

export const sinks: readonly SinkProvider[] = [
  kafka('kafka', parseKafkaUri),
  kafka('confluent-cloud', parseConfluentCloudUri),
  kafka('azure-event-hub', parseAzureEventHubUri),
  {
    scheme: 'webhook-https',
    word: 'webhookhttps',
    validate: parseWebhookUri,
    requiresImplicitAccess: () => true,
    usesAmbientCredentials: () => false,
    open: async ({ trusted }, uri, settings) =>
      (await import('./webhook.ts')).openWebhook(parseWebhookUri(uri, settings), trusted, settings),
  },
  {
    scheme: 'webhook-http',
    word: 'webhookhttp',
    validate: refuseWebhookHttp,
    requiresImplicitAccess: () => true,
    usesAmbientCredentials: () => false,
    open: async () => refuseWebhookHttp(),
  },
  {
    scheme: 'gcpubsub',
    word: 'gcpubsub',
    validate: parsePubsubUri,
    requiresImplicitAccess: google.requiresImplicitAccess,
    usesAmbientCredentials: google.usesAmbientCredentials,
    placeParameters: google.placeParameters,
    open: async ({ trusted }, uri, settings) => (await import('./pubsub.ts')).openPubsub(parsePubsubUri(uri, settings), trusted, settings),
  },
  schemaRegistry('http'),
  schemaRegistry('https'),
];

/** Whoever names brokers in a statement makes this machine connect to where they please: EXTERNALIOIMPLICITACCESS, as with an endpoint of S3's. */
function kafka(scheme: string, parse: (uri: ExternalUri, settings?: StorageSettings) => KafkaUri): SinkProvider {
  return {
    scheme,
    word: scheme,
    validate: parse,
    requiresImplicitAccess: () => true,
    usesAmbientCredentials: (uri) => parameter(uri, 'sasl_mechanism') === 'AWS_MSK_IAM',
    placeParameters: tokenPlace,
    open: async ({ trusted }, uri, settings) => (await import('./kafka.ts')).openKafka(parse(uri, settings), scheme, trusted, settings),
  };
}

/** The token server is dialled too, and gets a secret. */
function tokenPlace(uri: ExternalUri): Readonly<Record<string, string>> {
  const url = parameter(uri, 'sasl_token_url');
  return url ? { sasl_token_url: new URL(url).href } : {};
}

function schemaRegistry(scheme: string): SinkProvider {
  return {
    scheme,
    word: scheme,
    validate: parseSchemaRegistryUri,
    requiresImplicitAccess: () => true,
    usesAmbientCredentials: () => false,
    open: async ({ trusted }, uri, settings) =>
      (await import('./schemaRegistry.ts')).openSchemaRegistry(parseSchemaRegistryUri(uri, settings), trusted, settings),
  };
}

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
