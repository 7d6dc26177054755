import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, findProgram, runClient, startDriverLab } from './driverLab.ts';

const source = fileURLToPath(new URL('JdbcProgram.java', import.meta.url));
const jar = [process.env.PGPIER_TEST_PGJDBC, '/usr/share/java/postgresql.jar'].find((path) => path && existsSync(path));
const missing =
  missingPostgres(15) ||
  (jar ? false : 'JDBC: no driver (apt-get install libpostgresql-jdbc-java, or set PGPIER_TEST_PGJDBC to its jar)') ||
  (findProgram('javac') ? false : 'JDBC: no javac');

describe('JDBC', { skip: missing }, () => {
  let lab: DriverLab;
  let classes: string;
  before(async () => {
    lab = await startDriverLab();
    classes = mkdtempSync(join(tmpdir(), 'pgpier-jdbc-'));
    const { code, output } = await runClient(lab.bare, 'javac', ['-d', classes, source], { timeout: 120_000 });
    assert.equal(code, 0, output);
  });
  after(async () => {
    await lab?.stop();
    if (classes) rmSync(classes, { recursive: true, force: true });
  });
  const java = (address: DriverLab['bare'], part: string, options = '') =>
    runClient(address, 'java', ['-Xshare:auto', '-XX:TieredStopAtLevel=1', '-cp', `${classes}:${jar}`, 'JdbcProgram', part, options], {
      timeout: 120_000,
    });

  for (const options of [
    '',
    'preferQueryMode=simple',
    'autosave=always',
    'prepareThreshold=1&binaryTransfer=true',
    'prepareThreshold=-1',
  ]) {
    test(`ordinary SQL says the same as without the proxy: ${options || 'defaults'}`, async () => {
      const truth = await java(lab.bare, 'ordinary', options);
      assert.equal(truth.code, 0, truth.output);
      assert.equal((await java(lab.proxied, 'ordinary', options)).output, truth.output);
    });
    test(`our statements: ${options || 'defaults'}`, async () => {
      const { code, output } = await java(lab.proxied, 'own', options);
      assert.equal(code, 0, output);
      assert.match(output, /all passed/);
    });
  }
});
