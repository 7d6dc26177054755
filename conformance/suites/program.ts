/** A driver's own test program: minutes of work, its output in a file. */
import { spawn } from 'node:child_process';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';

export interface SuiteRun {
  readonly program: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: NodeJS.ProcessEnv;
  /** Where both of its streams go. */
  readonly log: string;
  /** Then it and all that it started are killed; default half an hour. */
  readonly timeoutMs?: number;
}

/** Resolves to its exit code or the signal that ended it. */
export async function runSuite({ program, args, cwd, env, log, timeoutMs = 1_800_000 }: SuiteRun): Promise<number | string> {
  const output = createWriteStream(log);
  const child = spawn(program, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  child.stdout.pipe(output, { end: false });
  child.stderr.pipe(output, { end: false });
  const late = setTimeout(() => process.kill(-child.pid!, 'SIGKILL'), timeoutMs);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? signal!));
    });
  } finally {
    clearTimeout(late);
    output.end();
    await finished(output);
  }
}

/** This process' environment without what would lead a driver elsewhere. */
export function suiteEnvironment(more: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(PG|NODE_)/.test(name))), LC_ALL: 'C.UTF-8', ...more };
}
