/** Names of Kafka topics (spec: cockroachdb §6.5). Pure. */
import { PgPierError } from '../../errors.ts';

/** Kafka's own limit, of the name's characters, all of which are ASCII. */
const longest = 249;

/** Where the messages of a sink go: all to one topic, or each table's to its own. */
export interface KafkaTopics {
  readonly prefix: string;
  /** Without it the table's name takes its place. */
  readonly name?: string;
}

/** As Kafka may have it: what is not of `[A-Za-z0-9._-]` becomes `_u` and the code point in hex between underscores, as in CockroachDB. */
export function kafkaTopicName(text: string): string {
  return text.replace(/[^A-Za-z0-9._-]/gu, (character) => `_u${character.codePointAt(0)!.toString(16).padStart(4, '0')}_`);
}

/** @throws PgPierError 22023 for parameters that make no topic: an empty name, or one that is longer than Kafka allows with the probe's behind it. */
export function readTopics(given: { readonly topic_name?: string; readonly topic_prefix?: string }): KafkaTopics {
  if (given.topic_name === '') throw new PgPierError('parameterEmpty', { parameter: 'topic_name' });
  const topics = { prefix: given.topic_prefix ?? '', ...(given.topic_name ? { name: given.topic_name } : {}) };
  if (probeTopic(topics).length > longest) throw new PgPierError('kafkaTopicTooLong', { most: longest });
  return topics;
}

/** Where CHECK EXTERNAL CONNECTION sends its message: beside the user's topics, and under the same prefix, by which rights are often given. */
export function probeTopic({ prefix, name }: KafkaTopics): string {
  return kafkaTopicName(`${prefix}${name === undefined ? '' : `${name}.`}pgpier_check`);
}
