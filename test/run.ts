/**
 * `npm test`: formatter and linter, types, then every test file, and at the end what was skipped and why. With CI=true a skip fails the run,
 * unless its reason is that of something that cannot exist there.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { addonPath } from '../server/native/build.mjs';
import { isAllowedSkip, type Skip } from './skips.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'node_modules', '.bin');
const say = (text: string): void => void process.stdout.write(`${text}\n`);

function step(name: string, command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): boolean {
  say(`\n== ${name}`);
  const run = spawnSync(command, args, { cwd: root, stdio: 'inherit', env });
  if (run.error) say(`${command}: ${run.error.message}`);
  return run.status === 0;
}

/** Arguments pick test files: `npm test -- test/server`. */
const wanted = process.argv.slice(2);
const files = globSync('test/**/*.test.ts', { cwd: root })
  .sort()
  .filter((file) => wanted.length === 0 || wanted.some((part) => file.startsWith(part)));
if (files.length === 0) {
  say(`no test file begins with ${wanted.join(' or ')}`);
  process.exit(1);
}

const failed: string[] = [];
if (wanted.length === 0) {
  if (!step('formatter and linter (biome)', join(bin, 'biome'), ['check', '.'])) failed.push('biome');
  if (!step('types (tsc)', join(bin, 'tsc'), ['--noEmit'])) failed.push('tsc');
}

const scratch = mkdtempSync(join(tmpdir(), 'pgpier-tests-'));
const skipsFile = join(scratch, 'skips.ndjson');
// Files start servers of their own: more of them at once than cores makes each wait for the others.
const concurrency = Math.max(1, Math.min(4, availableParallelism()));
const tested = step(`tests (${files.length} files)`, process.execPath, [
  '--test',
  `--test-concurrency=${concurrency}`,
  '--test-timeout=180000',
  // A test that failed may leave a server running, and its file would then never end; watchdogs end the server with the file.
  '--test-force-exit',
  '--test-reporter=spec',
  '--test-reporter-destination=stdout',
  '--test-reporter=./test/skips.ts',
  `--test-reporter-destination=${skipsFile}`,
  ...files,
]);
if (!tested) failed.push('tests');

// The forward path exists twice: what ran above went over the native one, if that is built.
const forwardPath = ['test/wire/fuzz.test.ts', 'test/faults/flow.test.ts', 'test/faults/sessions.test.ts'];
if (wanted.length === 0 && process.env.PGPIER_NATIVE === undefined && existsSync(addonPath())) {
  const env = { ...process.env, PGPIER_NATIVE: 'off', PGPIER_FUZZ_WALKS: process.env.PGPIER_FUZZ_WALKS ?? '300' };
  const args = ['--test', `--test-concurrency=${concurrency}`, '--test-timeout=180000', '--test-reporter=spec', ...forwardPath];
  if (!step('tests of the forward path in JavaScript (PGPIER_NATIVE=off)', process.execPath, args, env))
    failed.push('forward path in JavaScript');
}

const skips = readFileSync(skipsFile, 'utf8')
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line) as Skip);
rmSync(scratch, { recursive: true, force: true });
if (skips.length > 0) {
  say('\nSkipped:');
  for (const skip of skips) say(`  ${skip.file}: ${skip.test}\n      ${skip.reason}`);
  if (process.env.CI === 'true' && skips.some((skip) => !isAllowedSkip(skip))) {
    say('\nA skip fails the run under CI=true, but for what cannot exist there (test/skips.ts).');
    failed.push('skips');
  }
} else if (tested) say('\nNothing was skipped.');

say(failed.length === 0 ? '\nnpm test: passed' : `\nnpm test: failed (${failed.join(', ')})`);
process.exitCode = failed.length === 0 ? 0 : 1;
