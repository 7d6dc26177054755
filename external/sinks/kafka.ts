/** `kafka://` and the services that are one. Loaded in worker processes alone. */
import { randomBytes } from 'node:crypto';
import { type Egress, openEgress } from '../egress.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { KafkaClient, type KafkaCluster } from './kafkaClient.ts';
import { isUnknownRequest, kafkaError, typeOf } from './kafkaErrors.ts';
import { kafkaTopicName, probeTopic } from './kafkaTopic.ts';
import { brokersInWords, type KafkaUri } from './kafkaUri.ts';
import type { Sink, SinkDescription, SinkProbe } from './sink.ts';

type Options = { readonly signal?: AbortSignal };

/** @param scheme for messages */
export function openKafka(uri: KafkaUri, scheme: string, trusted: boolean, settings: StorageSettings): Sink {
  const egress = openEgress({ trusted, allowedNetworks: settings.allowedNetworks }, uri.tls);
  return new KafkaSink(uri, scheme, egress);
}

class KafkaSink implements Sink {
  readonly location: string;
  readonly #uri: KafkaUri;
  readonly #egress: Egress;
  readonly #client: KafkaClient;

  constructor(uri: KafkaUri, scheme: string, egress: Egress) {
    this.location = `${scheme}://${brokersInWords(uri)}`;
    this.#uri = uri;
    this.#egress = egress;
    this.#client = new KafkaClient(uri, egress);
  }

  async describe({ signal }: Options = {}): Promise<SinkDescription> {
    const cluster = await this.#ask('list topics', signal, () => this.#client.cluster());
    const words = [counted(cluster.brokers, 'broker'), counted(cluster.topics.size, 'topic'), this.#ownTopic(cluster)];
    const creation = await this.#ask('create topics', signal, () => this.#creation());
    return { summary: [...words, creation].filter((word) => word !== undefined).join(', ') };
  }

  /** To a topic of its own, which is made if need be, and stays: a topic of the user's gets nothing that the user did not send. */
  async probe({ signal }: Options = {}): Promise<SinkProbe> {
    const topic = probeTopic(this.#uri.topics);
    const value = JSON.stringify({ pgpier_check: { sent: new Date().toISOString() } });
    const started = performance.now();
    const made = await this.#ask(`create topic "${topic}"`, signal, () => this.#makeTopic(topic));
    await this.#ask(`write to topic "${topic}"`, signal, () => this.#client.send(topic, value));
    const where = `topic "${topic}"${made ? ', which was created for it and stays' : ''}`;
    return { where, bytes: Buffer.byteLength(value), milliseconds: performance.now() - started };
  }

  async close(): Promise<void> {
    await this.#client.close();
    this.#egress.close();
  }

  #ownTopic({ topics }: KafkaCluster): string | undefined {
    const { prefix, name } = this.#uri.topics;
    if (name === undefined) return undefined;
    const topic = kafkaTopicName(prefix + name);
    const partitions = topics.get(topic);
    return partitions === undefined ? `no topic "${topic}" yet` : `topic "${topic}" with ${counted(partitions, 'partition')}`;
  }

  /** Whether new topics can be made with these credentials: asked for one that nobody has, which is then not made. */
  async #creation(): Promise<string | undefined> {
    try {
      await this.#client.mayCreate(`pgpier_check_${randomBytes(8).toString('hex')}`);
      return 'topics can be created';
    } catch (error) {
      // A cluster that cannot tell is not one that fails.
      if (isUnknownRequest(error)) return undefined;
      const type = typeOf(error);
      if (type !== undefined) return /AUTHORIZATION_FAILED$/.test(type) ? 'topics cannot be created' : undefined;
      throw error;
    }
  }

  /** Answers whether it was made now. Clusters that know no such request make topics when a message comes. */
  async #makeTopic(topic: string): Promise<boolean> {
    const { topics } = await this.#client.cluster();
    if (topics.has(topic)) return false;
    try {
      return await this.#client.create(topic);
    } catch (error) {
      if (isUnknownRequest(error)) return false;
      throw error;
    }
  }

  /** kafkajs knows no signals: what is not waited for any longer ends with its sockets, in `close`. */
  async #ask<T>(operation: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener('abort', abort, { once: true });
    try {
      signal?.throwIfAborted();
      const working = work();
      working.catch(() => {});
      return await Promise.race([working, aborted]);
    } catch (error) {
      throw kafkaError(error, { uri: this.#uri, location: this.location, operation, refusal: this.#client.lastRefusal, signal });
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }
}

const counted = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;
