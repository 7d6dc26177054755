/** Checks each URI of the command line, in an environment of its own, and prints `ok` or the error for each. */
import { PgPierError } from '../../errors.ts';
import { checkStorage } from '../../external/storage/check.ts';

for (const argument of process.argv.slice(2)) {
  const [trusted, uri] = [argument.startsWith('trusted '), argument.replace(/^(trusted|others) /, '')];
  try {
    await checkStorage({ uri, trusted }, { nodeId: 1, allowedNetworks: ['127.0.0.0/8', '::1'] }, AbortSignal.timeout(30_000));
    process.stdout.write('ok\n');
  } catch (error) {
    const sqlstate = error instanceof PgPierError ? error.data.sqlstate : 'no PgPierError';
    process.stdout.write(`${sqlstate} ${(error as Error).message}\n`);
  }
}
