// Runs before `npm start` and `npm test`: brings node_modules in step with package-lock.json, or returns within milliseconds where it is.
// Plain JavaScript for any Node that npm runs on: the Node that runs PgPier is itself one of the packages.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const modules = join(root, 'node_modules');
const stampFile = join(modules, '.pgpier-installed');
const lock = readFileSync(join(root, 'package-lock.json'));
const platform = `${process.platform}-${process.arch}`;
const stamp = `${platform} ${createHash('sha256').update(lock).digest('hex')}\n`;
const [nodeBinary, launcher] = process.platform === 'win32' ? ['node.exe', 'node.cmd'] : ['node', 'node'];

/** The stamp is written last, and the Node of the project is there: an install that was cut short is done again. */
function inStep() {
  const node = join(modules, 'node', 'bin', nodeBinary);
  return (
    existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp && existsSync(node) && existsSync(join(modules, '.bin', launcher))
  );
}

/** npm removes node_modules first, the project's own Node in it too: npm itself must run under another one. */
function installPath() {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter((directory) => !resolve(directory).startsWith(modules))
    .join(delimiter);
}

if (!inStep()) {
  const why = existsSync(modules) ? 'node_modules is not in step with package-lock.json' : 'node_modules is missing';
  process.stderr.write(`pgpier: ${why}: running npm ci (this takes a minute)\n`);
  // The variables of the npm that runs us would steer the one that we run (npm start --silent, --prefix); settings of the user's stay.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^npm_(lifecycle|package|command|execpath|node_execpath)/i.test(name)),
  );
  const run = spawnSync('npm', ['ci', '--no-audit', '--no-fund', '--include=dev', '--include=optional'], {
    cwd: root,
    env: { ...env, PATH: installPath() },
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
  });
  if (run.status !== 0) {
    const how = run.error?.message ?? (run.signal === null ? `exit code ${run.status}` : run.signal);
    process.stderr.write(
      `pgpier: npm ci failed (${how}); what it said stands above. It needs the npm registry and room for about 500 MB.\n`,
    );
    process.exit(run.status || 1);
  }
  if (!existsSync(join(modules, '.bin', launcher))) {
    process.stderr.write(
      'pgpier: npm ci did not install the package "node", which brings Node 24: are install scripts forbidden (ignore-scripts)?\n',
    );
    process.exit(1);
  }
  writeFileSync(stampFile, stamp);
}

// npm ci has built the addon; sources that are newer than it need another.
const { buildAddon } = await import('../server/native/build.mjs');
buildAddon((text) => process.stderr.write(`pgpier: ${text}\n`));
