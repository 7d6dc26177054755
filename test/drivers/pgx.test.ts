import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, findProgram, runClient, startDriverLab } from './driverLab.ts';

const module = fileURLToPath(new URL('pgx/', import.meta.url));

/** Builds the program; the reason when Go is missing or cannot get the module. */
function build(target: string): string | false {
  if (!findProgram('go')) return 'pgx: Go is not installed';
  try {
    execFileSync('go', ['build', '-o', target, '.'], {
      cwd: module,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, CGO_ENABLED: '0' },
    });
    return false;
  } catch (error) {
    const said = String((error as { stderr?: Buffer }).stderr ?? error);
    if (/dial tcp|lookup|proxy|timeout|no required module/.test(said)) return `pgx: the module cannot be fetched (${said.split('\n')[0]})`;
    // Go before 1.21 cannot read, and before 1.25 cannot build, what pgx needs; from 1.21 on it fetches a newer one itself where it may.
    if (/invalid go version|requires go >=|toolchain not available/.test(said))
      return `pgx: Go is too old (${said.trim().split('\n').at(-1)})`;
    throw error;
  }
}

const folder = mkdtempSync(join(tmpdir(), 'pgpier-pgx-'));
const program = join(folder, 'pgx');
const missing = missingPostgres(15) || build(program);

describe('pgx', { skip: missing }, () => {
  let lab: DriverLab;
  before(async () => {
    lab = await startDriverLab();
  });
  after(async () => {
    await lab?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test('ordinary SQL in every mode says the same as without the proxy', async () => {
    const truth = await runClient(lab.bare, program, ['ordinary']);
    assert.equal(truth.code, 0, truth.output);
    assert.equal((await runClient(lab.proxied, program, ['ordinary'])).output, truth.output);
  });

  test('our statements in every mode', async () => {
    const { code, output } = await runClient(lab.proxied, program, ['own']);
    assert.equal(code, 0, output);
    assert.equal(output.match(/all passed/g)?.length, 5, output);
  });
});
