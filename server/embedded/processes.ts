/** What the operating system tells about a process id, so that a number used again is not taken for the process it once was. */
import { spawnSync } from 'node:child_process';
import { readFileSync, readlinkSync, realpathSync } from 'node:fs';

/** A text that tells two processes with the same number apart; undefined when no such process runs (a zombie does not). */
export function processStart(pid: number): string | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  if (process.platform === 'linux') {
    try {
      // Behind the name in parentheses, which may hold blanks: field 3 is the state, field 22 the start in clock ticks (proc(5)).
      const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? undefined : fields[19];
    } catch {
      return undefined;
    }
  }
  const run = spawnSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim().replaceAll(' ', '-') : undefined;
}

/** Whether this process is the postmaster of `directory`: it works in its data directory, under the name postgres. */
export function isPostmasterOf(pid: number, directory: string): boolean {
  if (processStart(pid) === undefined) return false;
  if (process.platform === 'linux') {
    try {
      return (
        readlinkSync(`/proc/${pid}/cwd`) === realpathSync(directory) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('postgres')
      );
    } catch {
      return false;
    }
  }
  const run = spawnSync('ps', ['-o', 'command=', '-p', String(pid)], { encoding: 'utf8' });
  return run.stdout.includes('postgres') && run.stdout.includes(directory);
}
