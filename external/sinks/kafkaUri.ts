/** What `kafka://`, `confluent-cloud://` and `azure-event-hub://` say: one thing, a Kafka, of which the last two know most by themselves. Pure. */
import { isIP } from 'node:net';
import { PgPierError } from '../../errors.ts';
import { booleanParameter, takeParameters } from '../storage/parameters.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { readTls, type TlsChoice, type TlsParameters, tlsParameterNames } from '../tlsParameters.ts';
import { type ExternalUri, parameter } from '../uri.ts';
import { type KafkaSasl, readSasl, type SaslParameters, saslParameterNames } from './kafkaSasl.ts';
import { type KafkaTopics, readTopics } from './kafkaTopic.ts';

export interface Broker {
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
}

export interface KafkaUri {
  /** Whom to ask first: at least one. */
  readonly brokers: readonly Broker[];
  readonly topics: KafkaTopics;
  /** Absent for a connection in plain text. */
  readonly tls?: TlsChoice;
  readonly sasl?: KafkaSasl;
}

type Parameters = TlsParameters &
  SaslParameters & { readonly topic_name?: string; readonly topic_prefix?: string; readonly tls_enabled?: string };

const topicNames = ['topic_name', 'topic_prefix'] as const;
const kafkaNames = [...topicNames, 'tls_enabled', ...tlsParameterNames, ...saslParameterNames] as const;
/** What a service that is always TLS and SASL PLAIN may be told all the same. */
const serviceNames = [...topicNames, 'tls_enabled', ...tlsParameterNames, 'sasl_enabled', 'sasl_handshake', 'sasl_mechanism'] as const;

const defaultPort = 9092;

/** @throws PgPierError with CockroachDB's words */
export function parseKafkaUri(uri: ExternalUri, settings?: Pick<StorageSettings, 'disableImplicitCredentials'>): KafkaUri {
  refuseSchemaTopic(uri);
  const kafka = readKafka(uri, takeParameters(uri, 'kafka sink', kafkaNames), defaultPort);
  if (kafka.sasl?.mechanism === 'AWS_MSK_IAM' && settings?.disableImplicitCredentials) {
    throw new PgPierError('implicitDisallowed', { provider: 'kafka' });
  }
  return kafka;
}

/** `api_key` and `api_secret` are a SASL PLAIN login over TLS. */
export function parseConfluentCloudUri(uri: ExternalUri): KafkaUri {
  refuseSchemaTopic(uri);
  const { api_key, api_secret, ...given } = takeParameters(uri, 'kafka sink', ['api_key', 'api_secret', ...serviceNames]);
  const user = requiredParameter(uri, 'api_key', api_key);
  const password = withPlus(requiredParameter(uri, 'api_secret', api_secret));
  return readKafka(uri, { ...given, ...derived(uri, given, user, password) }, defaultPort);
}

/** A shared access key is a SASL PLAIN login over TLS whose password is the connection string. */
export function parseAzureEventHubUri(uri: ExternalUri): KafkaUri {
  refuseSchemaTopic(uri);
  const { shared_access_key_name, shared_access_key, ...given } = takeParameters(uri, 'kafka sink', [
    'shared_access_key_name',
    'shared_access_key',
    ...serviceNames,
  ]);
  const name = requiredParameter(uri, 'shared_access_key_name', shared_access_key_name);
  const key = withPlus(requiredParameter(uri, 'shared_access_key', shared_access_key));
  const [{ host } = { host: '' }] = readBrokers(uri, eventHubPort);
  const password = `Endpoint=sb://${host}/;SharedAccessKeyName=${name};SharedAccessKey=${key}`;
  return readKafka(uri, { ...given, ...derived(uri, given, '$ConnectionString', password) }, eventHubPort);
}

const eventHubPort = 9093;

function readKafka(uri: ExternalUri, given: Parameters, port: number): KafkaUri {
  if (uri.userinfo !== undefined) throw invalid(`a ${uri.scheme} URI has no user before the host`);
  if (uri.path !== '' && uri.path !== '/') throw invalid(`a ${uri.scheme} URI has no path; a topic is named by topic_name`);
  const enabled = booleanParameter('tls_enabled', given.tls_enabled);
  const tls = readTls(given);
  if (!enabled) {
    const useless = tlsParameterNames.find((name) => (name === 'insecure_tls_skip_verify' ? tls.skipVerify : given[name]));
    if (useless !== undefined) throw new PgPierError('parameterRequires', { parameter: useless, needed: 'tls_enabled=true' });
  }
  const sasl = readSasl(given);
  return {
    brokers: readBrokers(uri, port),
    topics: readTopics(given),
    ...(enabled ? { tls } : {}),
    ...(sasl === undefined ? {} : { sasl }),
  };
}

/** `broker[:port]{,broker[:port]}`; IPv6 in brackets. */
function readBrokers(uri: ExternalUri, port: number): Broker[] {
  if (uri.host === '') throw invalid(`the host of a ${uri.scheme} URI is a broker, or brokers with commas between them`);
  return uri.host.split(',').map((text) => {
    const [, v6, name = v6 ?? '', digits] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? [];
    const number = digits === undefined ? port : Number(digits);
    if (v6 !== undefined && isIP(v6) !== 6) throw invalid('an address in brackets is not one of IPv6');
    if (!/^[A-Za-z0-9_.:%-]{1,255}$/.test(name) || number < 1 || number > 65_535) {
      throw invalid('a broker is a name or an address with a port from 1 to 65535, IPv6 in brackets');
    }
    return { host: name, port: number };
  });
}

/** TLS, SASL PLAIN and a handshake are what the service has; to be told so does no harm, to be told otherwise is a mistake. */
function derived(uri: ExternalUri, given: Parameters, user: string, password: string): SaslParameters & { readonly tls_enabled: string } {
  for (const name of ['tls_enabled', 'sasl_enabled', 'sasl_handshake'] as const) {
    if (given[name] && !booleanParameter(name, given[name])) throw foreign(uri, name, 'true');
  }
  if (given.sasl_mechanism && given.sasl_mechanism !== 'PLAIN') throw foreign(uri, 'sasl_mechanism', 'PLAIN');
  return {
    tls_enabled: 'true',
    sasl_enabled: 'true',
    sasl_handshake: 'true',
    sasl_mechanism: 'PLAIN',
    sasl_user: user,
    sasl_password: password,
  };
}

function foreign({ scheme }: ExternalUri, name: string, value: string): PgPierError {
  return new PgPierError('parameterInvalid', { parameter: name, must: `be ${value} with scheme ${scheme}` });
}

function requiredParameter({ scheme }: ExternalUri, name: string, value: string | undefined): string {
  if (!value) throw new PgPierError('schemeRequiresParameter', { scheme, parameter: name });
  return value;
}

/** The services' keys are base64: a blank was a "+" that should have been "%2B". */
function withPlus(key: string): string {
  return key.replaceAll(' ', '+');
}

function refuseSchemaTopic(uri: ExternalUri): void {
  if (parameter(uri, 'schema_topic') !== undefined) throw new PgPierError('schemaTopic');
}

function invalid(reason: string): PgPierError {
  return new PgPierError('invalidUri', { reason });
}

/** `broker:9092,[::1]:9092`, as it may stand in a message. */
export function brokersInWords({ brokers }: KafkaUri): string {
  return brokers.map(brokerInWords).join(',');
}

export function brokerInWords({ host, port }: Broker): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
