/** A marker secret goes through every kind of statement; afterwards it must be nowhere but in the answers meant for its owner. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { missingPostgres } from '../servers/postgres.ts';
import { descendants, descendantsRunning, onLinux, readProc } from '../servers/processes.ts';
import { type MissingS3, type S3Server, startS3 } from '../servers/s3.ts';
import { eventually, type FaultLab, startFaultLab } from './faultLab.ts';

/** Half of a wrong secret: what failing statements carry. */
const MARKER = 'MARKERx7Qz';

const s3: S3Server | MissingS3 = missingPostgres(15) || onLinux ? { missing: '' } : await startS3();
const missing = missingPostgres(15) || onLinux || ('missing' in s3 ? s3.missing : false);

/** Debian's package of the server brings it. */
const hasStatistics = existsSync('/usr/share/postgresql/15/extension/pg_stat_statements.control');

describe('secrets', { skip: missing }, () => {
  let lab: FaultLab;
  let client: pg.Client;
  const heard: string[] = [];
  const server = s3 as S3Server;
  const secrets = [MARKER];
  before(async () => {
    secrets.push(server.secretKey, encodeURIComponent(server.secretKey));
    lab = await startFaultLab({
      settings: {
        log_statement: 'all',
        log_min_duration_statement: '0',
        log_min_messages: 'debug1',
        log_min_error_statement: 'debug5',
        log_parameter_max_length_on_error: '-1',
        track_activity_query_size: '16384',
        ...(hasStatistics ? { shared_preload_libraries: 'pg_stat_statements' } : {}),
      },
      env: { PGPIER_LOG_LEVEL: 'trace' },
    });
    if (hasStatistics) await lab.sql('create extension pg_stat_statements');
    client = await lab.client();
    client.on('notice', ({ message, detail, hint }) => heard.push(`${message} ${detail} ${hint}`));
  });
  after(async () => {
    await client?.end().catch(() => {});
    await lab?.stop();
    if ('stop' in s3) await s3.stop();
  });

  const uri = (path: string, secret = server.secretKey) =>
    `s3://${server.bucket}/${path}?AWS_ACCESS_KEY_ID=${server.accessKey}&AWS_SECRET_ACCESS_KEY=${encodeURIComponent(secret)}&AWS_REGION=us-east-1&AWS_ENDPOINT=${encodeURIComponent(server.endpoint)}&AWS_USE_PATH_STYLE=true`;
  const fails = async (text: string, values?: unknown[]) => {
    const error = await client.query(text, values).then(
      () => assert.fail(`no error: ${text.slice(0, 30)}`),
      (error: Error & { detail?: string; hint?: string; where?: string }) => error,
    );
    heard.push(`${error.message} ${error.detail} ${error.hint} ${error.where}`);
  };

  test('statements with secrets, good and failing, by Query, by Bind and in blocks', async () => {
    await client.query(`create external connection good as '${uri('good')}'`);
    await client.query('create external connection $1 as $2', ['bound', uri('bound')]);
    await fails(`create external connection good as '${uri('good', MARKER)}'`);
    await fails(`create external connection wrong as '${uri('wrong', MARKER)}'`);
    await fails('create external connection $1 as $2', ['wrong', uri('wrong', MARKER)]);
    await fails(`create external connection wrong as '${uri('wrong', MARKER)}' nonsense`);
    await fails(`create external connection wrong as 's3x://${MARKER}:${MARKER}@host/?SECRET=${MARKER}'`);
    await fails(`create external connection wrong as 's3://b/p?AWS_SECRET_ACCESS_KEY=${MARKER}&NO_SUCH=${MARKER}'`);
    await client.query('begin');
    await client.query(`create external connection blocked as '${uri('blocked')}'`);
    await fails(`create external connection wrong as '${uri('wrong', MARKER)}'`);
    await client.query('rollback');
    await fails(`export into csv '${uri('x', MARKER)}' from select 1`);
    await fails('export into csv $1 from select 1', [uri('x', MARKER)]);
    await client.query('export into csv $1 from select i, pg_sleep(0.002) from generate_series(1, 300) i', [uri('out')]);
    await client.query("export into csv 'external://good/sub' from select 1");
    await client.query('begin');
    await fails('export into csv $1 from select 1', [uri('x', MARKER)]);
    await client.query('rollback');
    const shown = JSON.stringify((await client.query('show external connections')).rows);
    for (const secret of secrets) assert.ok(!shown.includes(secret), 'SHOW EXTERNAL CONNECTIONS prints a secret');
    const { rows } = await client.query('show create external connection good');
    assert.ok(rows[0].create_statement.includes(encodeURIComponent(server.secretKey)), 'SHOW CREATE is for the owner, in full');
  });

  /** Whatever a provider takes for a secret, and what a hasty user writes where none belongs; nobody listens there. */
  const nowhere = 'http://127.0.0.1:1';
  const key = Buffer.from(JSON.stringify({ type: 'service_account', private_key: MARKER, client_email: 'a@b' })).toString('base64');
  const hidden: readonly string[] = [
    `s3://b/p?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=${MARKER}&AWS_SESSION_TOKEN=${MARKER}&AWS_ENDPOINT=${nowhere}`,
    `s3://user:${MARKER}@b/p?AWS_ACCESS_KEY_ID=k&aws_secret_access_key=${MARKER}`,
    `s3://b/p?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=x#${MARKER}`,
    `s3://b/p?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=x;${MARKER}`,
    `s3://b/p?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=%zz${MARKER}`,
    `s3:b?${MARKER}`,
    `gs://b/p?CREDENTIALS=${encodeURIComponent(key)}&GOOGLE_ENDPOINT=${nowhere}`,
    `gs://b/p?AUTH=specified&BEARER_TOKEN=${MARKER}&GOOGLE_ENDPOINT=${nowhere}`,
    `azure://c/p?AZURE_ACCOUNT_NAME=a&AZURE_ACCOUNT_KEY=${MARKER}`,
    `azure://c/p?AZURE_ACCOUNT_NAME=a&AZURE_CLIENT_ID=i&AZURE_TENANT_ID=t&AZURE_CLIENT_SECRET=${MARKER}&AZURE_ENVIRONMENT=nowhere`,
    `https://user:${MARKER}@127.0.0.1:1/p?token=${MARKER}`,
    `https://${MARKER}@127.0.0.1:1/p`,
    `kafka://127.0.0.1:1?tls_enabled=true&sasl_enabled=true&sasl_user=u&sasl_password=${MARKER}&ca_cert=${MARKER}&client_key=${MARKER}&sasl_client_secret=${MARKER}`,
    `confluent-cloud://127.0.0.1:1?api_key=k&api_secret=${MARKER}`,
    `azure-event-hub://127.0.0.1:1?shared_access_key_name=n&shared_access_key=${MARKER}`,
    `webhook-https://127.0.0.1:1/p?client_cert=${MARKER}&insecure_tls_skip_verify=true`,
    `gcpubsub://project?region=r&CREDENTIALS=${encodeURIComponent(key)}`,
    `aws-kms:///${MARKER}?AWS_ACCESS_KEY_ID=k&AWS_SECRET_ACCESS_KEY=${MARKER}&REGION=us-east-1&AWS_ENDPOINT=${nowhere}`,
    `gcp-kms:///projects/p?CREDENTIALS=${MARKER}`,
    `azure-kms:///k/v?AZURE_CLIENT_ID=i&AZURE_TENANT_ID=t&AZURE_CLIENT_SECRET=${MARKER}&AZURE_VAULT_NAME=v`,
    `local-kms:///k?x=${MARKER}`,
    `postgres://user:${MARKER}@127.0.0.1:1/db?sslinline=${MARKER}`,
    `unheard://user:${MARKER}@host/p?password=${MARKER}`,
  ];
  const forms: readonly string[] = [
    'create external connection never as URI',
    'create external connection if not exists never as URI nonsense',
    'alter external connection good as URI',
    'alter external connection good set fallback URI',
    'alter external connection good set fallback URI URI',
    'check external connection URI',
    'export into csv URI from select 1',
    "export into csv URI with nullas = 'x' from select no_such_column",
    'backup database clients into URI',
    'backup database clients into URI with detached',
    'backup table public.* into URI with no_such_option',
    'restore database clients from latest in URI',
    "restore table t from '2026/01/01-000000.00' in URI with detached, into_db = 'x'",
    'show backups in URI',
    'show backup schemas from latest in URI with privileges',
    'import into t csv data (URI)',
    'create schedule s for backup into URI recurring @daily',
    'create changefeed for table t into URI',
    `create connection never storage_type = 's3' access_key_id = URI secret_access_key = '${MARKER}' no_such_key = URI`,
    'show external connection URI usage',
    'drop external connection URI restrict',
    'grant usage on external connection URI to nobody',
  ];

  test('every statement with every kind of secret, by Query and by Bind, tells none', async () => {
    secrets.push(key.slice(40, 72), Buffer.from(MARKER).toString('hex'));
    await Promise.all(
      Array.from({ length: 4 }, async (_, lane) => {
        const own = await lab.client();
        own.on('notice', ({ message, detail, hint }) => heard.push(`${message} ${detail} ${hint}`));
        await own.query("set statement_timeout = '8s'");
        for (const [index, uri] of hidden.entries()) {
          if (index % 4 !== lane) continue;
          for (const form of forms) {
            // What is no URI at all is a name like any other.
            if (!uri.includes('://') && /external connection URI/.test(form)) continue;
            const literal = form.replaceAll('URI', `'${uri.replaceAll("'", "''")}'`);
            const bound = form.replace('URI', '$1').replaceAll('URI', "'x'");
            const asked = index % 3 === 0 ? [[literal], [bound, [uri]]] : [[literal]];
            for (const [text, values] of asked as [string, unknown[]?][]) {
              const answer = await own.query(text, values).then(
                ({ rows }) => JSON.stringify(rows),
                (error: Error & { detail?: string; hint?: string; where?: string }) =>
                  `${error.message} ${error.detail} ${error.hint} ${error.where}`,
              );
              heard.push(answer);
              for (const secret of secrets) assert.ok(!answer.includes(secret), `${form}: ${answer}`);
            }
          }
        }
        await own.end();
      }),
    );
    const { rows } = await client.query('show jobs');
    for (const secret of secrets) assert.ok(!JSON.stringify(rows).includes(secret), 'SHOW JOBS');
    const used = await client.query('show external connections usage');
    assert.ok(used.rows.length > 10);
    for (const secret of secrets) assert.ok(!JSON.stringify(used.rows).includes(secret), 'SHOW … USAGE');
  });

  test('a job whose worker is killed takes its secret with it', async () => {
    await lab.sql('create table held as select 1 as i');
    await lab.sql('begin; lock table held in access exclusive mode');
    let id = '';
    try {
      id = (await client.query('backup table held into $1 with detached', [uri('killed')])).rows[0].job_id;
      await eventually('the job runs', async () => (await client.query(`show job ${id}`)).rows[0].status === 'running');
      const [worker] = descendantsRunning(lab.pgpier.pid, 'jobWorkerMain');
      process.kill(worker!, 'SIGKILL');
      await eventually('another takes it over', () => /"attempt":2/.test(lab.pgpier.output()), 30_000);
    } finally {
      await lab.sql('commit');
    }
    await eventually('the job ends', async () => (await client.query(`show job ${id}`)).rows[0].status === 'succeeded', 30_000);
    const { rows } = await client.query(`show job ${id}`);
    assert.match(rows[0].description, /AWS_SECRET_ACCESS_KEY=redacted/);
  });

  test('no column of the catalog holds one', async () => {
    const catalog = new pg.Client(lab.postgres.connectionString('pgpier'));
    await catalog.connect();
    try {
      const { rows: tables } = await catalog.query(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('pgpier', 'pgpier_queue')",
      );
      assert.ok(tables.length > 8);
      let rowsSeen = 0;
      for (const { name } of tables) {
        const { rows } = await catalog.query(`select t::text as row from ${name} t`);
        rowsSeen += rows.length;
        for (const secret of [...secrets, ...secrets.map((each) => Buffer.from(each).toString('hex'))])
          for (const { row } of rows) assert.ok(!row.includes(secret), `a row of ${name}`);
      }
      assert.ok(rowsSeen > 20);
    } finally {
      await catalog.end();
    }
  });

  test('statistics of statements hold none', {
    skip: hasStatistics ? false : 'pg_stat_statements: this PostgreSQL brings none',
  }, async () => {
    const rows = await lab.sql('select query from pg_stat_statements');
    assert.ok(rows.length > 20);
    for (const secret of secrets) assert.ok(!JSON.stringify(rows).includes(secret));
  });

  test('no secret is seen by others while an export with one runs', async () => {
    const running = client.query('export into csv $1 from select pg_sleep(1)', [uri('slow')]);
    for (let i = 0; i < 10; i++) {
      const seen =
        JSON.stringify(await lab.sql('select * from pg_stat_activity')) + JSON.stringify(await lab.sql('select * from pg_settings'));
      const lines = [lab.pgpier.pid, ...descendants(lab.pgpier.pid)].map((pid) => readProc(pid, 'cmdline') + readProc(pid, 'environ'));
      for (const secret of secrets) assert.ok(!seen.includes(secret) && !lines.join('').includes(secret), 'seen while running');
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await running;
  });

  test('errors and notices held none', () => {
    assert.ok(heard.length >= 9);
    for (const secret of secrets)
      assert.deepEqual(
        heard.filter((line) => line.includes(secret)),
        [],
      );
  });

  test("the server's log, its data files and the proxy's output hold none", async () => {
    await lab.sql('checkpoint');
    const log = readFileSync(lab.postgres.logFile, 'utf8');
    assert.match(log, /reset pgpier\.void|pg_logical_emit_message|current_user/, 'the log does log');
    for (const secret of secrets) {
      assert.deepEqual(
        log.split('\n').filter((line) => line.includes(secret)),
        [],
        "the server's log",
      );
      assert.ok(!lab.pgpier.output().includes(secret), "the proxy's log");
      for (const directory of [lab.postgres.dataDir, lab.pgpier.dataDirectory, lab.pgpier.externalDirectory])
        assert.equal(filesWith(directory, secret), '');
    }
  });
});

/** Names of files with these bytes in them; tables, WAL and temporary files alike. */
function filesWith(directory: string, text: string): string {
  try {
    return execFileSync('grep', ['-rlaF', '--', text, directory], { encoding: 'utf8' });
  } catch (error) {
    if ((error as { status?: number }).status === 1) return '';
    throw error;
  }
}
