/** pgbench through an endpoint. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { postgresBin } from '../../test/servers/postgres.ts';
import { cpuSeconds, type Endpoint, type Lab } from './endpoint.ts';
import { median, type Sample } from './rounds.ts';

export interface Load {
  /** pgbench -M. */
  readonly mode: 'simple' | 'extended' | 'prepared';
  readonly clients: number;
  readonly seconds: number;
  /** A connection for each transaction (pgbench -C). */
  readonly reconnect?: boolean;
}

/** Options that lead a PostgreSQL program to an endpoint. */
export function address({ port }: Endpoint): string[] {
  return ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres'];
}

/** pgbench -S; at one client with its transaction log, for the median latency. */
export async function transactions(lab: Lab, endpoint: Endpoint, { mode, clients, seconds, reconnect }: Load): Promise<Sample> {
  const prefix = join(lab.directory, 'log');
  const logged = clients === 1 ? ['-l', '--log-prefix', prefix] : [];
  const shape = ['-n', '-S', '-M', mode, '-c', String(clients), '-j', String(Math.min(clients, 2)), '-T', String(seconds)];
  const before = cpuSeconds(endpoint);
  const args = [...address(endpoint), ...shape, ...logged, ...(reconnect ? ['-C'] : []), 'postgres'];
  const output = await run('pgbench', args, endpoint.tls);
  const cpu = cpuSeconds(endpoint) - before;
  const count = Number(/actually processed: (\d+)/.exec(output)?.[1]);
  const rate = Number(/tps = ([\d.]+)/.exec(output)?.[1]);
  if (!(count > 0 && rate > 0)) throw new Error(`pgbench said nothing to measure:\n${output}`);
  return { rate, cpu: cpu / count, ...(clients === 1 && { p50: medianLatency(lab.directory, prefix) }) };
}

/** Runs a program of PostgreSQL 15; stdout and stderr together. */
export function run(program: string, args: string[], tls: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(postgresBin(15)!, program), args, {
      env: { ...process.env, PGSSLMODE: tls ? 'require' : 'disable', PGGSSENCMODE: 'disable' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (text) => {
        output += text;
      });
    }
    child.once('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`${program}: ${output.slice(-500)}`))));
  });
}

function medianLatency(directory: string, prefix: string): number {
  const latencies: number[] = [];
  for (const name of readdirSync(directory).filter((name) => join(directory, name).startsWith(prefix))) {
    const file = join(directory, name);
    for (const line of readFileSync(file, 'latin1').split('\n')) if (line) latencies.push(Number(line.split(' ', 3)[2]));
    rmSync(file);
  }
  return median(latencies);
}
