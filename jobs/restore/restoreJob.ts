/** RESTORE as a job: finds the backup, checks the server, restores databases or tables, takes back what an attempt left. */
import { PgPierError } from '../../errors.ts';
import { findBackup } from '../backup/collection.ts';
import { readManifest } from '../backup/readManifest.ts';
import type { JobKind, JobResult, JobRun } from '../job.ts';
import { dropHidden } from './hiddenDatabase.ts';
import { LOAD_SESSIONS, type RestoreContext, restoreDatabases } from './restoreDatabase.ts';
import type { RestoreCheckpoint, RestorePayload } from './restorePayload.ts';
import { openRestoreSession, type RestoreSession } from './restoreSession.ts';
import { restoreTables } from './restoreTables.ts';

export const restoreJob: JobKind<RestorePayload> = {
  type: 'RESTORE',

  async run(run): Promise<JobResult> {
    const { payload, signal, asker } = run;
    const storage = await run.openStorage(payload.uri);
    try {
      const folder = await findBackup(storage, payload.choice, signal);
      const manifest = await readManifest(storage, folder, signal);
      return await withHome(run, LOAD_SESSIONS + 1, async (home, login) => {
        const serverVersion = await versionOf(home);
        if (Math.floor(manifest.server.versionNumber / 10000) > Math.floor(serverVersion / 10000)) {
          throw new PgPierError('restoreServerOlder', { backup: manifest.server.version, server: Math.floor(serverVersion / 10000) });
        }
        const progress = { rows: 0, bytes: 0, total: 0 };
        const context: RestoreContext = { run, login, home, storage, folder, manifest, serverVersion, progress };
        const { targets } = payload;
        const rows =
          targets.kind === 'database'
            ? await restoreDatabases(context, targets.databases)
            : await restoreTables(context, targets.patterns, asker.database);
        return { rows };
      });
    } finally {
      await storage.close().catch(() => {});
    }
  },

  /** Tables are one transaction, which its end has undone. */
  async revert(run) {
    const { hidden = [] } = (run.checkpoint ?? {}) as RestoreCheckpoint;
    if (hidden.length === 0) return;
    await withHome(run, 1, async (home) => {
      for (const name of hidden) await dropHidden(home, name, run.signal);
    });
  },
};

async function withHome<T>(
  run: JobRun<RestorePayload>,
  connections: number,
  work: (home: RestoreSession, login: Awaited<ReturnType<typeof run.logins.open>>['login']) => Promise<T>,
): Promise<T> {
  const { asker, signal } = run;
  const { login, close } = await run.logins.open(asker.role, asker.database, connections + 1);
  try {
    const home = await openRestoreSession(login, asker.database, asker.role, run.id, signal);
    try {
      return await work(home, login);
    } finally {
      await home.close().catch(() => {});
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    await close();
  }
}

async function versionOf(home: RestoreSession): Promise<number> {
  const { rows } = await home.query("select pg_catalog.current_setting('server_version_num')::pg_catalog.int4 as version");
  return rows[0].version;
}
