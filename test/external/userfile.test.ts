/** userfile:// beyond the contract: concurrent readers and writers, what dies, whose files. Statements are in test/commands/userfile.test.ts. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sweep } from '../../catalog/sweep.ts';
import { sweepUserfiles } from '../../catalog/userfiles.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { collectingLog } from '../catalog/lab.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { listPaths, readObject, rejectsWith, writeObject } from './storageContract.ts';
import { UserfileLab } from './userfileLab.ts';

const mebibyte = 1024 * 1024;

for (const version of [15, 18] as const)
  describe(`userfile on PostgreSQL ${version}`, { skip: missingPostgres(version) }, () => {
    let lab: UserfileLab;
    before(async () => {
      lab = await UserfileLab.start(version);
    });
    after(() => lab?.stop());

    it('a range asks for its chunks alone, and joins them right', async () => {
      const storage = await lab.open('ranges');
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
      const storage = await lab.open('versions');
      const first = randomBytes(5 * mebibyte);
      await writeObject(storage, 'x', first);
      const parts: Buffer[] = [];
      for await (const chunk of storage.read('x')) {
        if (parts.length === 0) {
          await writeObject(storage, 'x', 'second');
          await storage.delete('x');
          await sweepUserfiles(lab.tables);
          await assert.rejects(readObject(storage, 'x'));
        }
        parts.push(chunk);
      }
      assert.ok(Buffer.concat(parts).equals(first));
      assert.deepEqual(await lab.rows(`path = 'versions/x'`), [{ path: 'versions/x', state: 'removed', chunks: 10 }]);
      await sweepUserfiles(lab.tables);
      assert.deepEqual(await lab.rows(`path = 'versions/x'`), []);
      await storage.close();
    });

    it('readers of a file that is replaced again and again see one version each, whole', async () => {
      const storage = await lab.open('storm');
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
      await sweepUserfiles(lab.tables);
      assert.equal((await lab.rows(`path = 'storm/x'`)).length, 1);
      await storage.close();
    });

    it('a dead writer leaves nothing after a sweep, a live one is left alone', async () => {
      const storage = await lab.open('sweep');
      await lab.killedWriter('sweep', 'dead', 3 * mebibyte);
      const writer = await storage.write('alive');
      await writer.write(Buffer.alloc(mebibyte, 'a'));
      // The server notices within a moment that the process is gone.
      for (let waited = 0; (await lab.rows(`path = 'sweep/dead'`)).length > 0 && waited < 5_000; waited += 100) {
        await sleep(100);
        await sweepUserfiles(lab.tables);
      }
      assert.deepEqual(
        (await lab.rows(`path like 'sweep/%'`)).map(({ path, state }) => [path, state]),
        [['sweep/alive', 'writing']],
      );
      await writer.finish();
      assert.deepEqual(await listPaths(storage, ''), ['alive']);
      await storage.close();
    });

    it('a writer whose file was removed under it fails, and leaves nothing', async () => {
      const storage = await lab.open('under');
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
      assert.deepEqual(await lab.rows(`path like 'under/%'`), []);
      await storage.close();
    });

    it('a reader goes on after its connection is lost; a writer fails and its chunks are swept', async () => {
      const storage = await lab.open('lost');
      const content = randomBytes(6 * mebibyte);
      await writeObject(storage, 'x', content);
      const parts: Buffer[] = [];
      for await (const chunk of storage.read('x')) {
        if (parts.length === 2) await lab.endSessions();
        parts.push(chunk);
      }
      assert.ok(Buffer.concat(parts).equals(content));

      const writer = await storage.write('y');
      await writer.write(Buffer.alloc(mebibyte));
      await lab.endSessions();
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
      assert.deepEqual(await lab.rows(`path = 'lost/y'`), []);
      await storage.close();
    });

    it('a lost connection and a replaced file together are an error, never a mixture', async () => {
      const storage = await lab.open('mixture');
      await writeObject(storage, 'x', randomBytes(6 * mebibyte));
      await rejectsWith(
        async () => {
          let chunks = 0;
          for await (const _ of storage.read('x')) {
            if (++chunks !== 2) continue;
            await lab.endSessions();
            await writeObject(storage, 'x', 'other');
          }
        },
        '58030',
        /changed while it was read: "x"/,
      );
      await storage.close();
    });

    it('a server that is restarted loses no finished file, even after a crash', async () => {
      const storage = await lab.open('crash');
      const content = randomBytes(2 * mebibyte);
      await writeObject(storage, 'x', content);
      lab.server.kill('SIGQUIT');
      await sleep(200);
      await lab.server.restart();
      assert.ok((await readObject(storage, 'x')).equals(content));
      await storage.close();
    });

    it('a catalog that is down is told so, without text of the server', async () => {
      const down = { ...lab.settings, catalog: { ...lab.settings.catalog!, port: 1 } };
      const storage = await openStorage({ uri: 'userfile:///x', trusted: false, userfile: { owner: 10, name: '' } }, down);
      await rejectsWith(() => readObject(storage, 'x'), '08001', /^cannot reach PgPier's catalog: ENOENT$/);
      await rejectsWith(() => storage.write('x'), '08001', /^cannot reach PgPier's catalog/);
      await storage.close();
    });

    it('owners do not see each other, and a name belongs to the first that wrote there', async () => {
      const [one, two] = [await lab.open('shared', 7001), await lab.open('shared', 7002)];
      await writeObject(one, 'x', 'one');
      assert.deepEqual(await listPaths(two, ''), []);
      await writeObject(two, 'x', 'two');
      assert.equal(String(await readObject(one, 'x')), 'one');
      const named = (owner: number) =>
        openStorage({ uri: 'userfile://db.s.t/p', trusted: false, userfile: { owner, name: 'db.s.t' } }, lab.settings);
      const [mine, theirs] = [await named(7001), await named(7002)];
      assert.deepEqual(await listPaths(theirs, ''), []);
      await writeObject(mine, 'x', 'named');
      await rejectsWith(() => writeObject(theirs, 'x', 'y'), '42501', /permission denied for the files of db\.s\.t/);
      await rejectsWith(() => readObject(theirs, 'x'), '42501', /permission denied/);
      for (const storage of [one, two, mine, theirs]) await storage.close();
    });

    it('names that are too long are refused, long ones are not', async () => {
      const storage = await lab.open('names');
      await rejectsWith(() => storage.write('é'.repeat(512)), '22023', /^name too long/);
      const long = 'é'.repeat(509);
      await writeObject(storage, long, 'x');
      assert.deepEqual(await listPaths(storage, ''), [long]);
      await storage.close();
    });

    it('a server that logs every statement logs no content', async () => {
      const storage = await lab.open('logged');
      await lab.tables.query('alter system set log_min_duration_statement = 0');
      await lab.tables.query('select pg_reload_conf()');
      try {
        await sleep(200);
        await writeObject(storage, 'x', 'CONFIDENTIAL');
        await readObject(storage, 'x');
      } finally {
        await lab.tables.query('alter system reset log_min_duration_statement');
        await lab.tables.query('select pg_reload_conf()');
        await storage.close();
      }
      const log = readFileSync(lab.server.logFile, 'utf8');
      assert.match(log, /insert into pgpier\.userfile_chunk/);
      assert.ok(!log.includes(Buffer.from('CONFIDENTIAL').toString('hex')) && !log.includes('CONFIDENTIAL'));
    });

    it('the sweep keeps the files of a dropped role under a name for admins, and touches no others', async () => {
      const role = async (name: string) => {
        await lab.catalog.service.query(`create role ${name}`);
        const [found] = await lab.catalog.service.query<{ oid: number }>(`select oid from pg_catalog.pg_roles where rolname = '${name}'`);
        return found!.oid;
      };
      const [stays, goes] = [await role('stays'), await role('goes')];
      for (const owner of [stays, goes]) {
        const storage = await lab.open('backups', owner);
        await writeObject(storage, 'x', `of ${owner}`);
        await storage.close();
      }
      await lab.catalog.service.query('drop role goes');
      // Owners of the other tests are no roles.
      await sweep(lab.tables, lab.catalog.service, collectingLog());
      const { rows } = await lab.tables.query('select name from pgpier.userfile_prefix where owner = 0 and name like $1', [
        `pgpier.dropped.${goes}\\_%`,
      ]);
      assert.equal(rows.length, 1);
      const kept = await openStorage(
        { uri: 'userfile:///backups', trusted: true, userfile: { owner: 0, name: rows[0].name } },
        lab.settings,
      );
      assert.equal(String(await readObject(kept, 'x')), `of ${goes}`);
      await kept.close();
      const mine = await lab.open('backups', stays);
      assert.equal(String(await readObject(mine, 'x')), `of ${stays}`);
      await mine.close();
      const again = await lab.open('backups', goes);
      assert.deepEqual(await listPaths(again, ''), []);
      await again.close();
    });
  });
