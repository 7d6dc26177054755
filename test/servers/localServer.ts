/** What servers that are started from a binary share: where it is, and that it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** On the PATH, in the folders of daemons, or where the tests keep what they had to build: ~/.cache/pgpier/bin. */
export function findBinary(name: string): string | undefined {
  const directories = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin', join(homedir(), '.cache/pgpier/bin')];
  return directories.map((directory) => join(directory, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Asks with `first`, insists after five seconds with SIGKILL. */
export async function end(pid: number, first: NodeJS.Signals): Promise<void> {
  for (let waited = 0; alive(pid); waited += 50) {
    if (waited === 0 || waited === 5_000) signal(pid, waited === 0 ? first : 'SIGKILL');
    if (waited > 10_000) throw new Error(`process ${pid} does not end`);
    await sleep(50);
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  try {
    // A zombie that our own event loop has not reaped yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone already.
  }
}

/** Ends the servers and removes their data as soon as this process is gone, however it went: the shell's stdin ends then. */
export function guard(pids: readonly number[], home: string): ChildProcess {
  const script = 'cat >/dev/null; home=$0; kill -KILL "$@" 2>/dev/null; rm -rf "$home"';
  const shell = spawn('/bin/sh', ['-c', script, home, ...pids.map(String)], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
  shell.unref();
  (shell.stdin as unknown as { unref(): void }).unref();
  return shell;
}
