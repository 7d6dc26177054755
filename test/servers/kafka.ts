/**
 * A real Apache Kafka (KRaft, one node) for one test file, with a listener for each way in: in plain text, with a login, with a login over TLS, and with TLS that asks for
 * a client certificate.
 *
 * Looked for in this order: a directory of Kafka's jars in the environment (PGPIER_TEST_KAFKA), those in ~/.cache/pgpier, which `kafka.pom.xml` tells how to bring from
 * Maven Central. Java 17 runs them. No container: a broker names its own addresses to its clients, and must know them before it starts. Data lies in the temp directory; a
 * watchdog shell ends the broker even when the test process is killed.
 */
import { execFileSync, spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign } from 'node:crypto';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Certificates, makeCertificates } from './certificates.ts';
import { end, guard } from './localServer.ts';
import { freePort } from './postgres.ts';

export interface KafkaServer {
  /** Ports on 127.0.0.1. What needs TLS names itself "localhost" and has a certificate of that name alone. */
  readonly ports: Readonly<Record<'open' | 'login' | 'secure' | 'mutual', number>>;
  readonly tls: Certificates;
  /** By user: alice for PLAIN, carol for SCRAM. */
  readonly passwords: Readonly<Record<'alice' | 'carol', string>>;
  /** A token for OAUTHBEARER that the broker believes. */
  token(subject: string): string;
  /** Runs a tool of Kafka's own, for example `org.apache.kafka.tools.AclCommand`; answers its output. */
  tool(name: string, args: readonly string[]): string;
  stop(): Promise<void>;
}

const version = /<version>([\d.]+)<\/version>/.exec(readFileSync(new URL('./kafka.pom.xml', import.meta.url), 'utf8'))![1]!;
const passwords = { alice: 'wonder+land&=%', carol: 'a song of 5 sixpence' };

/** As clients of Azure's Event Hubs log in, with the key that is `sharedAccessKey` of "root". */
export const sharedAccessKey = 'c2hhcmVk+a/==';
const hubPassword = `Endpoint=sb://localhost/;SharedAccessKeyName=root;SharedAccessKey=${sharedAccessKey}`;

/** Answers why there is none; throws when one is there and does not come up. */
export async function startKafka(): Promise<KafkaServer | { readonly missing: string }> {
  const jars = process.env.PGPIER_TEST_KAFKA ?? join(homedir(), `.cache/pgpier/kafka-${version}`);
  if (!existsSync(join(jars, `kafka-clients-${version}.jar`))) return { missing: `kafka: no jars of Kafka ${version} in ${jars}` };
  for (const program of ['java', 'openssl']) {
    try {
      execFileSync(program, [program === 'java' ? '-version' : 'version'], { stdio: 'ignore' });
    } catch {
      return { missing: `kafka: no ${program} on the PATH` };
    }
  }
  const home = mkdtempSync(join(tmpdir(), 'pgp-kafka-'));
  try {
    return await startIn(home, jars);
  } catch (error) {
    rmSync(home, { recursive: true, force: true });
    throw error;
  }
}

async function startIn(home: string, jars: string): Promise<KafkaServer> {
  const [open, login, secure, mutual, controller] = await Promise.all([freePort(), freePort(), freePort(), freePort(), freePort()]);
  const ports = { open, login, secure, mutual };
  const tls = makeCertificates(home);
  writeFileSync(join(home, 'broker.pem'), tls.server.key + tls.server.cert);
  const signing = makeSigningKey(home);
  writeFileSync(join(home, 'server.properties'), properties(home, ports, controller));
  const java = ['-Xmx256m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-XX:-UsePerfData', '-cp', join(jars, '*')];
  const keys = `-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${jwksUrl(home)}`;
  const scram = ['256', '512'].flatMap((bits) => ['--add-scram', `SCRAM-SHA-${bits}=[name=carol,password=${passwords.carol}]`]);
  const id = randomBytes(16).toString('base64url').replace(/^-/, 'A');
  const format = ['kafka.tools.StorageTool', 'format', '-t', id, '-c', join(home, 'server.properties'), ...scram];
  execFileSync('java', [...java, ...format], { stdio: 'pipe', timeout: 60_000 });
  const log = openSync(join(home, 'log'), 'a');
  const broker = spawn('java', [...java, keys, 'kafka.Kafka', join(home, 'server.properties')], {
    stdio: ['ignore', log, log],
    detached: true,
    cwd: home,
  });
  closeSync(log);
  broker.unref();
  const watchdog = guard([broker.pid!], home);
  const stop = async (): Promise<void> => {
    // There is nothing to keep, and its goodbye takes seconds.
    await end(broker.pid!, 'SIGKILL');
    watchdog.kill('SIGKILL');
    rmSync(home, { recursive: true, force: true, maxRetries: 5 });
  };
  for (let waited = 0; !readFileSync(join(home, 'log'), 'utf8').includes('Kafka Server started'); waited += 100) {
    if (waited > 60_000 || broker.exitCode !== null) {
      const told = readFileSync(join(home, 'log'), 'utf8')
        .split('\n')
        .filter((line) => /ERROR|Exception/.test(line))
        .slice(0, 10)
        .join('\n');
      await stop();
      throw new Error(`Kafka did not start:\n${told}`);
    }
    await sleep(100);
  }
  return {
    ports,
    tls,
    passwords,
    token: (subject) => signToken(signing, subject),
    tool: (name, args) =>
      execFileSync('java', [...java, name, ...args], { encoding: 'utf8', timeout: 60_000, stdio: ['ignore', 'pipe', 'pipe'] }),
    stop,
  };
}

function properties(home: string, ports: KafkaServer['ports'], controller: number): string {
  const users = `user_alice="${passwords.alice}" user_$ConnectionString="${hubPassword}"`;
  const plain = `org.apache.kafka.common.security.plain.PlainLoginModule required ${users};`;
  const scram = 'org.apache.kafka.common.security.scram.ScramLoginModule required;';
  const oauth = 'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;';
  const logins = ['login', 'secure'].flatMap((listener) => [
    `listener.name.${listener}.plain.sasl.jaas.config=${plain}`,
    `listener.name.${listener}.scram-sha-256.sasl.jaas.config=${scram}`,
    `listener.name.${listener}.scram-sha-512.sasl.jaas.config=${scram}`,
    `listener.name.${listener}.oauthbearer.sasl.jaas.config=${oauth}`,
    `listener.name.${listener}.oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler`,
  ]);
  return [
    'process.roles=broker,controller',
    'node.id=1',
    `controller.quorum.voters=1@127.0.0.1:${controller}`,
    `listeners=OPEN://127.0.0.1:${ports.open},LOGIN://127.0.0.1:${ports.login},SECURE://127.0.0.1:${ports.secure},MUTUAL://127.0.0.1:${ports.mutual},CONTROLLER://127.0.0.1:${controller}`,
    `advertised.listeners=OPEN://127.0.0.1:${ports.open},LOGIN://127.0.0.1:${ports.login},SECURE://localhost:${ports.secure},MUTUAL://localhost:${ports.mutual}`,
    'listener.security.protocol.map=OPEN:PLAINTEXT,LOGIN:SASL_PLAINTEXT,SECURE:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name=OPEN',
    'controller.listener.names=CONTROLLER',
    `log.dirs=${join(home, 'data')}`,
    'ssl.keystore.type=PEM',
    `ssl.keystore.location=${join(home, 'broker.pem')}`,
    'ssl.truststore.type=PEM',
    `ssl.truststore.location=${join(home, 'ca.crt')}`,
    'listener.name.mutual.ssl.client.auth=required',
    'sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
    ...logins,
    `sasl.oauthbearer.jwks.endpoint.url=${jwksUrl(home)}`,
    'sasl.oauthbearer.expected.audience=kafka',
    'sasl.oauthbearer.expected.issuer=test',
    'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'allow.everyone.if.no.acl.found=true',
    'super.users=User:ANONYMOUS',
    'num.partitions=3',
    'offsets.topic.num.partitions=1',
    'offsets.topic.replication.factor=1',
    'transaction.state.log.num.partitions=1',
    'transaction.state.log.replication.factor=1',
    'transaction.state.log.min.isr=1',
    'group.initial.rebalance.delay.ms=0',
    '',
  ].join('\n');
}

const jwksUrl = (home: string): string => `file://${join(home, 'jwks.json')}`;

/** The key of the tokens, and its public half where the broker looks for it. */
function makeSigningKey(home: string): KeyObject {
  const file = join(home, 'token.key');
  execFileSync('openssl', ['genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048', '-out', file], { stdio: 'pipe' });
  const key = createPrivateKey(readFileSync(file));
  const jwk = { ...createPublicKey(key).export({ format: 'jwk' }), kid: 'test', use: 'sig', alg: 'RS256' };
  writeFileSync(join(home, 'jwks.json'), JSON.stringify({ keys: [jwk] }));
  return key;
}

function signToken(key: KeyObject, subject: string): string {
  const now = Math.floor(Date.now() / 1000);
  const claims = { sub: subject, aud: 'kafka', iss: 'test', iat: now - 5, exp: now + 600, scope: 'kafka' };
  const text = [{ alg: 'RS256', kid: 'test', typ: 'JWT' }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
    .join('.');
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), key).toString('base64url')}`;
}
