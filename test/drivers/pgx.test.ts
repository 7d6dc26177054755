import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildGo } from '../servers/goProgram.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, runClient, startDriverLab } from './driverLab.ts';

const module = fileURLToPath(new URL('pgx/', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'pgpier-pgx-'));
const program = join(folder, 'pgx');
const missing = missingPostgres(15) || buildGo('pgx', module, program);

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
