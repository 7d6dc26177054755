// Builds the addon: `node server/native/build.mjs`. It is the package's install script, so it runs under any Node that npm runs on; it never fails an installation,
// as the forward path in JavaScript does all that the addon does. Where the addon is, is known by its sources: an old one is never loaded for new sources.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const directory = join(here, 'build');
/** Node exports what the addon calls of libuv and Node-API; the linker need not find it. */
const flags = ['-std=c11', '-O2', '-g', '-Wall', '-Wextra', '-fPIC', '-shared', '-fvisibility=hidden'];

const files = (ending) =>
  readdirSync(here)
    .filter((name) => name.endsWith(ending))
    .sort()
    .map((name) => join(here, name));

/** Where the addon of these sources is, or would be. */
export function addonPath() {
  const hash = createHash('sha256');
  for (const file of [...files('.h'), ...files('.c')]) hash.update(readFileSync(file));
  const name = `forward-${process.platform}-${process.arch}-${hash.digest('hex').slice(0, 16)}.node`;
  return join(directory, name);
}

/** Builds it, if it is not there yet. Never throws; says in one line what it does and what failed, and returns whether there is one. */
export function buildAddon(say) {
  try {
    const missing = build(say);
    if (missing !== undefined) say(`no native forward path, the one in JavaScript is used: ${missing}`);
    return missing === undefined;
  } catch (error) {
    say(`no native forward path, the one in JavaScript is used: ${error.message}`);
    return false;
  }
}

/** Returns why there is no addon, if there is none. */
function build(say) {
  if (process.platform !== 'linux') return 'it is for Linux alone';
  const target = addonPath();
  if (existsSync(target)) return undefined;
  const compiler = process.env.CC || 'cc';
  if (spawnSync(compiler, ['--version'], { stdio: 'ignore' }).status !== 0) return `there is no C compiler (${compiler})`;
  let headers;
  try {
    headers = createRequire(import.meta.url)('node-api-headers').include_dir;
  } catch {
    return 'the package node-api-headers is not installed';
  }
  say('building the native forward path');
  mkdirSync(directory, { recursive: true });
  // Renamed when it is whole: a process that starts meanwhile finds all of it or nothing.
  const half = `${target}.${process.pid}`;
  const run = spawnSync(compiler, [...flags, `-I${headers}`, ...files('.c'), '-o', half], { encoding: 'utf8', timeout: 120_000 });
  if (run.status !== 0) {
    rmSync(half, { force: true });
    return `${compiler} failed: ${(run.error?.message ?? run.stderr ?? '').trim().slice(-2000)}`;
  }
  const old = readdirSync(directory).filter((name) => name.endsWith('.node') && join(directory, name) !== target);
  renameSync(half, target);
  for (const name of old) rmSync(join(directory, name), { force: true });
  return undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildAddon((text) => process.stderr.write(`pgpier: ${text}\n`));
