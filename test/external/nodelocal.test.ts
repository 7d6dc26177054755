import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import files from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { after, describe, it } from 'node:test';
import { checkStorage, markerName, markerText } from '../../external/storage/check.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { openStorage } from '../../external/storage/storages.ts';
import { listPaths, readObject, rejectsWith, runStorageContract, writeObject } from './storageContract.ts';

const home = mkdtempSync(join(tmpdir(), 'pgp-nodelocal-'));
const externalDir = join(home, 'extern');
const settings: StorageSettings = { externalDir, nodeId: 1, allowedNetworks: [] };
const open = (path: string) => openStorage({ uri: `nodelocal://self/${path}`, trusted: false }, settings);
after(() => rmSync(home, { recursive: true }));

const file = (name: string, path: string) => join(externalDir, name, path);

runStorageContract('nodelocal', () => ({
  open,
  outside: {
    get: async (name, path) => readFileSync(file(name, path)),
    async put(name, path, bytes) {
      mkdirSync(dirname(file(name, path)), { recursive: true });
      writeFileSync(file(name, path), bytes);
    },
    async everything(name) {
      if (!existsSync(join(externalDir, name))) return [];
      return readdirSync(join(externalDir, name), { recursive: true, withFileTypes: true })
        .filter((entry) => !entry.isDirectory())
        .map((entry) => relative(join(externalDir, name), join(entry.parentPath, entry.name)));
    },
    async leaveDebris(name, path) {
      const script = `
        import { openStorage } from ${JSON.stringify(new URL('../../external/storage/storages.ts', import.meta.url).href)};
        const storage = await openStorage({ uri: 'nodelocal://self/${name}', trusted: false }, ${JSON.stringify(settings)});
        const writer = await storage.write(${JSON.stringify(path)});
        await writer.write(Buffer.from('half'));
        process.kill(process.pid, 'SIGKILL');`;
      assert.throws(() => execFileSync(process.execPath, ['--input-type=module', '-e', script], { stdio: 'ignore' }));
    },
  },
}));

describe('nodelocal stays inside the external directory', () => {
  const secret = join(home, 'secret');
  mkdirSync(secret, { recursive: true });
  writeFileSync(join(secret, 'key'), 'top secret');
  mkdirSync(join(externalDir, 'links', 'real'), { recursive: true });
  symlinkSync(secret, join(externalDir, 'links', 'away'));
  symlinkSync(join(secret, 'key'), join(externalDir, 'links', 'key'));
  symlinkSync(join(secret, 'new'), join(externalDir, 'links', 'new'));
  symlinkSync('real', join(externalDir, 'links', 'inside'));

  it('a URI with .. that leaves it is refused, one that does not is cleaned', async () => {
    await rejectsWith(() => open('../secret'), '42501', /^local file access to paths outside of external-io-dir is not allowed/);
    await rejectsWith(() => open('a/../../secret/..'), '42501', /outside of external-io-dir/);
    await rejectsWith(() => open('a/%2e%2e/%2e%2e/secret'), '42501', /outside of external-io-dir/);
    await rejectsWith(() => open('%00'), '22023', /percent-encoded control character/);
    assert.equal((await open('a/../b//./c')).location, 'nodelocal://self/b/c');
  });

  it('a link in the middle of a path is not followed, in the URI or below it, to read, write or delete', async () => {
    for (const [base, path] of [
      ['links/away', 'key'],
      ['links', 'away/key'],
      ['links/inside', 'x'],
      ['links/away/deeper', 'x'],
    ] as const) {
      const storage = await open(base);
      await rejectsWith(() => readObject(storage, path), '42501', /outside of external-io-dir/);
      await rejectsWith(() => storage.write(path), '42501', /outside of external-io-dir/);
      await rejectsWith(() => storage.delete(path), '42501', /outside of external-io-dir/);
    }
    await rejectsWith(async () => listPaths(await open('links/away'), ''), '42501', /outside of external-io-dir/);
    assert.deepEqual(readdirSync(secret), ['key']);
  });

  it('a link at the end is not read, and writing replaces the link, not its target', async () => {
    const storage = await open('links');
    await rejectsWith(() => readObject(storage, 'key'), '42501', /outside of external-io-dir/);
    assert.deepEqual(await listPaths(storage, ''), []);
    await writeObject(storage, 'key', 'mine');
    await writeObject(storage, 'new', 'mine');
    assert.equal(readFileSync(join(secret, 'key'), 'utf8'), 'top secret');
    assert.ok(!existsSync(join(secret, 'new')));
    assert.equal(String(await readObject(storage, 'key')), 'mine');
  });

  it('a folder that is swapped for a link while it is used leads nowhere else', async (t) => {
    if (process.platform !== 'linux') return t.skip('nodelocal: no openat outside Linux');
    const storage = await open('race');
    const writer = await storage.write('dir/file');
    await writer.write(Buffer.from('mine'));
    execFileSync('mv', [join(externalDir, 'race/dir'), join(externalDir, 'race/moved')]);
    symlinkSync(secret, join(externalDir, 'race/dir'));
    await writer.finish();
    assert.deepEqual(readdirSync(secret), ['key']);
    assert.deepEqual(await listPaths(storage, ''), ['moved/file']);
  });

  it('pipes and folders are not read as files, and a file is no folder', async () => {
    const storage = await open('kinds');
    await writeObject(storage, 'folder/file', 'x');
    execFileSync('mkfifo', [join(externalDir, 'kinds/pipe')]);
    await rejectsWith(() => readObject(storage, 'pipe'), '42809', /not a regular file/);
    await rejectsWith(() => readObject(storage, 'folder'), '42809', /not a regular file/);
    await rejectsWith(() => writeObject(storage, 'folder', 'x'), '42809', /not a regular file/);
    await rejectsWith(
      () => writeObject(storage, 'folder/file/x', 'x'),
      '58P02',
      /a file is where a folder is needed: "kinds\/folder\/file"/,
    );
    assert.deepEqual(await listPaths(storage, ''), ['folder/file']);
    assert.equal(await storage.removePartial(''), 0);
  });

  it('folders and files belong to their owner alone', async () => {
    await writeObject(await open('modes'), 'deep/er', 'x');
    assert.equal(statSync(join(externalDir, 'modes/deep')).mode & 0o777, 0o700);
    assert.equal(statSync(join(externalDir, 'modes/deep/er')).mode & 0o777, 0o600);
  });

  it('names that are too long or look like files in the making are refused', async () => {
    const storage = await open('names');
    await rejectsWith(() => storage.write('é'.repeat(120)), '22023', /name too long/);
    await rejectsWith(() => storage.write('a/.pgpier-partial-0123456789abcdef-x'), '22023', /invalid path/);
  });
});

describe('nodelocal answers as CockroachDB does', () => {
  const target = (uri: string) => openStorage({ uri, trusted: false }, settings);

  it('the host must be a node, and one that is known', async () => {
    await rejectsWith(
      () => target('nodelocal:///foo'),
      '22023',
      /must be a node ID \(use 'self' to specify each node should access its own local filesystem\): nodelocal:\/\/\/foo$/,
    );
    await rejectsWith(
      () => target('nodelocal://a/foo'),
      '22023',
      /^invalid `nodelocal` URI: host component of nodelocal URI must be a node ID: nodelocal:\/\/a\/foo$/,
    );
    await rejectsWith(() => target('nodelocal://2/foo'), '42704', /^nodelocal: node 2 is not known here$/);
    await rejectsWith(() => target('nodelocal://1/foo?AUTH=x'), '22023', /^unknown nodelocal query parameters: AUTH$/);
    await target('nodelocal://1/foo');
  });

  it('without an external directory it is off', async () => {
    const { externalDir: _, ...off } = settings;
    await rejectsWith(() => openStorage({ uri: 'nodelocal://1/x', trusted: true }, off), '0A000', /no directory for external files/);
  });

  it('CREATE leaves the marker file, with its exact content', async () => {
    await checkStorage({ uri: 'nodelocal://1/check/me', trusted: false }, settings, AbortSignal.timeout(5_000));
    assert.deepEqual(readdirSync(join(externalDir, 'check/me')), [markerName]);
    assert.equal(markerName, 'crdb_external_storage_location');
    assert.equal(readFileSync(join(externalDir, 'check/me', markerName), 'utf8'), markerText);
    assert.equal(markerText, 'a CockroachDB cluster has been configured to read and write to this location');
  });

  it('a place that cannot be written says which step failed, why, and no XX000', async () => {
    writeFileSync(join(externalDir, 'plain'), '');
    await rejectsWith(
      () => checkStorage({ uri: 'nodelocal://1/plain/x', trusted: false }, settings, AbortSignal.timeout(5_000)),
      '58P02',
      /^failed to write a sentinel ExternalStorage file: a file is where a folder is needed/,
    );
  });

  it('a file system without hard links has no conditions, and says so before anything is there', async (t) => {
    const storage = await target('nodelocal://1/unlinked');
    // EPERM is what Linux says on exFAT through FUSE, ENOTSUP macOS, ENOSYS a FUSE that does not know the call.
    for (const code of ['EPERM', 'ENOTSUP', 'ENOSYS']) {
      const refusal = t.mock.method(files, 'link', () => Promise.reject(Object.assign(new Error(code), { code })));
      syncBuiltinESMExports();
      const writer = await storage.write('once', { ifAbsent: true });
      await writer.write(Buffer.from('x'));
      await rejectsWith(() => writer.finish(), '0A000', /^nodelocal:\/\/1\/unlinked cannot make an object only where there is none$/);
      await writer.abort();
      assert.equal(refusal.mock.callCount(), 1);
      refusal.mock.restore();
      syncBuiltinESMExports();
    }
    assert.deepEqual(readdirSync(join(externalDir, 'unlinked')), []);
  });

  it('a full disk is 53100', async (t) => {
    if (!existsSync('/dev/full')) return t.skip('nodelocal: no /dev/full');
    const small = join(home, 'small');
    mkdirSync(small);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small], { stdio: 'ignore' });
    } catch {
      return t.skip('nodelocal: no right to mount a small file system');
    }
    try {
      const storage = await openStorage({ uri: 'nodelocal://1/x', trusted: false }, { ...settings, externalDir: small });
      const writer = await storage.write('big');
      await rejectsWith(() => writer.write(Buffer.alloc(1024 * 1024)), '53100', /^no space left/);
      await writer.abort();
      assert.deepEqual(readdirSync(join(small, 'x')), []);
    } finally {
      execFileSync('umount', [small]);
    }
  });
});
