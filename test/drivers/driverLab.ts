/** PostgreSQL 15 with PgPier before it, and programs run against one or the other. */
import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { type Postgres, startPostgres } from '../servers/postgres.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
}

export interface DriverLab {
  readonly postgres: Postgres;
  readonly pgpier: Pgpier;
  /** PostgreSQL itself. */
  readonly bare: Address;
  readonly proxied: Address;
  stop(): Promise<void>;
}

export async function startDriverLab(settings: Record<string, string> = {}): Promise<DriverLab> {
  const postgres = await startPostgres({ version: 15, settings });
  try {
    const pgpier = await startPgpier({ backend: postgres });
    return {
      postgres,
      pgpier,
      bare: { host: '127.0.0.1', port: postgres.port },
      proxied: { host: '127.0.0.1', port: pgpier.port },
      async stop() {
        await pgpier.stop();
        await postgres.stop();
      },
    };
  } catch (error) {
    await postgres.stop();
    throw error;
  }
}

export interface Run {
  readonly code: number | null;
  /** stdout and stderr as they came. */
  readonly output: string;
  readonly stdout: string;
}

/** Runs a client with PGHOST, PGPORT, PGUSER, PGDATABASE set. @throws Error when it takes longer than `timeout` ms. */
export async function runClient(
  address: Address,
  command: string,
  args: readonly string[],
  { input = '', timeout = 60_000, env = {} }: { input?: string; timeout?: number; env?: Record<string, string> } = {},
): Promise<Run> {
  const child = spawn(command, args, {
    env: {
      ...process.env,
      PGHOST: address.host,
      PGPORT: String(address.port),
      PGUSER: 'postgres',
      PGDATABASE: 'postgres',
      PGSSLMODE: 'disable',
      PGGSSENCMODE: 'disable',
      LC_ALL: 'C',
      ...env,
    },
  });
  let output = '';
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeout);
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve([code, signal]));
  });
  clearTimeout(timer);
  if (signal === 'SIGKILL') throw new Error(`${command} did not end within ${timeout} ms:\n${output.slice(-2000)}`);
  return { code, output, stdout };
}

/** Where a program of PATH is; undefined when it is nowhere. */
export function findProgram(name: string): string | undefined {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .map((dir) => join(dir, name))
    .find((path) => existsSync(path));
}

/** Whether a program ends with 0. */
export function succeeds(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}
