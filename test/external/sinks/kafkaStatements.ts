/** The statements that make, try and drop connections to a Kafka, by a driver; run by `kafka.test.ts`, which has the broker. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { type Pgpier, startPgpier } from '../../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../../servers/postgres.ts';
import { serve } from '../faultServer.ts';
import type { KafkaLab } from './kafkaLab.ts';

export function statementsOnKafka(lab: KafkaLab): void {
  describe('Kafka through the proxy', { skip: missingPostgres(18) }, () => {
    const { ports, passwords } = lab.kafka;
    const { login, consume } = lab;
    let postgres: Postgres;
    let proxy: Pgpier;
    let admin: pg.Client;
    let bob: pg.Client;
    let held: ReturnType<typeof createMute>;
    let notices: { severity: string | undefined; code: string | undefined; message: string | undefined }[] = [];
    const one = `kafka://127.0.0.1:${ports.login}?topic_prefix=proxy_&${login('SCRAM-SHA-256', 'carol')}`;
    before(async () => {
      postgres = await startPostgres({ version: 18 });
      proxy = await startPgpier({ backend: postgres });
      admin = new pg.Client({ connectionString: proxy.connectionString() });
      bob = new pg.Client({ connectionString: proxy.connectionString('postgres', 'bob') });
      for (const client of [admin, bob]) client.on('notice', ({ severity, code, message }) => notices.push({ severity, code, message }));
      await admin.connect();
      await admin.query('create role bob login');
      await admin.query('grant system externalconnection to bob');
      await bob.connect();
      held = createMute(await listenTcp());
    });
    /** Meanwhile the other tests run. */
    const createMute = async (port: number): Promise<{ milliseconds: number; warning: string }> => {
      const client = new pg.Client({ connectionString: proxy.connectionString() });
      let warning = '';
      client.on('notice', ({ message }) => (warning += message));
      await client.connect();
      const started = Date.now();
      await client.query('create external connection mute as $1', [`kafka://127.0.0.1:${port}`]);
      await client.end();
      return { milliseconds: Date.now() - started, warning };
    };
    const mute = createServer((socket) => socket.on('error', () => {}));
    const listenTcp = async (): Promise<number> => {
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      return (mute.address() as { port: number }).port;
    };
    after(async () => {
      mute.close();
      await bob?.end();
      await admin?.end();
      await proxy?.stop();
      await postgres?.stop();
    });
    const run = async (text: string, values: unknown[] = [], client = admin): Promise<Record<string, unknown>[]> => {
      notices = [];
      return (await client.query(text, values)).rows;
    };

    test('a connection is made, shown without secrets, tried, used by those who may, and dropped', async () => {
      await run('create external connection feed as $1', [one]);
      assert.equal(notices.length, 0);
      const [shown] = await run('show external connection feed');
      assert.equal(
        shown!.connection_uri,
        `kafka://127.0.0.1:${ports.login}?sasl_enabled=true&sasl_mechanism=SCRAM-SHA-256&sasl_password=redacted&sasl_user=carol&topic_prefix=proxy_`,
      );
      assert.equal(shown!.connection_type, 'STORAGE');
      const [checked] = await run("check external connection 'external://feed'");
      const nothing = { read_speed: null, write_speed: null, can_delete: null };
      assert.deepEqual(checked, { node: '1', locality: '', ok: true, error: null, transferred: '52 B', ...nothing });
      assert.match(
        notices[0]!.message!,
        /^1 broker, .*; a message was sent to topic "proxy_pgpier_check", which was created for it and stays$/,
      );
      const several = await run("check external connection 'external://feed/ignored' with concurrently = 3");
      assert.deepEqual(
        several.map(({ ok }) => ok),
        [true, true, true],
      );
      assert.equal(consume('proxy_pgpier_check', 4).length, 4);
      await assert.rejects(run("check external connection 'external://feed'", [], bob), { code: '42501' });
      await run('grant usage on external connection feed to bob');
      // Whoever may use it reaches what its author might: loopback.
      const [bobs] = await run("check external connection 'external://feed'", [], bob);
      assert.deepEqual([bobs!.ok, bobs!.error], [true, null]);
      await run('drop external connection feed');
      const names = (await run('show external connections')).map(({ connection_name }) => connection_name);
      assert.ok(!names.includes('feed'), names.join());
    });

    test('a sink that does not answer as it should is a warning at CREATE and a row in CHECK', async () => {
      for (const [name, uri, text] of [
        ['gone', 'kafka://127.0.0.1:1?topic_name=t', /cannot reach kafka:\/\/127\.0\.0\.1:1: ECONNREFUSED$/],
        [
          'refused',
          one.replace(encodeURIComponent(passwords.carol), 'hunter2'),
          /does not accept these credentials \(SASL SCRAM-SHA-256\)$/,
        ],
        ['untrusted', `kafka://localhost:${ports.mutual}?tls_enabled=true`, /^the sink does not answer as it should: TLS with /],
      ] as const) {
        await run(`create external connection ${name} as $1`, [uri]);
        const [{ severity, code, message } = { severity: '', code: '', message: '' }, ...more] = notices;
        assert.deepEqual([severity, code, more], ['WARNING', '01000', []]);
        assert.match(message!, text);
        const [row] = await run(`check external connection 'external://${name}'`);
        assert.deepEqual([row!.ok, `the sink does not answer as it should: ${row!.error}`], [false, message]);
        await run(`drop external connection ${name}`);
      }
      // A role that is no admin does not reach this machine's own addresses.
      await run('create external connection bobs as $1', [one], bob);
      assert.match(notices[0]!.message!, /connecting to 127\.0\.0\.1 is not allowed: it is a loopback or private address$/);
      await run('drop external connection bobs', [], bob);
    });

    test('what is wrong in the URI is an error, in CockroachDB’s frame', async () => {
      const rejects = async (uri: string, code: string, message: string, client = admin): Promise<void> => {
        await assert.rejects(run('create external connection wrong as $1', [uri], client), {
          code,
          message: `failed to construct External Connection details: ${message}`,
        });
      };
      await rejects('kafka://b?topic_name=', '22023', 'invalid changefeed sink URI: param topic_name must not be empty');
      await rejects(
        'kafka://b?sasl_user=hunter2',
        '22023',
        'invalid changefeed sink URI: sasl_enabled must be enabled if sasl_user is provided',
      );
      await rejects('webhook-http://h/', '22023', 'invalid changefeed sink URI: sink requires webhook-https');
      await rejects('pulsar://h:6650', '22023', 'no parseAndValidateFn found for external connection provider pulsar');
      const aws = 'kafka://b?sasl_enabled=true&sasl_mechanism=AWS_MSK_IAM&sasl_aws_region=eu-west-1';
      await assert.rejects(run('create external connection wrong as $1', [aws], bob), {
        code: '42501',
        message: /EXTERNALIOIMPLICITACCESS/,
      });
      await assert.rejects(run("check external connection 'kafka://b'", [], bob), { code: '42501', message: /EXTERNALIOIMPLICITACCESS/ });
    });

    test('a sink is no storage', async () => {
      await run("create external connection feed as 'kafka://127.0.0.1:1'");
      for (const text of [
        "export into csv 'external://feed' from select 1",
        "backup database postgres into 'external://feed'",
        "show backups in 'external://feed'",
      ])
        await assert.rejects(
          run(text),
          { code: '42809', message: 'external connection feed leads to kafka://, which is no storage' },
          text,
        );
    });

    test('a connection of http is a registry, and a web server to EXPORT and in statements', async (t) => {
      const registry = await serve(t, (_request, response) => response.end('["orders-value"]'));
      await run('create external connection web as $1', [registry.endpoint]);
      assert.equal(notices.length, 0);
      assert.deepEqual(registry.requests, ['GET /subjects']);
      const files = await run("export into csv 'external://web/2026' from select 1");
      assert.equal(registry.requests.at(-1), `PUT /2026/${String(files[0]!.filename)}`);
      await run(`check external connection '${registry.endpoint}'`);
      assert.match(registry.requests.at(-1)!, /^DELETE \/pgpier_check_/);
      await run("check external connection 'external://web'");
      assert.equal(registry.requests.at(-1), 'POST /subjects/pgpier_check');
    });

    test('a broker that says nothing does not hold CREATE for more than 15 seconds', async () => {
      const { milliseconds, warning } = await held;
      assert.ok(milliseconds < 20_000, `${milliseconds} ms`);
      assert.match(warning, /no answer from kafka:\/\/127\.0\.0\.1:\d+ in time$/);
    });

    test('no secret, no warning of Node’s and no line of kafkajs’ is printed', () => {
      assert.doesNotMatch(proxy.output(), /hunter2|song of 5|Warning:|kafkajs|KafkaJS/i);
    });
  });
}
