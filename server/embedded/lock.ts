/**
 * One PgPier per data directory: a file with the holder's process id and start time. The file of a holder that was killed is recognised
 * (no such process, or another one under its number) and replaced.
 */
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { processStart } from './processes.ts';

export interface DirectoryLock {
  release(): void;
}

const ATTEMPTS = 5;

/** @throws Error naming the holder's process id when the directory is in use. */
export function lockDirectory(directory: string): DirectoryLock {
  const path = join(directory, 'pgpier.lock');
  const mine = `${process.pid} ${processStart(process.pid) ?? ''}\n`;
  const draft = `${path}.${process.pid}`;
  writeFileSync(draft, mine, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      try {
        linkSync(draft, path);
        return { release: () => releaseIfMine(path, mine) };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
      const holder = readIfThere(path);
      if (holder === undefined) continue;
      const [pid, start] = holder.trim().split(' ');
      const running = processStart(Number(pid));
      if (running !== undefined && (start === undefined || start === running))
        throw new Error(
          `another PgPier (process ${pid}) runs on the data directory ${directory}: stop it first, or give this one its own with PGPIER_DATA`,
        );
      replaceStale(path, holder);
    }
    throw new Error(`the lock ${path} keeps changing hands: other starts are under way`);
  } finally {
    rmSync(draft, { force: true });
  }
}

/** Two starters may see the same stale file: what was moved away is looked at again, and put back if it was somebody's fresh one. */
function replaceStale(path: string, seen: string): void {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch {
    return;
  }
  if (readIfThere(aside) !== seen) {
    try {
      linkSync(aside, path);
    } catch {
      // A third one has the lock; the next attempt reads who.
    }
  }
  rmSync(aside, { force: true });
}

function releaseIfMine(path: string, mine: string): void {
  if (readIfThere(path) === mine) unlinkSync(path);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
