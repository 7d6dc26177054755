import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { missingPostgres } from '../servers/postgres.ts';
import { type DriverLab, runClient, startDriverLab, succeeds } from './driverLab.ts';

const program = fileURLToPath(new URL('psycopgProgram.py', import.meta.url));
/** Debian's package belongs to the system's python, which need not be the first in PATH. */
const python = ['/usr/bin/python3', 'python3'].find((each) => succeeds(each, ['-c', 'import psycopg']));
const missing =
  missingPostgres(15) || (python ? false : 'psycopg 3: not installed (apt-get install python3-psycopg, or pip install psycopg)');

describe('psycopg 3', { skip: missing }, () => {
  let lab: DriverLab;
  before(async () => {
    lab = await startDriverLab();
  });
  after(() => lab?.stop());

  test('ordinary SQL, server-side parameters, pipelines, cursors and COPY say the same as without the proxy', async () => {
    const truth = await runClient(lab.bare, python!, [program, 'ordinary']);
    assert.equal(truth.code, 0, truth.output);
    assert.equal((await runClient(lab.proxied, python!, [program, 'ordinary'])).stdout, truth.stdout);
  });

  test('our statements in every mode of the driver', async () => {
    const { code, output } = await runClient(lab.proxied, python!, [program, 'own']);
    assert.equal(code, 0, output);
    assert.match(output, /all passed/);
  });
});
