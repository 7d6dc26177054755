/** `nodelocal://N` across two PgPiers of one catalog, as clients use it, and what happens when a node is away or a stranger. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, utimesSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { openCatalog } from '../../catalog/catalog.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { nodeRequest } from '../../protocol/frontend/nodeRequest.ts';
import { readObject, rejectsWith, writeObject } from '../external/storageContract.ts';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { freePort, missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { descendantsRunning } from '../servers/processes.ts';

const main = fileURLToPath(new URL('../../server/main.ts', import.meta.url));
const key = randomBytes(32).toString('base64');

describe('two nodes', { skip: missingPostgres(15) }, () => {
  let postgres: Postgres;
  let ports: readonly [number, number];
  let one: Pgpier;
  let two: Pgpier;
  let client: pg.Client;

  const startNode = (id: 1 | 2, env: Record<string, string> = {}): Promise<Pgpier> => {
    const other = id === 1 ? 2 : 1;
    return startPgpier({
      backend: postgres,
      env: {
        PGPIER_NODE_ID: String(id),
        PGPIER_LISTEN: `127.0.0.1:${ports[id - 1]}`,
        PGPIER_PEERS: `${other}=127.0.0.1:${ports[other - 1]}`,
        PGPIER_SECRET_KEY: key,
        ...env,
      },
    });
  };
  const connected = async (to: Pgpier, database = 'postgres', user = 'postgres'): Promise<pg.Client> => {
    const made = new pg.Client({ connectionString: to.connectionString(database, user) });
    made.on('error', () => {});
    await made.connect();
    return made;
  };
  const files = (node: Pgpier, path: string): string[] => {
    const folder = join(node.externalDirectory, path);
    if (!existsSync(folder)) return [];
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ name }) => name);
  };

  before(async () => {
    postgres = await startPostgres({ version: 15 });
    ports = [await freePort(), await freePort()];
    [one, two] = await Promise.all([startNode(1), startNode(2, { PGPIER_RELAYS: '2', PGPIER_WORKERS: '0' })]);
    client = await connected(one);
    await client.query('create database movr');
    const movr = await connected(one, 'movr');
    await movr.query('create table rides as select n as id, repeat(md5(n::text), 20) as note from generate_series(1, 20000) n');
    await movr.end();
  });
  after(async () => {
    await client?.end();
    await Promise.all([one?.stop(), two?.stop()]);
    await postgres?.stop();
  });

  test('EXPORT, BACKUP, SHOW BACKUP and RESTORE use the files of the other one', async () => {
    const exported = await client.query("export into csv 'nodelocal://2/exports' from select n from generate_series(1, 10) n");
    const name = exported.rows[0].filename as string;
    assert.match(name, /-n1\.0\.csv$/);
    assert.equal(readFileSync(join(two.externalDirectory, 'exports', name), 'utf8'), '1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n');
    assert.deepEqual(files(one, 'exports'), []);

    await client.query("create external connection other as 'nodelocal://2/backups'");
    assert.deepEqual(files(two, 'backups'), ['crdb_external_storage_location']);
    // Node 2 carries no jobs out: a worker of node 1 does, after having left it the chance.
    const { rows } = await client.query("backup database movr into 'external://other'");
    assert.equal(rows[0].status, 'succeeded');
    assert.ok(files(two, 'backups').length > 3);
    assert.deepEqual(files(one, 'backups'), []);
    const shown = await client.query("show backup from latest in 'external://other' with check_files");
    assert.ok(shown.rows.some((row) => row.object_name === 'rides' && Number(row.rows) === 20000));
    // The same place by the other node's own name for it.
    const there = await connected(two);
    const same = await there.query("show backups in 'nodelocal://self/backups'");
    assert.equal(same.rowCount, 1);
    await there.end();
    await client.query("restore database movr from latest in 'external://other' with new_db_name = 'movr2'");
    const copy = await connected(one, 'movr2');
    assert.equal((await copy.query('select count(*)::int as n from rides')).rows[0].n, 20000);
    await copy.end();
    await client.query('drop database movr2');
  });

  test('a job of self stays with the files of the node that it was begun at, whoever carries it out', async () => {
    const there = await connected(two);
    const { rows } = await there.query("backup database movr into 'nodelocal://self/own'");
    assert.equal(rows[0].status, 'succeeded');
    const { rows: jobs } = await client.query(`show job ${rows[0].job_id}`);
    assert.equal(jobs[0].coordinator_id, '1');
    assert.ok(files(two, 'own').length > 3);
    assert.deepEqual(files(one, 'own'), []);
    await there.end();
  });

  test('CHECK EXTERNAL CONNECTION names the node whose files it tried', async () => {
    const { rows } = await client.query("check external connection 'nodelocal://2/check' with transfer = '4MiB'");
    assert.deepEqual([rows[0].node, rows[0].ok, rows[0].error, rows[0].can_delete], ['2', true, null, true]);
    const here = await client.query("check external connection 'nodelocal://self/check' with transfer = '1KiB'");
    assert.equal(here.rows[0].node, '1');
    assert.deepEqual(files(two, 'check'), []);
  });

  test('rights are looked at where the statement is', async () => {
    await client.query('create role nobody_special login');
    const user = await connected(one, 'postgres', 'nobody_special');
    await assert.rejects(user.query("export into csv 'nodelocal://2/x' from select 1"), { code: '42501' });
    await user.end();
  });

  test('a node that is not known, a path that leads out, and a place that cannot be written are clear errors', async () => {
    await assert.rejects(client.query("export into csv 'nodelocal://3/x' from select 1"), {
      code: '42704',
      message: 'nodelocal: node 3 is not known here',
      hint: "PGPIER_PEERS says where other nodes are; 'self' is the node that does the work.",
    });
    await assert.rejects(client.query("export into csv 'nodelocal://2/../x' from select 1"), { code: '42501' });
    await client.query("export into csv 'nodelocal://2/plain' from select 1");
    const [name] = files(two, 'plain');
    await assert.rejects(client.query(`export into csv 'nodelocal://2/plain/${name}' from select 1`), {
      code: '58P02',
      message: /^a file is where a folder is needed/,
    });
  });

  test('an EXPORT that is cancelled leaves nothing over there', async () => {
    const { rows } = await client.query('select pg_backend_pid() as pid');
    const running = assert.rejects(
      client.query(
        "export into csv 'nodelocal://2/cancelled' from select repeat('x', 1000), pg_sleep(0.001) from generate_series(1, 100000)",
      ),
      { code: '57014' },
    );
    for (let waited = 0; files(two, 'cancelled').length === 0 && waited < 10_000; waited += 50) await sleep(50);
    assert.ok(files(two, 'cancelled').length > 0);
    const other = await connected(one);
    await cancel(one, client, rows[0].pid);
    await other.end();
    await running;
    assert.deepEqual(files(two, 'cancelled'), []);
  });

  test('who has another key, or none, is turned away, and what nodes say to each other cannot be read', async () => {
    const address = { host: '127.0.0.1', port: ports[1] };
    const wrong = { nodeId: 1, allowedNetworks: [], peers: { 2: address }, nodeKey: randomBytes(32).toString('base64') };
    const storage = await openStorage({ uri: 'nodelocal://2/x', trusted: true }, wrong);
    await rejectsWith(
      () => readObject(storage, 'y'),
      '28000',
      /^node 2 \(127\.0\.0\.1:\d+\) is no PgPier of this catalog: its key is another$/,
    );
    await storage.close();
    // Plain HTTP behind the request is nothing that the other side takes.
    const socket = connectSocket(address.port, address.host);
    socket.write(nodeRequest());
    socket.once('data', () => socket.write('GET /list?node=2&base=%2F&prefix= HTTP/1.1\r\nHost: x\r\n\r\n'));
    const received: Buffer[] = [];
    socket.on('data', (chunk) => received.push(chunk)).on('error', () => {});
    await new Promise((resolve) => socket.once('close', resolve));
    assert.equal(Buffer.concat(received)[0], 'P'.charCodeAt(0));
    assert.doesNotMatch(String(Buffer.concat(received)), /HTTP|json/);
  });

  test('an address where another node is, or PostgreSQL, or nothing, is told', async () => {
    const catalog = await openCatalog({
      service: { host: postgres.socketDir, port: postgres.port, user: 'postgres', database: 'postgres' },
      secretKey: { kind: 'value', value: key },
      log: { info() {}, warn() {}, error() {} },
    });
    const nodeKey = await catalog.nodeKey();
    await catalog.close();
    const alone = await startPgpier({ backend: postgres, env: { PGPIER_NODE_ID: '7', PGPIER_SECRET_KEY: key } });
    const at = (port: number) =>
      openStorage(
        { uri: 'nodelocal://5/x', trusted: true },
        { nodeId: 1, allowedNetworks: [], peers: { 5: { host: '127.0.0.1', port } }, nodeKey },
      );
    try {
      await rejectsWith(async () => readObject(await at(ports[1]), 'y'), '08001', /what answers at the address of node 5 is node 2$/);
      await rejectsWith(
        async () => readObject(await at(alone.port), 'y'),
        '08P01',
        /^node 5 \(.*\) does not serve its files to other nodes$/,
      );
      await rejectsWith(
        async () => writeObject(await at(await freePort()), 'y', 'z'),
        '08001',
        /^cannot reach node 5 \(.*\): ECONNREFUSED$/,
      );
    } finally {
      await alone.stop();
    }
  });

  test('a worker without a proxy reaches the files of the nodes that it knows', async (t) => {
    const four = await startPgpier({
      backend: postgres,
      env: { PGPIER_NODE_ID: '4', PGPIER_PEERS: '3=127.0.0.1:9', PGPIER_WORKERS: '0', PGPIER_SECRET_KEY: key },
    });
    t.after(() => four.stop());
    const worker = spawn(process.execPath, [main, 'worker'], {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        PATH: process.env.PATH,
        HOME: four.dataDirectory,
        PGPIER_BACKEND: `postgres://postgres@/postgres?host=${encodeURIComponent(postgres.socketDir)}&port=${postgres.port}`,
        PGPIER_TRUST_BACKEND: 'on',
        PGPIER_NODE_ID: '3',
        PGPIER_PEERS: `4=127.0.0.1:${four.port}`,
        PGPIER_DATA: join(four.dataDirectory, 'worker'),
        PGPIER_SECRET_KEY: key,
      },
    });
    t.after(() => worker.kill('SIGKILL'));
    await once(worker.stdout, 'data');
    const there = await connected(four);
    const { rows } = await there.query("backup database movr into 'nodelocal://self/by-worker'");
    assert.equal(rows[0].status, 'succeeded');
    const { rows: jobs } = await there.query(`show job ${rows[0].job_id}`);
    assert.equal(jobs[0].coordinator_id, '3');
    assert.ok(files(four, 'by-worker').length > 3);
    await there.end();
  });

  test('a node that dies in the middle is an error of class 08, and what its process left it removes by and by', async () => {
    const stuck = assert.rejects(
      client.query("export into csv 'nodelocal://2/dying' from select repeat('x', 1000), pg_sleep(0.001) from generate_series(1, 100000)"),
      (error: pg.DatabaseError) => {
        assert.match(error.code ?? '', /^08/);
        assert.match(error.message, /node 2 \(127\.0\.0\.1:\d+\)/);
        return true;
      },
    );
    for (let waited = 0; files(two, 'dying').length === 0 && waited < 10_000; waited += 50) await sleep(50);
    const [pid] = fileProcesses(two.pid);
    assert.ok(pid !== undefined, 'the process that serves files');
    for (const each of fileProcesses(two.pid)) process.kill(each, 'SIGKILL');
    await stuck;
    const debris = files(two, 'dying');
    assert.deepEqual(
      debris.map((name) => name.slice(0, 16)),
      ['.pgpier-partial-'],
    );
    const daysAgo = new Date(Date.now() - 4 * 24 * 3_600_000);
    utimesSync(join(two.externalDirectory, 'dying', debris[0]!), daysAgo, daysAgo);
    // A new process serves the next request, and looks around.
    await sleep(1_200);
    const { rows } = await client.query("check external connection 'nodelocal://2/check' with transfer = '1KiB'");
    assert.deepEqual([rows[0].node, rows[0].ok], ['2', true], rows[0].error);
    for (let waited = 0; files(two, 'dying').length > 0 && waited < 10_000; waited += 50) await sleep(50);
    assert.deepEqual(files(two, 'dying'), []);
  });

  test('a node that is away: statements fail, jobs wait for it and go on', async () => {
    const started = Date.now();
    await two.stop();
    assert.ok(Date.now() - started < 15_000, 'SIGTERM ends a node that others are connected to');
    const { rows } = await client.query("check external connection 'nodelocal://2/check' with transfer = '1KiB'");
    assert.deepEqual([rows[0].node, rows[0].ok], ['2', false]);
    assert.match(rows[0].error, /^cannot reach node 2 \(127\.0\.0\.1:\d+\): ECONNREFUSED$/);
    const job = (await client.query("backup database movr into 'nodelocal://2/later' with detached")).rows[0].job_id;
    await sleep(4_000);
    const status = async () => (await client.query(`show job ${job}`)).rows[0].status;
    assert.equal(await status(), 'pending');
    two = await startNode(2, { PGPIER_WORKERS: '0' });
    await client.query(`show job when complete ${job}`);
    assert.equal(await status(), 'succeeded');
    assert.ok(files(two, 'later').length > 3);
  });
});

async function cancel(node: Pgpier, client: pg.Client, pid: number): Promise<void> {
  const { secretKey } = client as unknown as { secretKey: number };
  const packet = Buffer.alloc(16);
  for (const [at, value] of [16, 80877102, pid, secretKey].entries()) packet.writeInt32BE(value, at * 4);
  const socket = connectSocket(node.port, node.host);
  socket.end(packet);
  await new Promise((resolve) => socket.once('close', resolve));
}

/** Children of a PgPier that serve files to other nodes. */
const fileProcesses = (pid: number): number[] => descendantsRunning(pid, 'fileProcessMain');
