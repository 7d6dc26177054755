/** userfile:// by its storage alone: the contract, concurrent readers and writers, what dies. Statements are in userfileStatements.test.ts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Catalog, openCatalog } from '../../catalog/catalog.ts';
import { sweepUserfiles } from '../../catalog/userfiles.ts';
import type { Storage, StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { collectingLog, masterKey } from '../catalog/lab.ts';
import { missingPostgres, type Postgres, startPostgres } from '../servers/postgres.ts';
import { listPaths, readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

const mebibyte = 1024 * 1024;

for (const version of [15, 18] as const)
  describe(`userfile on PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let server: Postgres;
    let catalog: Catalog;
    let tables: pg.Pool;
    let settings: StorageSettings;

    before(async () => {
      server = await startPostgres({ version });
      catalog = await openCatalog({
        service: { connectionString: server.connectionString() },
        secretKey: masterKey,
        log: collectingLog(),
        sweepInterval: 3_600_000,
      });
      tables = new pg.Pool({ connectionString: server.connectionString('pgpier'), max: 4 });
      tables.on('error', () => {});
      const login = { host: server.socketDir, port: server.port, user: 'postgres', password: '', database: 'pgpier' };
      settings = { nodeId: 1, allowedNetworks: [], catalog: { ...login, tls: { kind: 'off' } } };
    });
    after(async () => {
      await tables?.end();
      await catalog?.close();
      await server?.stop();
    });

    const open = (base: string, owner = 10): Promise<Storage> =>
      openStorage({ uri: `userfile:///${base}`, trusted: false, userfile: { owner, name: '' } }, settings);

    /** Rows of every state, by SQL alone. */
    async function rows(where = 'true'): Promise<{ path: string; state: string; chunks: number }[]> {
      const found = await tables.query(
        `select convert_from(path, 'UTF8') as path, state, (select count(*)::int from pgpier.userfile_chunk c where c.file_id = f.file_id) as chunks
         from pgpier.userfile f where ${where} order by f.file_id`,
      );
      return found.rows;
    }

    /** A writer in a process that is killed. */
    async function killedWriter(name: string, path: string, bytes = 4): Promise<void> {
      const script = `
        import { openStorage } from ${JSON.stringify(new URL('../../external/storage/storages.ts', import.meta.url).href)};
        process.once('message', async ({ settings }) => {
          const storage = await openStorage({ uri: 'userfile:///${name}', trusted: false, userfile: { owner: 10, name: '' } }, settings);
          const writer = await storage.write(${JSON.stringify(path)});
          await writer.write(Buffer.alloc(${bytes}));
          process.send('written');
        });`;
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
      child.send({ settings });
      await new Promise((resolve) => child.once('message', resolve));
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('exit', resolve));
    }

    runStorageContract('userfile', () => ({
      open: (name) => open(name),
      outside: {
        async get(name, path) {
          const { rows } = await tables.query(
            `select bytes from pgpier.userfile_chunk c join pgpier.userfile f using (file_id)
             where f.state = 'finished' and f.path = convert_to($1, 'UTF8') order by number`,
            [`${name}/${path}`],
          );
          return Buffer.concat(rows.map(({ bytes }) => bytes));
        },
        async put(name, path, bytes) {
          await tables.query(
            `with f as (insert into pgpier.userfile (prefix_id, path, state, size, chunk_bytes, finished)
               select prefix_id, convert_to($1, 'UTF8'), 'finished', octet_length($2::bytea), 65536, now() from pgpier.userfile_prefix where owner = 10
               returning file_id)
             insert into pgpier.userfile_chunk select file_id, 0, $2 from f`,
            [`${name}/${path}`, bytes],
          );
        },
        everything: async (name) =>
          (await rows())
            .map(({ path }) => path)
            .filter((path) => path.startsWith(`${name}/`))
            .map((path) => path.slice(name.length + 1)),
        leaveDebris: (name, path) => killedWriter(name, path),
      },
    }));

    it('a range asks for its chunks alone, and joins them right', async () => {
      const storage = await open('ranges');
      const content = randomBytes(3 * mebibyte + 17);
      await writeObject(storage, 'x', content);
      const edges = [0, 1, 524_287, 524_288, 524_289, 1_048_576, 3 * mebibyte, 3 * mebibyte + 16, 3 * mebibyte + 17];
      for (const start of edges) {
        for (const end of edges) {
          const expected = start < end ? content.subarray(start, end) : Buffer.alloc(0);
          assert.ok((await readObject(storage, 'x', { start, end })).equals(expected), `${start} to ${end}`);
        }
      }
      await storage.close();
    });

    it('a reader keeps its version while the file is replaced and deleted, and the content goes when it is done', async () => {
      const storage = await open('versions');
      const first = randomBytes(5 * mebibyte);
      await writeObject(storage, 'x', first);
      const parts: Buffer[] = [];
      for await (const chunk of storage.read('x')) {
        if (parts.length === 0) {
          await writeObject(storage, 'x', 'second');
          await storage.delete('x');
          await sweepUserfiles(tables);
          await assert.rejects(readObject(storage, 'x'));
        }
        parts.push(chunk);
      }
      assert.ok(Buffer.concat(parts).equals(first));
      assert.deepEqual(await rows(`path = 'versions/x'`), [{ path: 'versions/x', state: 'removed', chunks: 10 }]);
      await sweepUserfiles(tables);
      assert.deepEqual(await rows(`path = 'versions/x'`), []);
      await storage.close();
    });

    it('readers of a file that is replaced again and again see one version each, whole', async () => {
      const storage = await open('storm');
      await writeObject(storage, 'x', Buffer.alloc(mebibyte, 0));
      let done = false;
      const writers = [1, 2, 3].map(async (writer) => {
        for (let round = 0; round < 15; round++) await writeObject(storage, 'x', Buffer.alloc(mebibyte + round, writer * 16 + round));
      });
      const all = Promise.all(writers).then(() => {
        done = true;
      });
      let read = 0;
      const readers = [1, 2, 3].map(async () => {
        while (!done) {
          const bytes = await readObject(storage, 'x');
          assert.ok(bytes.length >= mebibyte && bytes.every((byte) => byte === bytes[0]), 'versions are mixed');
          read++;
        }
      });
      await Promise.all([all, ...readers]);
      assert.ok(read > 3);
      await sweepUserfiles(tables);
      assert.equal((await rows(`path = 'storm/x'`)).length, 1);
      await storage.close();
    });

    it('a dead writer leaves nothing after a sweep, a live one is left alone', async () => {
      const storage = await open('sweep');
      await killedWriter('sweep', 'dead', 3 * mebibyte);
      const writer = await storage.write('alive');
      await writer.write(Buffer.alloc(mebibyte, 'a'));
      // The server notices within a moment that the process is gone.
      for (let waited = 0; (await rows(`path = 'sweep/dead'`)).length > 0 && waited < 5_000; waited += 100) {
        await sleep(100);
        await sweepUserfiles(tables);
      }
      assert.deepEqual(
        (await rows(`path like 'sweep/%'`)).map(({ path, state }) => [path, state]),
        [['sweep/alive', 'writing']],
      );
      await writer.finish();
      assert.deepEqual(await listPaths(storage, ''), ['alive']);
      await storage.close();
    });

    it('a writer whose file was removed under it fails, and leaves nothing', async () => {
      const storage = await open('under');
      const writer = await storage.write('x');
      await writer.write(Buffer.alloc(mebibyte));
      assert.equal(await storage.removePartial(''), 1);
      await rejectsWith(
        async () => {
          await writer.write(Buffer.alloc(3 * mebibyte));
          await writer.finish();
        },
        '58030',
        /removed while it was written: "x"/,
      );
      await writer.abort();
      assert.deepEqual(await rows(`path like 'under/%'`), []);
      await storage.close();
    });

    it('a reader goes on after its connection is lost; a writer fails and its chunks are swept', async () => {
      const storage = await open('lost');
      const content = randomBytes(6 * mebibyte);
      await writeObject(storage, 'x', content);
      const kill = () =>
        tables.query(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgpier userfile' and datname = 'pgpier'`,
        );
      const parts: Buffer[] = [];
      for await (const chunk of storage.read('x')) {
        if (parts.length === 2) await kill();
        parts.push(chunk);
      }
      assert.ok(Buffer.concat(parts).equals(content));

      const writer = await storage.write('y');
      await writer.write(Buffer.alloc(mebibyte));
      await kill();
      await rejectsWith(
        async () => {
          await writer.write(Buffer.alloc(mebibyte));
          await writer.finish();
        },
        '08001',
        /^cannot reach PgPier's catalog: /,
      );
      await writer.abort();
      assert.deepEqual(await listPaths(storage, ''), ['x']);
      assert.deepEqual(await rows(`path = 'lost/y'`), []);
      await storage.close();
    });

    it('a lost connection and a replaced file together are an error, never a mixture', async () => {
      const storage = await open('mixture');
      await writeObject(storage, 'x', randomBytes(6 * mebibyte));
      await rejectsWith(
        async () => {
          let chunks = 0;
          for await (const _ of storage.read('x')) {
            if (++chunks !== 2) continue;
            await tables.query(
              `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgpier userfile' and datname = 'pgpier'`,
            );
            await writeObject(storage, 'x', 'other');
          }
        },
        '58030',
        /changed while it was read: "x"/,
      );
      await storage.close();
    });

    it('a server that is restarted loses no finished file, even after a crash', async () => {
      const storage = await open('crash');
      const content = randomBytes(2 * mebibyte);
      await writeObject(storage, 'x', content);
      server.kill('SIGQUIT');
      await sleep(200);
      await server.restart();
      assert.ok((await readObject(storage, 'x')).equals(content));
      await storage.close();
    });

    it('a catalog that is down is told so, without text of the server', async () => {
      const down = { ...settings, catalog: { ...settings.catalog!, port: 1 } };
      const storage = await openStorage({ uri: 'userfile:///x', trusted: false, userfile: { owner: 10, name: '' } }, down);
      await rejectsWith(() => readObject(storage, 'x'), '08001', /^cannot reach PgPier's catalog: ENOENT$/);
      await rejectsWith(() => storage.write('x'), '08001', /^cannot reach PgPier's catalog/);
      await storage.close();
    });

    it('owners do not see each other, and a name belongs to the first that wrote there', async () => {
      const [one, two] = [await open('shared', 7001), await open('shared', 7002)];
      await writeObject(one, 'x', 'one');
      assert.deepEqual(await listPaths(two, ''), []);
      await writeObject(two, 'x', 'two');
      assert.equal(String(await readObject(one, 'x')), 'one');
      const named = (owner: number) =>
        openStorage({ uri: 'userfile://db.s.t/p', trusted: false, userfile: { owner, name: 'db.s.t' } }, settings);
      const [mine, theirs] = [await named(7001), await named(7002)];
      assert.deepEqual(await listPaths(theirs, ''), []);
      await writeObject(mine, 'x', 'named');
      await rejectsWith(() => writeObject(theirs, 'x', 'y'), '42501', /permission denied for the files of db\.s\.t/);
      await rejectsWith(() => readObject(theirs, 'x'), '42501', /permission denied/);
      for (const storage of [one, two, mine, theirs]) await storage.close();
    });

    it('names that are too long are refused, long ones are not', async () => {
      const storage = await open('names');
      await rejectsWith(() => storage.write('é'.repeat(512)), '22023', /^name too long/);
      const long = 'é'.repeat(509);
      await writeObject(storage, long, 'x');
      assert.deepEqual(await listPaths(storage, ''), [long]);
      await storage.close();
    });
  });
