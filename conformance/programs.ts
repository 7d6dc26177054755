/** PostgreSQL's own programs, led to an endpoint. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { postgresBin } from '../test/servers/postgres.ts';
import type { Endpoint, Item } from './check.ts';

export interface Ended {
  readonly code: number | string;
  readonly out: string;
  readonly error: string;
}

const endsAfterMs = 300_000;

export function programPath(name: string): string {
  return join(postgresBin(15) ?? '', name);
}

export function missingProgram(...names: readonly string[]): string | false {
  const absent = names.find((name) => !existsSync(programPath(name)));
  return absent === undefined ? false : `${absent} of PostgreSQL 15 is not installed`;
}

/** libpq's environment for an endpoint. */
export function environment({ host, port, user, database }: Endpoint): NodeJS.ProcessEnv {
  const { PATH, HOME, LANG } = process.env;
  return {
    PATH,
    HOME,
    LANG,
    PGHOST: host,
    PGPORT: String(port),
    PGUSER: user,
    PGDATABASE: database,
    PGSSLMODE: 'disable',
    PGGSSENCMODE: 'disable',
  };
}

/** Never rejects for what the program does; SIGKILL after five minutes is its end. */
export function run(endpoint: Endpoint, name: string, args: readonly string[], input = ''): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(programPath(name), args, {
      env: environment(endpoint),
      cwd: endpoint.directory,
      timeout: endsAfterMs,
      killSignal: 'SIGKILL',
    });
    let out = '';
    let error = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
      out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      error += text;
    });
    child.once('error', reject);
    child.once('close', (code, signal) => resolve({ code: code ?? signal!, out, error }));
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });
}

/** An item that passes when the program ends with 0; `output` is compared where it is given. */
export function ended(name: string, { code, error }: Ended, output?: string): Item {
  return {
    name,
    ...(output !== undefined && { output }),
    ...(code !== 0 && { failure: `ended with ${code}: ${error.trim().slice(-300)}` }),
  };
}

/** One SQL string through psql, unaligned, without its banner. */
export function sql(endpoint: Endpoint, text: string): Promise<Ended> {
  return run(endpoint, 'psql', ['-XqAt', '-v', 'ON_ERROR_STOP=1'], text);
}
