/**
 * Tells workers at once that there is something to do: by pg-boss, which keeps ids in the catalog's database and wakes by LISTEN/NOTIFY. It may be
 * late, ring twice or not at all: workers also look by themselves, and the job's row decides (`catalog/jobLeases.ts`). This file alone knows of pg-boss.
 */
import type pg from 'pg';
import type { PgBoss } from 'pg-boss';
import type { Log } from '../pool.ts';

export interface Doorbell {
  /** Tells one worker, anywhere, of a job. Never rejects: a bell that is out of order costs a second. */
  ring(job: string): void;
  /** Calls `onRing` for this process's share of the rings, until `stop`. */
  listen(onRing: (job: string) => void): void;
  stop(): Promise<void>;
}

const SCHEMA = 'pgpier_queue';
const QUEUE = 'job';
/** A ring that nobody heard for so long has become idle: the workers have looked by themselves. */
const RING_LASTS_S = 60;
const RETRY_MS = 10_000;

type State =
  | { readonly kind: 'closed' }
  | { readonly kind: 'open'; readonly boss: Promise<PgBoss | undefined> }
  /** Not to be tried again before. */
  | { readonly kind: 'broken'; readonly until: number }
  | { readonly kind: 'stopped' };

/** `database`: of the catalog. Connects when first used. */
export function openDoorbell(database: pg.PoolConfig, log: Log): Doorbell {
  let state: State = { kind: 'closed' };
  let onRing: ((job: string) => void) | undefined;
  let again: NodeJS.Timeout | undefined;

  async function open(): Promise<PgBoss> {
    const { PgBoss } = await import('pg-boss');
    const listens = onRing !== undefined;
    const boss = new PgBoss({
      ...(database as object),
      application_name: 'pgpier',
      options: '-c search_path= -c default_transaction_read_only=off',
      max: 2,
      schema: SCHEMA,
      schedule: false,
      supervise: listens,
      registerInstance: false,
      useListenNotify: listens,
    });
    boss.on('error', (error) => log.warn({ reason: reasonOf(error) }, 'the queue of jobs reports an error'));
    try {
      await boss.start();
      await boss.createQueue(QUEUE, { notify: true, retryLimit: 0, retentionSeconds: RING_LASTS_S, deleteAfterSeconds: RING_LASTS_S });
      if (listens) {
        await boss.work<{ job: string }>(QUEUE, { pollingIntervalSeconds: 2, batchSize: 16 }, async (rings) => {
          for (const { data } of rings) onRing?.(data.job);
        });
      }
      return boss;
    } catch (error) {
      await boss.stop({ graceful: false }).catch(() => {});
      throw error;
    }
  }

  async function boss(): Promise<PgBoss | undefined> {
    if (state.kind === 'stopped' || (state.kind === 'broken' && performance.now() < state.until)) return undefined;
    if (state.kind === 'open') return state.boss;
    const opened = open().catch((error) => {
      log.warn({ reason: reasonOf(error) }, 'the queue of jobs is out of order: workers look for jobs by themselves meanwhile');
      if (state.kind !== 'stopped') state = { kind: 'broken', until: performance.now() + RETRY_MS };
      return undefined;
    });
    state = { kind: 'open', boss: opened };
    return opened;
  }

  return {
    ring(job) {
      void (async () => {
        const to = await boss();
        await to?.send(QUEUE, { job });
      })().catch((error) => log.warn({ job, reason: reasonOf(error) }, 'no worker could be told of a job: one will look by itself'));
    },
    listen(listener) {
      onRing = listener;
      void boss();
      again = setInterval(() => void boss(), RETRY_MS);
      again.unref();
    },
    async stop() {
      clearInterval(again);
      const last = state;
      state = { kind: 'stopped' };
      onRing = undefined;
      if (last.kind === 'open') await (await last.boss)?.stop({ graceful: false }).catch(() => {});
    },
  };
}

/** A code or the kind of error: texts may quote a connection string. */
function reasonOf(error: unknown): string {
  const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
  return typeof code === 'string' && code !== '' ? code : String(name ?? typeof error);
}
