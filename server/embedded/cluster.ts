/** The files of a PostgreSQL cluster: made by initdb, of the right version, with a pg_hba.conf of ours. */
import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type RunAs, spawnIdentity } from './account.ts';
import type { Binaries } from './binaries.ts';

/** Who may log in over the socket, whose directory only the server's account and root can enter. */
export type HostBasedAuthentication = 'trust' | 'scram-sha-256';

export function writeHba(cluster: string, method: HostBasedAuthentication, runAs: RunAs): void {
  const path = join(cluster, 'pg_hba.conf');
  const draft = `${path}.pgpier`;
  writeFileSync(draft, `# Written by PgPier at each start.\nlocal all all ${method}\nlocal replication all ${method}\n`, { mode: 0o600 });
  if (runAs.kind === 'account') chownSync(draft, runAs.account.uid, runAs.account.gid);
  renameSync(draft, path);
}

/**
 * Makes the cluster where there is none. It is built beside and renamed, so that an initdb that was cut short leaves nothing that looks whole.
 * @returns whether it was made now
 * @throws Error when the cluster is of another major version, or initdb fails (with its words)
 */
export function ensureCluster(cluster: string, binaries: Binaries, runAs: RunAs): boolean {
  const versionFile = join(cluster, 'PG_VERSION');
  if (existsSync(versionFile)) {
    const found = readFileSync(versionFile, 'utf8').trim();
    if (found === String(binaries.major)) {
      checkOwner(cluster, runAs);
      return false;
    }
    throw new Error(
      `the data in ${cluster} is of PostgreSQL ${found}, and this PgPier brings PostgreSQL ${binaries.version}, which cannot read it. ` +
        `To keep it: start a PostgreSQL ${found} on it, dump it (pg_dumpall), start PgPier on an empty directory (PGPIER_DATA) and load the dump; ` +
        `or run that PostgreSQL ${found} yourself and name it in PGPIER_BACKEND`,
    );
  }
  if (existsSync(cluster))
    throw new Error(`${cluster} exists and is no PostgreSQL cluster (it has no PG_VERSION): move it away, or set PGPIER_DATA`);

  const building = `${cluster}.new`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { mode: 0o700 });
  if (runAs.kind === 'account') chownSync(building, runAs.account.uid, runAs.account.gid);
  const run = spawnSync(
    join(binaries.bin, 'initdb'),
    [
      '-D',
      building,
      '-U',
      'postgres',
      '--encoding=UTF8',
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--auth=trust',
    ],
    {
      ...spawnIdentity(runAs),
      cwd: '/',
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', LC_ALL: 'C', ...(process.env.TZ && { TZ: process.env.TZ }) },
    },
  );
  if (run.status !== 0) {
    rmSync(building, { recursive: true, force: true });
    const said = `${run.stderr ?? ''}`.trim().split('\n').slice(-8).join('\n');
    throw new Error(`initdb could not make the cluster ${cluster}: ${run.error?.message ?? said}`);
  }
  renameSync(building, cluster);
  return true;
}

/** PostgreSQL's own message ("data directory has wrong ownership") names neither side. */
function checkOwner(cluster: string, runAs: RunAs): void {
  const wanted = runAs.kind === 'account' ? runAs.account.uid : process.getuid?.();
  const { uid } = statSync(cluster);
  if (wanted === undefined || uid === wanted) return;
  const name = runAs.kind === 'account' ? `"${runAs.account.name}" (uid ${wanted})` : `uid ${wanted}`;
  throw new Error(
    `${cluster} belongs to uid ${uid}, and the server would run as ${name}: start PgPier as the user who made it, or change its owner`,
  );
}
