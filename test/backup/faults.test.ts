/** BACKUP and RESTORE through the proxy while things break: processes killed, the storage lost, others in the way. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { eventually } from '../faults/faultLab.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { descendantsRunning, onLinux } from '../servers/processes.ts';

const whole = 'select count(*) as n, sum(hashtext(b::text)) as sum from big b';

describe('BACKUP and RESTORE while things break', { skip: missingPostgres(15) || onLinux }, () => {
  let server: Postgres;
  let pgpier: Pgpier;
  let client: pg.Client;
  let source: Record<string, unknown>;
  const clients: pg.Client[] = [];

  const connect = async (url: string): Promise<pg.Client> => {
    const made = new pg.Client(url);
    made.on('error', () => {});
    await made.connect();
    clients.push(made);
    return made;
  };
  const direct = async (database: string, text: string): Promise<Record<string, unknown>[]> => {
    const session = new pg.Client(server.connectionString(database));
    session.on('error', () => {});
    await session.connect();
    try {
      return (await session.query(text)).rows;
    } finally {
      await session.end();
    }
  };
  const shelf = (): string => join(pgpier.externalDirectory, 'shelf');
  const begin = async (text: string): Promise<string> => (await client.query(text)).rows[0].job_id;
  const statusOf = async (id: string): Promise<{ status: string; error: string }> => (await client.query(`show job ${id}`)).rows[0];
  const endOf = async (id: string): Promise<{ status: string; error: string }> => {
    await eventually(
      `job ${id} ends`,
      async () => ['succeeded', 'failed', 'canceled', 'revert-failed'].includes((await statusOf(id)).status),
      20_000,
    );
    return statusOf(id);
  };
  const reading = (id: string) =>
    eventually(
      `job ${id} is at work`,
      async () =>
        (
          await direct(
            'postgres',
            `select from pg_stat_activity where application_name like '%${id}' and state = 'active' and query ilike 'copy%'`,
          )
        ).length > 0,
    );
  const copying = () =>
    eventually(
      'it copies',
      async () =>
        (
          await direct(
            'postgres',
            `select from pg_stat_activity where application_name ~ 'pgpier (BACKUP|RESTORE)' and query ilike 'copy%' and state = 'active'`,
          )
        ).length > 0,
    );
  const killWorker = (): void => {
    const workers = descendantsRunning(pgpier.pid, 'jobWorkerMain');
    assert.equal(workers.length, 1);
    process.kill(workers[0]!, 'SIGKILL');
  };
  /** No login, hidden database, file of an unfinished backup: of ended jobs nothing is left. */
  const nothingLeft = async (): Promise<void> => {
    await eventually('logins and hidden databases are gone', async () => {
      const left = await direct(
        'postgres',
        `select rolname from pg_roles where rolname ~ '^pgpier_job_' union all select datname from pg_database where datname ~ '^pgpier_restore_'`,
      );
      return left.length === 0;
    });
    const files = (readdirSync(shelf(), { recursive: true, withFileTypes: true }) ?? [])
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    const unfinished = files.filter((file) => {
      const folder = /^.*\/2\d{3}\/\d\d\/[\d.-]+/.exec(file)?.[0];
      return /partial/.test(file) || (folder !== undefined && !existsSync(join(folder, 'BACKUP_MANIFEST')));
    });
    assert.deepEqual(unfinished, []);
  };

  before(async () => {
    server = await startPostgres({ version: 15 });
    pgpier = await startPgpier({ backend: server });
    client = await connect(pgpier.connectionString());
    await client.query('create database source');
    await direct('source', `create table big as select i, md5(i::text) as t, repeat('x', 60) as p from generate_series(1, 300000) i`);
    await direct('source', 'create index on big (t)');
    [source] = (await direct('source', whole)) as [Record<string, unknown>];
    await client.query(`create external connection shelf as 'nodelocal://1/shelf'`);
    await client.query(`backup database source into 'external://shelf'`);
  });
  after(async () => {
    for (const each of clients) await each.end().catch(() => {});
    await pgpier?.stop();
    await server?.stop();
  });

  test('the worker killed in mid-backup: another carries it on, and one backup more is listed', async () => {
    const listed = (await client.query(`show backups in 'external://shelf'`)).rowCount!;
    const id = await begin(`backup database source into 'external://shelf' with detached`);
    await reading(id);
    killWorker();
    assert.equal((await endOf(id)).status, 'succeeded');
    assert.equal((await client.query(`show backups in 'external://shelf'`)).rowCount, listed + 1);
    await client.query(`show backup from latest in 'external://shelf' with check_files`);
    await nothingLeft();
  });

  test('the worker killed in mid-restore: the database is there, whole', async () => {
    const id = await begin(`restore database source from latest in 'external://shelf' with new_db_name = 'copy', detached`);
    await reading(id);
    killWorker();
    assert.equal((await endOf(id)).status, 'succeeded');
    assert.deepEqual(await direct('copy', whole), [source]);
    await nothingLeft();
  });

  test('cancelled, in mid-backup and mid-restore, by CANCEL JOB and by the client: nothing is left', async () => {
    for (const text of [
      `backup database source into 'external://shelf'`,
      `restore database source from latest in 'external://shelf' with new_db_name = 'never'`,
    ]) {
      const id = await begin(text.includes(' with ') ? `${text}, detached` : `${text} with detached`);
      await reading(id);
      await client.query(`cancel job ${id}`);
      assert.equal((await endOf(id)).status, 'canceled');
      const waiting = await connect(pgpier.connectionString());
      const failed = assert.rejects(waiting.query(text), { code: '57014' });
      await copying();
      await cancel(waiting);
      await failed;
      await nothingLeft();
    }
    assert.deepEqual(await direct('postgres', `select datname from pg_database where datname = 'never'`), []);
  });

  const cancel = async (waiting: pg.Client): Promise<void> => {
    const { processID, secretKey } = waiting as unknown as { processID: number; secretKey: number };
    const { connect: open } = await import('node:net');
    const packet = Buffer.alloc(16);
    for (const [at, value] of [16, 80877102, processID, secretKey].entries()) packet.writeInt32BE(value, at * 4);
    await new Promise<void>((resolve, reject) => {
      const socket = open(pgpier.port, pgpier.host, () => socket.end(packet));
      socket.once('close', () => resolve()).once('error', reject);
    });
  };

  test('paused and resumed: the backup is made', async () => {
    const id = await begin(`backup database source into 'external://shelf' with detached`);
    await reading(id);
    await client.query(`pause job ${id}`);
    await eventually('it is paused', async () => (await statusOf(id)).status === 'paused');
    assert.deepEqual(await direct('postgres', `select from pg_stat_activity where application_name like '%${id}'`), []);
    await client.query(`resume job ${id}`);
    assert.equal((await endOf(id)).status, 'succeeded');
    await nothingLeft();
  });

  test('the directory lost in mid-backup: a clear error, the session goes on, nothing is listed that is not there', async () => {
    const failed = client.query(`backup database source into 'external://shelf'`).then(
      () => assert.fail('no error'),
      (error: Error & { code: string }) => error,
    );
    await copying();
    renameSync(shelf(), `${shelf()}-away`);
    writeFileSync(shelf(), '');
    const error = await failed;
    rmSync(shelf());
    renameSync(`${shelf()}-away`, shelf());
    assert.match(error.code, /^58|^42809$/, `${error.code} ${error.message}`);
    await client.query('select 1');
    // What the job could not remove is told, and never listed.
    const notices: string[] = [];
    client.on('notice', ({ message, detail, hint }) => notices.push(`${message} ${detail} ${hint}`));
    const { rows } = await client.query(`show backups in 'external://shelf'`);
    for (const { path } of rows) assert.ok(existsSync(join(shelf(), path, 'BACKUP_MANIFEST')));
    const folders = readdirSync(shelf(), { recursive: true, withFileTypes: true }).filter(
      (entry) => entry.isFile() && entry.name.startsWith('BACKUP-LOCK'),
    );
    const debris = folders
      .map(({ parentPath }) => parentPath.slice(shelf().length))
      .filter((folder) => !existsSync(join(shelf(), folder, 'BACKUP_MANIFEST')));
    for (const folder of debris) assert.match(notices.join('\n'), new RegExp(folder.replaceAll('.', '\\.')));
    for (const folder of debris) rmSync(join(shelf(), folder), { recursive: true });
  });

  test('two backups of a collection at once, beside tables that come and go', async () => {
    const writer = await connect(server.connectionString('source'));
    let going = true;
    const churn = (async () => {
      for (let at = 0; going; at++) {
        await writer.query(`create table coming${at} as select 1 as a`);
        await writer.query(`drop table coming${at}`);
        await sleep(20);
      }
    })();
    const listed = (await client.query(`show backups in 'external://shelf'`)).rowCount!;
    const ids = [
      await begin(`backup database source into 'external://shelf' with detached`),
      await begin(`backup database source into 'external://shelf' with detached`),
    ];
    const ends = await Promise.all(ids.map(endOf));
    going = false;
    await churn;
    for (const { status, error } of ends) assert.equal(status, 'succeeded', error);
    assert.equal((await client.query(`show backups in 'external://shelf'`)).rowCount, listed + 2);
    await client.query(`show backup from latest in 'external://shelf' with check_files`);
  });
});
