/** Directories that the server's account can reach: the data directory as configured, or one in its stead. */
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, lstatSync, mkdirSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canReach, type RunAs } from './account.ts';

const ROOTS = ['/var/lib/pgpier', '/var/tmp/pgpier', '/tmp/pgpier'];

/**
 * A directory of root's for everything of ours that the server's account has to reach (only PgPier as root needs one). One that others may
 * write to, or that another user made, is passed over.
 * @throws Error where none can be made.
 */
export function sharedRoot(runAs: RunAs, roots: readonly string[] = ROOTS): string {
  for (const root of roots) {
    try {
      mkdirSync(root, { recursive: true, mode: 0o755 });
      const status = lstatSync(root);
      if (!status.isDirectory() || status.uid !== process.getuid?.() || (status.mode & 0o022) !== 0) continue;
      chmodSync(root, 0o755);
      if (canReach(runAs, root)) return root;
    } catch {
      // Read-only, full, or a file stands there: the next one may do.
    }
  }
  throw new Error(`the server's account can reach none of ${roots.join(', ')}, and PgPier cannot make one of them for it`);
}

export interface Place {
  /** Absolute, without symbolic links. */
  readonly directory: string;
  /** Where it would have been, if the account could reach that. */
  readonly insteadOf?: string;
}

/**
 * The data directory, made if absent. As root: its own mode is opened for the account's group to pass through (never to list), and where a
 * directory above it is closed (a clone in a home of mode 0700), a directory named after this one stands in for it, the same in every run.
 */
export function placeData(wanted: string, runAs: RunAs): Place {
  makePrivate(wanted);
  const directory = realpathSync(wanted);
  if (runAs.kind === 'self') return { directory };
  if (openForAccount(directory, runAs)) return { directory };
  const name = `data-${createHash('sha256').update(directory).digest('hex').slice(0, 12)}`;
  const instead = join(sharedRoot(runAs), name);
  makePrivate(instead);
  if (!openForAccount(instead, runAs)) throw new Error(`the account "${runAs.account.name}" cannot reach ${instead}`);
  return { directory: instead, insteadOf: directory };
}

/** The mode is the last directory's alone: those above get the usual one. */
function makePrivate(directory: string): void {
  mkdirSync(dirname(directory), { recursive: true });
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

function openForAccount(directory: string, runAs: Extract<RunAs, { kind: 'account' }>): boolean {
  if (canReach(runAs, directory)) return true;
  const status = lstatSync(directory);
  if (status.uid !== 0 || (status.mode & 0o070) !== 0) return false;
  chownSync(directory, 0, runAs.account.gid);
  chmodSync(directory, (status.mode & 0o7707) | 0o010);
  if (canReach(runAs, directory)) return true;
  chownSync(directory, status.uid, status.gid);
  chmodSync(directory, status.mode & 0o7777);
  return false;
}
