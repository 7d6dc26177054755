/** Processes as /proc shows them (Linux). */
import { readdirSync, readFileSync } from 'node:fs';

export const onLinux = process.platform === 'linux' ? false : 'Linux: /proc is needed to see processes and memory';

/** A file of /proc/<pid>, each byte a character; empty where the process has ended. */
export function readProc(pid: number, file: 'cmdline' | 'environ' | 'stat'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1');
  } catch {
    return '';
  }
}

/** Children of a process, and theirs. */
export function descendants(pid: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? readProc(Number(name), 'stat') : '';
    // The name before it, in parentheses, may hold anything.
    if (stat !== '') parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
  }
  const found = new Set([pid]);
  for (let before = 0; before < found.size; ) {
    before = found.size;
    for (const [child, parent] of parents) if (found.has(parent)) found.add(child);
  }
  found.delete(pid);
  return [...found];
}

/** The descendants of a process that run one of the server's programs, by the name of its file. */
export const descendantsRunning = (pid: number, program: string): number[] =>
  descendants(pid).filter((each) => readProc(each, 'cmdline').includes(program));

/** Resident memory of a process in MiB. */
export function residentMiB(pid: number): number {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'));
  return Number(line?.[1] ?? 0) / 1024;
}
