/** Kafka sinks against Apache Kafka itself: each way to log in, what goes wrong, and the statements that make and try connections. */
import assert from 'node:assert/strict';
import { connect, createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';
import { after, describe, test } from 'node:test';
import { PgPierError } from '../../../errors.ts';
import { openSink } from '../../../external/sinks/sinks.ts';
import { type KafkaServer, sharedAccessKey, startKafka } from '../../servers/kafka.ts';
import { serve, serveTcp } from '../faultServer.ts';
import { kafkaLab } from './kafkaLab.ts';
import { statementsOnKafka } from './kafkaStatements.ts';

const kafka = await startKafka();
if ('missing' in kafka) test('Kafka sinks', { skip: kafka.missing }, () => {});
else runWith(kafka);

function runWith(kafka: KafkaServer): void {
  after(() => kafka.stop());
  const lab = kafkaLab(kafka);
  const { ports, tls, passwords } = kafka;
  const { base64, withTls, login, clientPair, oauth, consume } = lab;

  const use = async (
    uri: string,
    work: {
      readonly probe?: boolean;
      readonly trusted?: boolean;
      readonly allowed?: readonly string[];
      readonly milliseconds?: number;
    } = {},
  ): Promise<string> => {
    const target = { uri, trusted: work.trusted ?? true };
    const sink = await openSink(target, { nodeId: 1, allowedNetworks: work.allowed ?? [] });
    const signal = AbortSignal.timeout(work.milliseconds ?? 30_000);
    try {
      const { summary } = await sink.describe({ signal });
      if (!work.probe) return summary;
      const { where, bytes } = await sink.probe({ signal });
      return `${summary}; ${where}, ${bytes} bytes`;
    } finally {
      await sink.close();
    }
  };
  const fails = async (uri: string, sqlstate: string, text: RegExp, work: Parameters<typeof use>[1] = {}): Promise<void> => {
    await assert.rejects(use(uri, work), (error) => {
      assert.ok(error instanceof PgPierError, String(error));
      assert.match(error.message, text);
      assert.equal(error.data.sqlstate, sqlstate, error.message);
      return true;
    });
  };

  describe('Kafka', () => {
    test('is reached in plain text, and a probe goes to a topic of its own, which stays', async () => {
      const uri = `kafka://127.0.0.1:${ports.open}?topic_prefix=first_&topic_name=orders`;
      assert.match(
        await use(uri, { probe: true }),
        /^1 broker, \d+ topics?, no topic "first_orders" yet, topics can be created; topic "first_orders\.pgpier_check", which was created for it and stays, 52 bytes$/,
      );
      assert.match(await use(uri, { probe: true }), /; topic "first_orders\.pgpier_check", 52 bytes$/);
      const messages = consume('first_orders.pgpier_check', 2);
      assert.equal(messages.length, 2);
      for (const message of messages) {
        const { sent } = (JSON.parse(message) as { pgpier_check: { sent: string } }).pgpier_check;
        assert.ok(Math.abs(Date.now() - Date.parse(sent)) < 600_000, sent);
      }
      const topics = kafka.tool('org.apache.kafka.tools.TopicCommand', ['--bootstrap-server', `127.0.0.1:${ports.open}`, '--describe']);
      assert.match(topics, /Topic: first_orders\.pgpier_check\s.*PartitionCount: 1\s.*retention\.ms=86400000/);
      assert.doesNotMatch(
        topics,
        /Topic: (first_)?orders\s|pgpier_check_[0-9a-f]/,
        'nothing of the user’s is made, nor what was only asked about',
      );
    });

    test('takes every login, over TLS too, and a client’s certificate', async () => {
      for (const uri of [
        `kafka://127.0.0.1:${ports.login}?${login('PLAIN', 'alice')}`,
        `kafka://127.0.0.1:${ports.login}?${login('SCRAM-SHA-256', 'carol')}&sasl_handshake=true`,
        `kafka://127.0.0.1:${ports.login}?${login('SCRAM-SHA-512', 'carol')}`,
        `kafka://localhost:${ports.secure}?${withTls()}&${login('PLAIN', 'alice')}`,
        `kafka://localhost:${ports.secure}?${withTls()}&${login('SCRAM-SHA-256', 'carol')}`,
        `kafka://localhost:${ports.secure}?${withTls(tls.otherCa + tls.ca)}&${login('SCRAM-SHA-512', 'carol')}`,
        `kafka://127.0.0.1:${ports.secure}?tls_enabled=true&insecure_tls_skip_verify=true&${login('PLAIN', 'alice')}`,
        `kafka://localhost:${ports.mutual}?${withTls()}&${clientPair}`,
        `confluent-cloud://localhost:${ports.secure}?api_key=alice&api_secret=${encodeURIComponent(passwords.alice)}&ca_cert=${base64(tls.ca)}`,
        `azure-event-hub://localhost:${ports.secure}?shared_access_key_name=root&shared_access_key=${sharedAccessKey}&ca_cert=${base64(tls.ca)}`,
      ])
        assert.match(await use(uri, { probe: true }), /^1 broker, .*; topic "pgpier_check"/, uri.slice(0, 60));
    });

    test('takes tokens of an OAuth server, which is asked in both ways of the RFC', async (t) => {
      const asked: string[] = [];
      const tokens = await serve(t, (request, response) => {
        let body = '';
        request
          .on('data', (chunk) => (body += String(chunk)))
          .on('end', () => {
            asked.push(`${request.headers.authorization ?? ''} ${body}`);
            const right = request.url === '/form' ? body.includes('client_secret=top+secret') : body.includes('client_secret=') === false;
            const basic = `Basic ${Buffer.from('pier:top%20secret').toString('base64')}`;
            const known = request.url === '/form' ? right : request.headers.authorization === basic;
            response.statusCode = known ? 200 : 401;
            response.end(known ? JSON.stringify({ access_token: kafka.token('dave'), expires_in: 600, token_type: 'bearer' }) : '{}');
          });
      });
      const uri = (path: string, secret?: string) => `kafka://127.0.0.1:${ports.login}?${oauth(`${tokens.endpoint}${path}`, secret)}`;
      assert.match(await use(`${uri('/basic')}&sasl_scopes=a,b`, { probe: true }), /^1 broker, .*; topic "pgpier_check"/);
      assert.equal(asked.length, 1, 'the token is kept for every connection');
      assert.match(asked[0]!, /^Basic \S+ grant_type=client_credentials&scope=a\+b$/);
      assert.match(await use(uri('/form'), { probe: true }), /^1 broker/);
      assert.match(asked.at(-1)!, /^ grant_type=client_credentials&client_id=pier&client_secret=top\+secret$/);
      await fails(uri('/basic', 'hunter2'), '28000', /^http:\/\/127\.0\.0\.1:\d+ does not accept these credentials \(HTTP 401\)$/);
    });

    test('tells what is wrong with a token server, or with its tokens', async (t) => {
      const answers = await serve(t, (request, response) => {
        if (request.url === '/moved') response.writeHead(302, { location: 'http://169.254.169.254/' });
        const bodies: Record<string, string> = {
          '/page': '<html>hunter2</html>',
          '/strange': '{"access_token":"a\\u0001b"}',
          '/wrong': '{"access_token":"hunter2"}',
        };
        response.end(bodies[request.url!] ?? '');
      });
      const uri = (url: string) => `kafka://127.0.0.1:${ports.login}?${oauth(url)}`;
      await fails(uri(`${answers.endpoint}/moved`), '08P01', /redirects to http:\/\/169\.254\.169\.254\/, which is not followed/);
      await fails(uri(`${answers.endpoint}/page`), '08P01', /does not answer as an OAuth token server does \(no access_token\)$/);
      await fails(uri(`${answers.endpoint}/strange`), '08P01', /no access_token/);
      await fails(uri(`${answers.endpoint}/wrong`), '28000', /does not accept these credentials \(SASL OAUTHBEARER\)$/);
      await fails(uri('http://127.0.0.1:1/'), '08001', /cannot reach http:\/\/127\.0\.0\.1:1: ECONNREFUSED/);
      await fails(uri('http://169.254.169.254/'), '42501', /connecting to 169\.254\.169\.254 is not allowed/);
    });

    test('refuses what AWS signed, and says so', async (t) => {
      const saved = { ...process.env };
      t.after(() => {
        process.env = saved;
      });
      Object.assign(process.env, { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'hunter2' });
      const uri = `kafka://127.0.0.1:${ports.login}?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=eu-west-1`;
      await fails(uri, '28000', /does not accept these credentials \(SASL AWS_MSK_IAM\)$/);
    });

    test('failures are told apart, without a secret', async (t) => {
      const http = await serve(t, (_request, response) => response.end('hunter2'));
      const mute = await serveTcp(t);
      const endless = await serveTcp(t, (socket) => {
        // A short answer that nobody asked for, in pieces, and the length of one that no broker would give.
        const bytes = Buffer.from('00000004000000630000000800000064000000007f000000', 'hex');
        socket.setNoDelay(true);
        for (let at = 0; at < bytes.length; at += 3) setTimeout(() => socket.write(bytes.subarray(at, at + 3)), at * 5);
      });
      const deaf = await serveTcp(t, (socket) => socket.end());
      for (const [uri, sqlstate, text] of [
        [
          `kafka://127.0.0.1:${ports.login}?${login('PLAIN', 'alice', 'hunter2')}`,
          '28000',
          /does not accept these credentials \(SASL PLAIN\)$/,
        ],
        [`kafka://127.0.0.1:${ports.login}?${login('SCRAM-SHA-256', 'carol', 'hunter2')}`, '28000', /\(SASL SCRAM-SHA-256\)$/],
        [`kafka://127.0.0.1:${ports.login}?${login('SCRAM-SHA-512', 'alice', 'hunter2')}`, '28000', /\(SASL SCRAM-SHA-512\)$/],
        [
          `kafka://localhost:${ports.secure}?${withTls(tls.otherCa)}&${login('PLAIN', 'alice')}`,
          '08001',
          /^TLS with kafka:\/\/localhost:\d+ failed: \w*(SIGNATURE|CERT)\w*$/,
        ],
        [`kafka://127.0.0.1:${ports.secure}?${withTls()}&${login('PLAIN', 'alice')}`, '08001', /failed: ERR_TLS_CERT_ALTNAME_INVALID$/],
        [`kafka://localhost:${ports.mutual}?${withTls()}`, '08001', /^TLS with .* failed: ERR_SSL_\S+$/],
        [
          `kafka://127.0.0.1:${ports.login}`,
          '08006',
          /closed the connection; it may expect TLS \(tls_enabled=true\) or a login \(sasl_enabled=true\)$/,
        ],
        [
          `kafka://localhost:${ports.secure}?${login('PLAIN', 'alice')}`,
          '08006',
          /closed the connection; it may expect TLS \(tls_enabled=true\)$/,
        ],
        [`kafka://127.0.0.1:${ports.open}?${withTls()}`, '08006', /it may expect plain text rather than TLS/],
        ['kafka://127.0.0.1:1', '08001', /^cannot reach kafka:\/\/127\.0\.0\.1:1: ECONNREFUSED$/],
        ['kafka://nosuchhost.invalid', '08001', /^cannot reach kafka:\/\/nosuchhost\.invalid:9092: E(NOTFOUND|AI_AGAIN)$/],
        [http.endpoint.replace('http', 'kafka'), '08P01', /^127\.0\.0\.1:\d+ does not answer as Kafka does \(not its protocol\)$/],
        [`kafka://127.0.0.1:${endless}`, '08P01', /does not answer as Kafka does \(not its protocol\)$/],
        [`kafka://127.0.0.1:${deaf}`, '08006', /closed the connection/],
      ] as const)
        await fails(uri, sqlstate, text);
      const started = Date.now();
      await fails(`kafka://127.0.0.1:${mute}`, '08006', /^no answer from kafka:\/\/127\.0\.0\.1:\d+ in time$/, { milliseconds: 700 });
      assert.ok(Date.now() - started < 5_000, 'kafkajs waits for longer by itself');
    });

    test('another broker of the list is asked where one is gone', async () => {
      assert.match(await use(`kafka://127.0.0.1:1,127.0.0.1:${ports.open}`), /^1 broker/);
    });

    test('IPv6 is dialled, and each address that brokers name is judged', async (t) => {
      const pass = async (host: string): Promise<number> => {
        const open = new Set<{ destroy(): void }>();
        const server: Server = createServer((socket) => {
          const onward = connect(ports.open, '127.0.0.1');
          for (const each of [socket, onward]) {
            open.add(each);
            each.on('error', () => {});
          }
          socket.pipe(onward).pipe(socket);
        });
        await new Promise<void>((resolve) => server.listen(0, host, resolve));
        t.after(() => {
          for (const each of open) each.destroy();
          server.close();
        });
        return (server.address() as { port: number }).port;
      };
      const second = await pass('127.0.0.2');
      const uri = `kafka://127.0.0.2:${second}`;
      assert.match(await use(uri, { trusted: false, allowed: ['127.0.0.0/8'] }), /^1 broker/);
      // The broker says that it is at 127.0.0.1.
      await fails(uri, '42501', /^connecting to 127\.0\.0\.1 is not allowed: it is a loopback or private address$/, {
        trusted: false,
        allowed: ['127.0.0.2'],
      });
      await fails(uri, '42501', /^connecting to 127\.0\.0\.2 is not allowed/, { trusted: false });
      await fails('kafka://169.254.169.254:9092', '42501', /link-local or a metadata service/);
      await fails('kafka://localhost:1', '42501', /is not allowed/, { trusted: false });
      if (!Object.values(networkInterfaces()).some((each) => each?.some(({ address }) => address === '::1'))) return;
      const six = await pass('::1');
      assert.match(await use(`kafka://[::1]:${six}`), /^1 broker/);
      await fails(`kafka://[::1]:${six}`, '42501', /^connecting to ::1 is not allowed/, { trusted: false });
    });
  });

  statementsOnKafka(lab);

  describe('Kafka with rights', () => {
    test('what they do not allow is told', async () => {
      const uri = `kafka://127.0.0.1:${ports.login}?topic_prefix=closed_&${login('SCRAM-SHA-256', 'carol')}`;
      assert.match(await use(uri, { probe: true }), /topics can be created; topic "closed_pgpier_check"/);
      const deny = (...resource: string[]) =>
        kafka.tool('org.apache.kafka.tools.AclCommand', [
          '--bootstrap-server',
          `127.0.0.1:${ports.open}`,
          '--add',
          '--deny-principal',
          'User:carol',
          ...resource,
        ]);
      deny('--operation', 'Write', '--topic', 'closed_pgpier_check');
      await fails(uri, '42501', /^access denied: these credentials may not write to topic "closed_pgpier_check" at kafka:/, {
        probe: true,
      });
      deny('--operation', 'Create', '--cluster', '--topic', '*');
      assert.match(await use(uri), /topics cannot be created$/);
      await fails(
        uri.replace('closed_', 'new_'),
        '42501',
        /^access denied: these credentials may not create topic "new_pgpier_check" at kafka:/,
        {
          probe: true,
        },
      );
    });
  });
}
