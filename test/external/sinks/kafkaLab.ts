/** Pieces of URIs for a Kafka of the tests, and what was sent there. */
import type { KafkaServer } from '../../servers/kafka.ts';

export type KafkaLab = ReturnType<typeof kafkaLab>;

export function kafkaLab(kafka: KafkaServer) {
  const { ports, tls, passwords } = kafka;
  const base64 = (text: string): string => encodeURIComponent(Buffer.from(text).toString('base64'));
  return {
    kafka,
    base64,
    withTls: (ca = tls.ca): string => `tls_enabled=true&ca_cert=${base64(ca)}`,
    login: (mechanism: string, user: 'alice' | 'carol', password = passwords[user]): string =>
      `sasl_enabled=true&sasl_mechanism=${mechanism}&sasl_user=${user}&sasl_password=${encodeURIComponent(password)}`,
    clientPair: `client_cert=${base64(tls.client.cert)}&client_key=${base64(tls.client.key)}`,
    oauth: (tokenUrl: string, secret = 'top secret'): string =>
      `sasl_enabled=true&sasl_mechanism=OAUTHBEARER&sasl_client_id=pier&sasl_client_secret=${base64(secret)}&sasl_token_url=${encodeURIComponent(tokenUrl)}`,
    /** What was sent to a topic, by Kafka's own consumer. */
    consume: (topic: string, count: number): string[] => {
      const from = ['--bootstrap-server', `127.0.0.1:${ports.open}`, '--topic', topic, '--from-beginning'];
      const args = [...from, '--max-messages', String(count), '--timeout-ms', '20000'];
      return kafka.tool('org.apache.kafka.tools.consumer.ConsoleConsumer', args).split('\n').filter(Boolean);
    },
  };
}
