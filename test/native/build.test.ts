/** The addon's build, and what PgPier does where there is none: an installation never fails for it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { chosenForwardPath } from '../../server/native/chosenForwardPath.ts';
import { NativeLinks } from '../../server/native/nativeLinks.ts';
import { missingCompiler } from './compiler.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const missing = missingCompiler();

describe('the build of the addon', { skip: missing }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'pgpier-build-'));
  after(() => rmSync(directory, { recursive: true, force: true }));
  const native = join(directory, 'native');
  cpSync(join(root, 'server', 'native'), native, { recursive: true, filter: (from) => !from.endsWith('/build') });
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'));
  writeFileSync(join(directory, 'package.json'), '{"type":"module"}');
  const build = (env: NodeJS.ProcessEnv = {}) =>
    spawnSync(process.execPath, [join(native, 'build.mjs')], { encoding: 'utf8', env: { ...process.env, ...env } });
  const built = (): string[] => (existsSync(join(native, 'build')) ? readdirSync(join(native, 'build')) : []);

  test('without a compiler it says so in one line, and is no failure', () => {
    const { status, stderr } = build({ CC: join(directory, 'no-such-compiler') });
    assert.equal(status, 0);
    assert.match(stderr, /^pgpier: no native forward path, the one in JavaScript is used: there is no C compiler \(.*\)\n$/);
    assert.deepEqual(built(), []);
  });

  test('with sources that do not compile it tells what the compiler said, and leaves nothing half done', () => {
    writeFileSync(join(native, 'broken.c'), '#error this cannot be compiled\n');
    const { status, stderr } = build();
    rmSync(join(native, 'broken.c'));
    assert.equal(status, 0);
    assert.match(stderr, /the one in JavaScript is used: .* failed: [\s\S]*this cannot be compiled/);
    assert.deepEqual(built(), []);
  });

  test('is done once for the same sources, without a warning, and anew for others', () => {
    const first = build();
    assert.equal(first.stderr, 'pgpier: building the native forward path\n');
    const [name] = built();
    assert.match(name!, /^forward-linux-.*\.node$/);
    assert.equal(build().stderr, '');
    writeFileSync(join(native, 'ledger.h'), '/* changed */\n', { flag: 'a' });
    assert.equal(build().stderr, 'pgpier: building the native forward path\n');
    assert.equal(built().length, 1);
    assert.notEqual(built()[0], name);
  });
});

describe('the setting PGPIER_NATIVE', () => {
  const choose = (setting: 'auto' | 'on' | 'off', open: () => NativeLinks) => {
    const lines: string[] = [];
    const chosen = () =>
      chosenForwardPath(setting, { info: (fields, message) => void lines.push(`${message} ${JSON.stringify(fields)}`) }, open);
    return { lines, chosen };
  };
  const absent = (): never => {
    throw new Error("Cannot find module 'forward.node'\nRequire stack:\n- somewhere");
  };

  test('auto takes the addon where it is, and says which forward path is in use', () => {
    const links = new NativeLinks({} as ConstructorParameters<typeof NativeLinks>[0]);
    const there = choose('auto', () => links);
    assert.equal(there.chosen(), links);
    assert.deepEqual(there.lines, ['forward path: native, for sessions without TLS {}']);
    const gone = choose('auto', absent);
    assert.equal(gone.chosen(), undefined);
    assert.equal(gone.lines.length, 1);
    assert.match(gone.lines[0]!, /forward path: JavaScript.*Cannot find module 'forward.node'"}$/);
  });

  test('off does not look for it, on does not start without it', () => {
    const off = choose('off', absent);
    assert.equal(off.chosen(), undefined);
    assert.match(off.lines.join(), /^forward path: JavaScript, as PGPIER_NATIVE says/);
    assert.throws(
      choose('on', absent).chosen,
      /^Error: PGPIER_NATIVE is on, and the native forward path cannot be used: Cannot find module 'forward.node'$/,
    );
  });
});
