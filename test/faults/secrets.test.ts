/** A marker secret goes through every kind of statement; afterwards it must be nowhere but in the answers meant for its owner. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import type pg from 'pg';
import { missingPostgres } from '../servers/postgres.ts';
import { type MissingS3, type S3Server, startS3 } from '../servers/s3.ts';
import { descendants, type FaultLab, onLinux, startFaultLab } from './faultLab.ts';

/** Half of a wrong secret: what failing statements carry. */
const MARKER = 'MARKERx7Qz';

const s3: S3Server | MissingS3 = missingPostgres(15) || onLinux ? { missing: '' } : await startS3();
const missing = missingPostgres(15) || onLinux || ('missing' in s3 ? s3.missing : false);

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
      },
      env: { PGPIER_LOG_LEVEL: 'trace' },
    });
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

  test('no secret is seen by others while an export with one runs', async () => {
    const running = client.query('export into csv $1 from select pg_sleep(1)', [uri('slow')]);
    for (let i = 0; i < 10; i++) {
      const seen =
        JSON.stringify(await lab.sql('select * from pg_stat_activity')) + JSON.stringify(await lab.sql('select * from pg_settings'));
      const lines = [lab.pgpier.pid, ...descendants(lab.pgpier.pid)].map((pid) => {
        try {
          return readFileSync(`/proc/${pid}/cmdline`, 'latin1') + readFileSync(`/proc/${pid}/environ`, 'latin1');
        } catch {
          return '';
        }
      });
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
      assert.ok(!log.includes(secret), "the server's log");
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
