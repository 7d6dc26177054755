/**
 * What kafkajs says when something fails, as an error of ours. Of a broker's answer only the name of its error code is repeated, and its address only where it looks
 * like one: its texts may hold anything.
 */
import { PgPierError } from '../../errors.ts';
import { socketError } from '../socketErrors.ts';
import { type Broker, brokerInWords, type KafkaUri } from './kafkaUri.ts';

export interface KafkaRequest {
  readonly uri: KafkaUri;
  /** `kafka://broker:9092`. */
  readonly location: string;
  /** In words, behind "may not": `write to topic "x"`. */
  readonly operation: string;
  /** Why an address was refused or a token not given, where that is the cause. */
  readonly refusal: PgPierError | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** The fields of what kafkajs throws that are looked at. */
interface Thrown {
  readonly name?: unknown;
  /** Of a broker's answer: `TOPIC_AUTHORIZATION_FAILED`. */
  readonly type?: unknown;
  readonly code?: unknown;
  readonly broker?: unknown;
  readonly cause?: unknown;
  readonly errors?: readonly unknown[];
}

export function kafkaError(error: unknown, request: KafkaRequest): PgPierError {
  if (error instanceof PgPierError) return error;
  const { location, signal, operation } = request;
  const type = typeOf(error);
  if (type !== undefined) return answerError(type, request);
  if (request.refusal !== undefined) return request.refusal;
  if (signal?.aborted) {
    const timeout = (signal.reason as { name?: unknown } | undefined)?.name === 'TimeoutError';
    return timeout ? new PgPierError('storageTimeout', { endpoint: location }) : new PgPierError('storageCanceled', { location });
  }
  const chain = chainOf(error);
  if (chain.some(({ name }) => name === 'KafkaJSSASLAuthenticationError')) {
    return new PgPierError('storageCredentialsRejected', { location, cause: `SASL ${request.uri.sasl?.mechanism ?? 'none'}` });
  }
  const endpoint = endpointOf(chain, request);
  for (const thrown of chain) {
    const told = connectionError(thrown, endpoint, request.uri);
    if (told !== undefined) return told;
  }
  const cause = chain.map(({ name }) => name).find((name) => typeof name === 'string' && /^KafkaJS\w{1,60}$/.test(name));
  return new PgPierError('storageFailed', { location, operation, cause: typeof cause === 'string' ? cause : 'no code' });
}

/** The broker's error code by its name; undefined if it is not one that a broker gave. */
export function typeOf(error: unknown): string | undefined {
  const found = chainOf(error).find(({ type }) => typeof type === 'string' && /^[A-Z][A-Z_]{2,63}$/.test(type));
  return found?.type as string | undefined;
}

/** Whether a cluster has no such request at all, or nobody who answers it: Kafka's own have, what only speaks its protocol may not. */
export function isUnknownRequest(error: unknown): boolean {
  return chainOf(error).some(({ name }) => name === 'KafkaJSServerDoesNotSupportApiKey' || name === 'KafkaJSBrokerNotFound');
}

function chainOf(error: unknown): Thrown[] {
  const chain: Thrown[] = [];
  for (let at = error as Thrown | undefined; typeof at === 'object' && at !== null && chain.length < 8; ) {
    chain.push(at);
    at = (at.errors?.[0] ?? at.cause) as Thrown | undefined;
  }
  return chain;
}

function answerError(type: string, { location, operation }: KafkaRequest): PgPierError {
  if (/SASL/.test(type)) return new PgPierError('storageCredentialsRejected', { location, cause: type });
  if (/AUTHORIZATION_FAILED$/.test(type)) return new PgPierError('storageAccessDenied', { location, operation });
  return new PgPierError('storageFailed', { location, operation, cause: type });
}

function connectionError(thrown: Thrown, endpoint: string, uri: KafkaUri): PgPierError | undefined {
  const closed = thrown.name === 'KafkaJSConnectionClosedError' || thrown.code === 'ECONNRESET' || thrown.code === 'EPIPE';
  if (closed) return new PgPierError('kafkaClosed', { endpoint, expects: expectation(uri) });
  if (thrown.name === 'KafkaJSRequestTimeoutError' || thrown.name === 'KafkaJSLockTimeout')
    return new PgPierError('storageTimeout', { endpoint });
  const told = socketError(thrown, endpoint, 'Kafka');
  if (told !== undefined) return told;
  // kafkajs has no code for its own timeout, and closes what it waited for.
  if (thrown.name === 'KafkaJSConnectionError' && thrown.code === undefined) return new PgPierError('storageTimeout', { endpoint });
  return undefined;
}

/** A broker that expects something else just hangs up. */
function expectation({ tls, sasl }: KafkaUri): string {
  if (tls !== undefined) return 'plain text rather than TLS, another login, or a client certificate';
  return sasl === undefined ? 'TLS (tls_enabled=true) or a login (sasl_enabled=true)' : 'TLS (tls_enabled=true)';
}

/** Brokers name each other; one that is not of the URI is told by its address, since "cannot reach" would else be a riddle. */
function endpointOf(chain: readonly Thrown[], { location, uri }: KafkaRequest): string {
  const broker = chain.map((thrown) => thrown.broker).find((text) => typeof text === 'string');
  const plain = typeof broker === 'string' ? broker.replaceAll('%3A', ':') : undefined;
  if (plain === undefined || !/^[\w.:-]{1,200}$/.test(plain) || uri.brokers.some((each) => isSame(each, plain))) return location;
  return `${plain}, a broker that ${location} names`;
}

function isSame(broker: Broker, text: string): boolean {
  return `${broker.host}:${broker.port}` === text || brokerInWords(broker) === text;
}
