/**
 * external/storage/storage.ts as a test. Every provider runs it; `outside` looks at the place with the vendor's own tool. What a provider cannot do by its
 * nature it says in `Abilities`, and then the contract asks that it says so, too.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../errors.ts';
import type { Storage } from '../../external/storage/storage.ts';

export interface Place {
  /** A storage on a folder that nothing else uses; `name` is part of its path. */
  open(name: string): Promise<Storage>;
  readonly outside: {
    /** The object's bytes, read without our code. */
    get(name: string, path: string): Promise<Buffer>;
    put(name: string, path: string, bytes: Buffer): Promise<void>;
    /** Everything that is there, unfinished uploads and temporary files included, also those of `names` on servers that list exact names alone. */
    everything(name: string, ...names: string[]): Promise<string[]>;
    /** A writer's debris, as a process that died leaves it. */
    leaveDebris?(name: string, path: string): Promise<void>;
  };
  /** What keeps the server from being had. */
  readonly missing?: string;
  /** MinIO lists unfinished uploads of an exact name only, so that is all that can be removed there. */
  readonly exactNamesOnly?: boolean;
}

export interface Abilities {
  /** Default: yes. Else `list` is 0A000. */
  readonly listing?: boolean;
  /** Whether it is the storage that keeps what is unfinished, and may remove it; default: yes. Else the server does. */
  readonly partials?: boolean;
  /** Objects for which `ifAbsent` is kept to; default: all. A server may not know the condition, or not for uploads in parts. */
  readonly conditions?: 'all' | 'single requests' | 'none';
  /** Of the object that must pass in less memory than it has; 224 unless the server is slow with large ones. */
  readonly hugeMebibytes?: number;
}

export async function writeObject(storage: Storage, path: string, ...chunks: (Buffer | string)[]): Promise<void> {
  const writer = await storage.write(path);
  try {
    for (const chunk of chunks) await writer.write(Buffer.from(chunk as string));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

export async function readObject(storage: Storage, path: string, options?: Parameters<Storage['read']>[1]): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of storage.read(path, options)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

export async function listPaths(storage: Storage, prefix: string, after?: string): Promise<string[]> {
  const paths: string[] = [];
  for await (const { path } of storage.list(prefix, after === undefined ? {} : { after })) paths.push(path);
  return paths;
}

/** Asserts a PgPierError of this SQLSTATE. */
export async function rejectsWith(work: () => Promise<unknown>, sqlstate: string, text: RegExp): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof PgPierError, String((error as Error).stack));
    assert.match(error.message, text);
    assert.equal(error.data.sqlstate, sqlstate, error.message);
    return true;
  });
}

const mebibyte = 1024 * 1024;
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));

export function runStorageContract(
  provider: string,
  place: () => Place,
  { listing = true, partials = true, conditions = 'all', hugeMebibytes = 224 }: Abilities = {},
): void {
  let made = 0;
  /** What is there, as the storage lists it, or else as others see it. */
  const present = (storage: Storage, name: string, outside: Place['outside']): Promise<string[]> =>
    listing ? listPaths(storage, '') : outside.everything(name).then((paths) => paths.sort(byBytes));
  const test = (
    title: string,
    body: (storage: Storage, name: string, outside: Place['outside'], exactNamesOnly: boolean) => Promise<void>,
  ) =>
    it(title, async (t) => {
      const { missing, open, outside, exactNamesOnly } = place();
      if (missing) return t.skip(`${provider}: ${missing}`);
      const name = `contract-${++made}`;
      const storage = await open(name);
      try {
        await body(storage, name, outside, exactNamesOnly ?? false);
      } finally {
        await storage.close();
      }
    });

  describe(`${provider} keeps the storage contract`, () => {
    test('what is written in pieces is read back as a whole, by us and by others', async (storage, name, outside) => {
      await writeObject(storage, 'a/b.csv', 'one,', '', 'two');
      assert.equal(String(await readObject(storage, 'a/b.csv')), 'one,two');
      assert.equal(String(await outside.get(name, 'a/b.csv')), 'one,two');
    });

    test('an object of no bytes is an object', async (storage, name, outside) => {
      await writeObject(storage, 'empty');
      assert.equal((await readObject(storage, 'empty')).length, 0);
      assert.equal((await readObject(storage, 'empty', { start: 0, end: 10 })).length, 0);
      assert.equal((await outside.get(name, 'empty')).length, 0);
      assert.deepEqual(await present(storage, name, outside), ['empty']);
    });

    test('an object appears at finish, not before', async (storage, name, outside) => {
      const writer = await storage.write('late');
      await writer.write(Buffer.from('x'));
      await rejectsWith(() => outsideOrOurs(storage), '58P01', /object does not exist: "late"/);
      assert.deepEqual(await present(storage, name, outside), []);
      await writer.finish();
      assert.equal(String(await outside.get(name, 'late')), 'x');

      async function outsideOrOurs(from: Storage) {
        await readObject(from, 'late');
      }
    });

    test('an object is replaced as a whole, and an aborted replacement leaves it as it was', async (storage) => {
      await writeObject(storage, 'twice', 'a long first version');
      const writer = await storage.write('twice');
      await writer.write(Buffer.from('second'));
      await writer.abort();
      assert.equal(String(await readObject(storage, 'twice')), 'a long first version');
      await writeObject(storage, 'twice', 'second');
      assert.equal(String(await readObject(storage, 'twice')), 'second');
    });

    const sizes = { all: [10, 20 * mebibyte], 'single requests': [10], none: [] }[conditions];
    for (const size of sizes) {
      test(`an object that must be absent is made once, and what is there stays (${size} bytes)`, async (storage, name, outside) => {
        const path = `absent-${size}`;
        const attempt = async (fill: string): Promise<'made' | 'refused'> => {
          const writer = await storage.write(path, { ifAbsent: true });
          try {
            for (let at = 0; at < size; at += mebibyte) await writer.write(Buffer.alloc(Math.min(size, mebibyte), fill));
            await writer.finish();
            return 'made';
          } catch (error) {
            await writer.abort();
            await rejectsWith(() => Promise.reject(error), '58P02', /there already: "absent-\d+"$/);
            return 'refused';
          }
        };
        assert.deepEqual([await attempt('a'), await attempt('b')], ['made', 'refused']);
        assert.ok((await outside.get(name, path)).equals(Buffer.alloc(size, 'a')));
        await storage.delete(path);
        const together = await Promise.all(['c', 'd', 'e'].map((fill) => attempt(fill)));
        assert.deepEqual(together.toSorted(), ['made', 'refused', 'refused']);
        assert.ok((await outside.get(name, path)).equals(Buffer.alloc(size, 'cde'[together.indexOf('made')]!)));
        assert.deepEqual(await present(storage, name, outside), [path]);
      });
    }

    test('abort leaves nothing, before the first byte, after few and after many', async (storage, name, outside) => {
      for (const size of [0, 10, 20 * mebibyte]) {
        const writer = await storage.write(`gone-${size}`);
        for (let at = 0; at < size; at += mebibyte) await writer.write(Buffer.alloc(Math.min(size, mebibyte), at));
        await writer.abort();
        await writer.abort();
        await assert.rejects(() => writer.write(Buffer.from('x')), PgPierError);
        await assert.rejects(() => writer.finish(), PgPierError);
        assert.deepEqual(await outside.everything(name, `gone-${size}`), []);
      }
    });

    test('20 MiB stream through in order, in chunks of any size', async (storage, name, outside) => {
      const hash = createHash('sha256');
      const writer = await storage.write('big/stream.bin');
      for (let index = 0; index < 320; index++) {
        const chunk = Buffer.alloc(65_537, `${index}-`);
        hash.update(chunk);
        await writer.write(chunk);
      }
      await writer.write(Buffer.alloc(18 * mebibyte, 'one large chunk'));
      hash.update(Buffer.alloc(18 * mebibyte, 'one large chunk'));
      await writer.finish();
      const expected = hash.digest('hex');
      const back = createHash('sha256');
      for await (const chunk of storage.read('big/stream.bin')) back.update(chunk);
      assert.equal(back.digest('hex'), expected);
      const seen = await outside.get(name, 'big/stream.bin');
      assert.equal(createHash('sha256').update(seen).digest('hex'), expected);
    });

    test('an object passes through in less memory than it has, with a slow reader too', async (storage) => {
      const size = hugeMebibytes;
      const before = process.memoryUsage().rss;
      let peak = before;
      const look = () => {
        peak = Math.max(peak, process.memoryUsage().rss);
      };
      const writer = await storage.write('huge');
      for (let index = 0; index < size; index++) {
        await writer.write(Buffer.alloc(mebibyte, index));
        look();
      }
      await writer.finish();
      let bytes = 0;
      for await (const chunk of storage.read('huge')) {
        if (bytes === 0) await sleep(300);
        bytes += chunk.length;
        look();
      }
      assert.equal(bytes, size * mebibyte);
      await storage.delete('huge');
      assert.ok(peak - before < 100 * mebibyte, `grew by ${Math.round((peak - before) / mebibyte)} MiB`);
    });

    test('ranges have the bytes from start up to end, and none behind the end', async (storage) => {
      await writeObject(storage, 'digits', '0123456789');
      const range = async (start?: number, end?: number) =>
        String(await readObject(storage, 'digits', { ...(start === undefined ? {} : { start }), ...(end === undefined ? {} : { end }) }));
      assert.equal(await range(3), '3456789');
      assert.equal(await range(3, 5), '34');
      assert.equal(await range(undefined, 1), '0');
      assert.equal(await range(8, 100), '89');
      assert.equal(await range(10), '');
      assert.equal(await range(50, 60), '');
      assert.equal(await range(4, 4), '');
    });

    test('a reader may leave early', async (storage) => {
      await writeObject(storage, 'long', Buffer.alloc(4 * mebibyte, 'x'));
      for await (const chunk of storage.read('long')) {
        assert.ok(chunk.length > 0);
        break;
      }
      assert.equal((await readObject(storage, 'long', { start: 1, end: 3 })).length, 2);
    });

    test('a missing object is 58P01 with its path, in a range too', async (storage) => {
      await rejectsWith(() => readObject(storage, 'no/such'), '58P01', /object does not exist: "no\/such"/);
      await rejectsWith(() => readObject(storage, 'no/such', { start: 2, end: 2 }), '58P01', /object does not exist/);
    });

    if (!listing)
      test('what cannot be listed says so', async (storage) => {
        await rejectsWith(() => listPaths(storage, ''), '0A000', /has no listing$/);
      });

    const ifListed = listing ? test : () => {};
    ifListed('1,100 objects and more are listed across pages, in the order of their bytes', async (storage, name, outside) => {
      const paths = Array.from({ length: 1_105 }, (_, index) => `n/${String(index).padStart(5, '0')}.csv`);
      paths.push('n/00003-x', 'n-a', 'na', 'n/00003/deep');
      for (let at = 0; at < paths.length; at += 8) {
        await Promise.all(paths.slice(at, at + 8).map((path) => outside.put(name, path, Buffer.from('z'))));
      }
      paths.sort(byBytes);
      assert.deepEqual(await listPaths(storage, ''), paths);
      assert.deepEqual(await listPaths(storage, 'n/00003'), ['n/00003-x', 'n/00003.csv', 'n/00003/deep']);
      assert.deepEqual(
        await listPaths(storage, 'n/'),
        paths.filter((path) => path.startsWith('n/')),
      );
      assert.deepEqual(await listPaths(storage, 'nothing/here'), []);
      for (const [prefix, after] of [
        ['', 'n/00500.csv'],
        ['n/', 'n/00003'],
        ['n/', 'n/00003/'],
        ['', 'n/00003/deep'],
        ['', 'n-'],
        ['n/0', 'm'],
        ['n/0', 'o'],
        ['n', 'n/é'],
      ] as const) {
        const behind = paths.filter((path) => path.startsWith(prefix) && path > after);
        assert.deepEqual(await listPaths(storage, prefix, after), behind, `${prefix} after ${after}`);
      }
    });

    ifListed('sizes are in bytes, and a place where nothing was written is empty', async (storage) => {
      assert.deepEqual(await listPaths(storage, ''), []);
      await writeObject(storage, 'five', 'éé!');
      for await (const object of storage.list('')) assert.deepEqual(object, { path: 'five', size: 5 });
    });

    test('names keep blanks, accents, quotes, plus, percent and question marks', async (storage, name, outside) => {
      const paths = [
        'a b/c d.csv',
        'é/日本.csv',
        'x+y&z=1.csv',
        '100%25.csv',
        'it\'s "so".csv',
        'q?r#s.csv',
        '~!@$()[]{};,^.csv',
        '-',
        '...',
      ];
      for (const path of paths) await writeObject(storage, path, `text of ${path}`);
      for (const path of paths) {
        assert.equal(String(await readObject(storage, path)), `text of ${path}`);
        assert.equal(String(await outside.get(name, path)), `text of ${path}`);
      }
      assert.deepEqual(await present(storage, name, outside), paths.sort(byBytes));
      for (const path of paths) await storage.delete(path);
      assert.deepEqual(await present(storage, name, outside), []);
    });

    test('paths that are no names are refused: .., ., empty segments, control characters', async (storage) => {
      for (const path of ['..', '../x', 'a/../b', './a', 'a//b', '/a', 'a/', '', 'a\0b', 'a\nb']) {
        await rejectsWith(() => storage.write(path), '22023', /^invalid path/);
        await rejectsWith(() => readObject(storage, path), '22023', /^invalid path/);
        await rejectsWith(() => storage.delete(path), '22023', /^invalid path/);
      }
    });

    test('delete removes one object, and a missing one is no error', async (storage, name, outside) => {
      await writeObject(storage, 'x/1', 'a');
      await writeObject(storage, 'x/2', 'b');
      await storage.delete('x/1');
      await storage.delete('x/1');
      await storage.delete('never/was');
      assert.deepEqual(await present(storage, name, outside), ['x/2']);
    });

    if (!partials)
      test('there is nothing unfinished to remove', async (storage) => {
        assert.equal(await storage.removePartial(''), 0);
      });

    const ifPartials = partials ? test : () => {};
    ifPartials('removePartial removes the debris below its prefix and nothing else', async (storage, name, outside, exactNamesOnly) => {
      const [first, second] = exactNamesOnly ? ['job-1/half', 'job-2/half'] : ['job-1/', ''];
      await writeObject(storage, 'job-1/done', 'kept');
      await outside.leaveDebris!(name, 'job-1/half');
      await outside.leaveDebris!(name, 'job-2/half');
      assert.deepEqual(await listPaths(storage, ''), ['job-1/done']);
      assert.equal((await outside.everything(name, 'job-1/half', 'job-2/half')).length, 3);
      assert.equal(await storage.removePartial(first!, { before: new Date(Date.now() - 3_600_000) }), 0);
      assert.equal(await storage.removePartial(first!), 1);
      assert.equal(await storage.removePartial(first!), 0);
      assert.equal((await outside.everything(name, 'job-1/half', 'job-2/half')).length, 2);
      assert.equal(await storage.removePartial(second!), 1);
      assert.deepEqual(await outside.everything(name, 'job-1/half', 'job-2/half'), ['job-1/done']);
    });

    test('a cancelled write is 57014 and leaves nothing after abort', async (storage, name, outside) => {
      const controller = new AbortController();
      const writer = await storage.write('cancelled', { signal: controller.signal });
      await writer.write(Buffer.alloc(9 * mebibyte));
      controller.abort();
      await rejectsWith(() => writer.finish(), '57014', /^canceled/);
      await writer.abort();
      assert.deepEqual(await outside.everything(name, 'cancelled'), []);
    });

    test('a cancelled read is 57014', async (storage) => {
      await writeObject(storage, 'long', Buffer.alloc(12 * mebibyte));
      const controller = new AbortController();
      await rejectsWith(
        async () => {
          for await (const _ of storage.read('long', { signal: controller.signal })) controller.abort();
        },
        '57014',
        /^canceled/,
      );
    });

    test('writers of different objects work side by side', async (storage) => {
      const work = Array.from({ length: 12 }, (_, index) => writeObject(storage, `p/${index}`, Buffer.alloc(300_000, index)));
      await Promise.all(work);
      const read = await Promise.all(Array.from({ length: 12 }, (_, index) => readObject(storage, `p/${index}`)));
      for (const [index, bytes] of read.entries()) assert.ok(bytes.equals(Buffer.alloc(300_000, index)), String(index));
    });
  });
}
