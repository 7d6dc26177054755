/**
 * A conversation with a Kafka, by kafkajs: the one file that knows of it. What kafkajs leaves to chance is settled here: every socket is made by us, so
 * that the address of each broker is judged that metadata names; nothing is logged (its lines quote what brokers say); its timers do not run idle.
 */
import { createRequire } from 'node:module';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Admin, type ISocketFactoryArgs, Kafka, type KafkaConfig, logLevel, Partitioners, type Producer } from 'kafkajs';
import { PgPierError } from '../../errors.ts';
import { type Egress, tlsOptions } from '../egress.ts';
import { bearerLogin } from './bearerLogin.ts';
import { watchAnswers } from './kafkaAnswers.ts';
import type { KafkaSasl } from './kafkaSasl.ts';
import { type Broker, brokerInWords, type KafkaUri } from './kafkaUri.ts';
import { MskToken } from './mskToken.ts';
import { OAuthToken } from './oauthToken.ts';

const connectMilliseconds = 5_000;
/** For all brokers of the list together: each may be a black hole but the last. */
const connectAllMilliseconds = 12_000;
const requestMilliseconds = 8_000;

export interface KafkaCluster {
  readonly brokers: number;
  /** Partitions by topic; of topics that these credentials may see. */
  readonly topics: ReadonlyMap<string, number>;
}

export class KafkaClient {
  readonly #egress: Egress;
  readonly #kafka: Kafka;
  readonly #sockets = new Set<Socket>();
  readonly #connectMilliseconds: number;
  #admin: Admin | undefined;
  #producer: Producer | undefined;
  #closed = false;
  /** What kafkajs wraps and loses: why an address was refused, or a token not given. */
  lastRefusal: PgPierError | undefined;

  constructor(uri: KafkaUri, egress: Egress) {
    this.#egress = egress;
    const { brokers, tls, sasl } = uri;
    this.#connectMilliseconds = Math.max(1_000, Math.min(connectMilliseconds, connectAllMilliseconds / brokers.length));
    this.#kafka = new Kafka({
      clientId: 'pgpier',
      brokers: brokers.map(seedName),
      socketFactory: (args) => this.#connect(args),
      // An object in place of `true`: what is in it goes to our own socketFactory alone.
      ...(tls === undefined ? {} : { ssl: tlsOptions(tls) }),
      ...(sasl === undefined ? {} : { sasl: this.#login(sasl) }),
      connectionTimeout: this.#connectMilliseconds,
      authenticationTimeout: requestMilliseconds,
      requestTimeout: requestMilliseconds,
      // Each retry goes to the next broker of the list.
      retry: { retries: Math.max(2, brokers.length), initialRetryTime: 100, maxRetryTime: 1_000 },
      logLevel: logLevel.NOTHING,
      logCreator: () => () => {},
    });
  }

  async cluster(): Promise<KafkaCluster> {
    const admin = await this.#administrator();
    const { brokers } = await admin.describeCluster();
    const { topics } = await admin.fetchTopicMetadata();
    return { brokers: brokers.length, topics: new Map(topics.map(({ name, partitions }) => [name, partitions.length])) };
  }

  /** Whether a topic of this name might be made; nothing is. Rejects as kafkajs does. */
  async mayCreate(topic: string): Promise<void> {
    const admin = await this.#administrator();
    await admin.createTopics({ topics: [{ topic }], validateOnly: true, waitForLeaders: false });
  }

  /** With one partition, the cluster's own number of replicas, and messages that go after a day. False if it is there already. */
  async create(topic: string): Promise<boolean> {
    const admin = await this.#administrator();
    const configEntries = [{ name: 'retention.ms', value: String(24 * 3_600_000) }];
    return await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }], timeout: requestMilliseconds });
  }

  /** Resolves when all replicas that are in sync have it. */
  async send(topic: string, value: string): Promise<void> {
    if (this.#producer === undefined) {
      this.#producer = this.#kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
      await this.#producer.connect();
    }
    await this.#producer.send({ topic, acks: -1, timeout: requestMilliseconds, messages: [{ key: null, value }] });
  }

  /** Ends every socket at once, and with them whatever waits. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy(new PgPierError('storageCanceled', { location: 'Kafka' }));
    await Promise.allSettled([this.#producer?.disconnect(), this.#admin?.disconnect()]);
  }

  async #administrator(): Promise<Admin> {
    if (this.#admin === undefined) {
      this.#admin = this.#kafka.admin();
      await this.#admin.connect();
    }
    return this.#admin;
  }

  #connect({ host: given, port, ssl, onConnect }: ISocketFactoryArgs): Socket {
    const host = fromSeedName(given);
    if (this.#closed) throw new Error('closed');
    try {
      if (isIP(host)) this.#egress.check(host);
    } catch (error) {
      this.#note(error);
      throw error;
    }
    const to = { host, port, lookup: this.#egress.lookup, keepAlive: true, keepAliveInitialDelay: 60_000, noDelay: true };
    const socket = ssl ? connectTls({ ...to, ...ssl, ...(isIP(host) ? {} : { servername: host }) }, onConnect) : connectTcp(to, onConnect);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.once('error', (error) => this.#note(error));
    // A broker that takes connections and says nothing: kafkajs would believe later that all is well with it.
    socket.setTimeout(this.#connectMilliseconds);
    socket.once('data', () => socket.setTimeout(0));
    watchAnswers(socket, brokerInWords({ host, port }));
    return socket;
  }

  #login(sasl: KafkaSasl): NonNullable<KafkaConfig['sasl']> {
    switch (sasl.mechanism) {
      case 'PLAIN':
        return { mechanism: 'plain', username: sasl.user, password: sasl.password };
      case 'SCRAM-SHA-256':
        return { mechanism: 'scram-sha-256', username: sasl.user, password: sasl.password };
      case 'SCRAM-SHA-512':
        return { mechanism: 'scram-sha-512', username: sasl.user, password: sasl.password };
      case 'OAUTHBEARER':
        return this.#bearer(new OAuthToken(sasl, this.#egress));
      case 'AWS_MSK_IAM':
        return this.#bearer(new MskToken(sasl, this.#egress));
    }
  }

  #bearer(token: { value(): Promise<string> }): NonNullable<KafkaConfig['sasl']> {
    return bearerLogin(async () => {
      try {
        return await token.value();
      } catch (error) {
        this.#note(error);
        throw error;
      }
    });
  }

  #note(error: unknown): void {
    if (error instanceof PgPierError && !this.#closed) this.lastRefusal = error;
  }
}

/** kafkajs cuts `host:port` at its first colon. */
const seedName = ({ host, port }: Broker): string => `${host.replaceAll(':', '%3A')}:${port}`;
const fromSeedName = (host: string): string => host.replaceAll('%3A', ':');

/**
 * kafkajs 2.2.4 looks every millisecond, for as long as a connection lives, whether a request waits that it held back; the first of these timers has a negative time,
 * of which Node warns on stderr. Nothing waits unless requests are held back.
 */
interface RequestQueue {
  readonly pending: readonly unknown[];
  readonly throttledUntil: number;
  scheduleCheckPendingRequests(): void;
}
const { prototype } = createRequire(import.meta.url)('kafkajs/src/network/requestQueue/index.js') as { prototype: RequestQueue };
const schedule = prototype.scheduleCheckPendingRequests;
prototype.scheduleCheckPendingRequests = function (this: RequestQueue) {
  if (this.pending.length > 0 || this.throttledUntil > Date.now()) schedule.call(this);
};
