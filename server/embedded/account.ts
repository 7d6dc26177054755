/** The operating system's account that the embedded server runs under: PostgreSQL refuses to run as root. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

export type RunAs =
  /** As PgPier itself. */
  | { readonly kind: 'self' }
  /** PgPier is root; the server is not. */
  | { readonly kind: 'account'; readonly account: Account };

/** `postgres`, else `nobody`: accounts with an entry, as initdb looks its user up. Undefined where neither exists. */
export function serverAccount(passwd: string): Account | undefined {
  const entries = passwd.split('\n').map((line) => line.split(':'));
  for (const wanted of ['postgres', 'nobody']) {
    const entry = entries.find(([name]) => name === wanted);
    const uid = Number(entry?.[2]);
    const gid = Number(entry?.[3]);
    if (entry !== undefined && Number.isInteger(uid) && uid > 0 && Number.isInteger(gid)) return { name: wanted, uid, gid };
  }
  return undefined;
}

/** @throws Error when PgPier is root and the machine has no account for the server. */
export function chooseRunAs(): RunAs {
  if (process.getuid?.() !== 0) return { kind: 'self' };
  const account = serverAccount(readFileSync('/etc/passwd', 'utf8'));
  if (account === undefined)
    throw new Error(
      'PostgreSQL does not run as root, and this machine has neither an account "postgres" nor "nobody": make one, or start PgPier as another user',
    );
  return { kind: 'account', account };
}

/** Options for `spawn`: uid and gid; libuv drops root's supplementary groups with them. */
export const spawnIdentity = (runAs: RunAs): { uid?: number; gid?: number } =>
  runAs.kind === 'self' ? {} : { uid: runAs.account.uid, gid: runAs.account.gid };

/** Whether the account can pass through to `directory`; asked of the kernel, so that ACLs and mounts count too. */
export function canReach(runAs: RunAs, directory: string): boolean {
  if (runAs.kind === 'self') return true;
  return (
    spawnSync('/bin/sh', ['-c', 'cd "$0" 2>/dev/null', directory], { ...spawnIdentity(runAs), cwd: '/', stdio: 'ignore' }).status === 0
  );
}
