/** Carries jobs out, up to so many side by side: takes what is due, hears the doorbell, hands back what is unfinished when it stops. */
import { randomUUID } from 'node:crypto';
import { Attempt, type AttemptParts } from './attempt.ts';
import type { Doorbell } from './doorbell.ts';

export interface JobWorkerOptions extends AttemptParts {
  readonly doorbell: Doorbell;
  /** Jobs side by side; at least 1. */
  readonly count: number;
  readonly nodeId: number;
  /** Nodes whose files can be reached from here, if they answer: `nodeAnswers`. */
  readonly peers: readonly number[];
  readonly nodeAnswers: (node: number) => Promise<boolean>;
}

export interface JobWorker {
  /** Takes no more jobs, lets those it has go on until the signal aborts, then hands them back. Resolves when it holds none. */
  stop(deadline: AbortSignal): Promise<void>;
}

/** A job whose worker was lost waits for the rest of its lease and so long at most. */
const LOOK_MS = 1_000;
/** While the catalog is away. */
const LOOK_AGAIN_MS = 3_000;
const AWAY_MS = 5_000;
const FORGET_MS = 60 * 60_000;
/** What attempts may take to stop. */
const HAND_BACK_MS = 8_000;

export function startJobWorker(options: JobWorkerOptions): JobWorker {
  const { catalog, doorbell, count, nodeId, peers, log } = options;
  const { leases } = catalog;
  const worker = randomUUID();
  // Another version of the program may know more: its jobs wait for it.
  const types = Object.keys(options.kinds);
  const running = new Map<string, Attempt>();
  const claiming = new Set<string>();
  /** Nodes that are being asked whether they are there, and those that were not, until they are asked again. */
  const asked = new Set<number>();
  const away = new Map<number, number>();
  let state: 'open' | 'stopping' = 'open';
  let timer: NodeJS.Timeout | undefined;
  let looking = false;
  let forgotten = performance.now() - FORGET_MS;
  let idle = () => {};

  const room = (): number => count - running.size - claiming.size;

  async function take(id: string, of?: number): Promise<void> {
    const attempt = running.get(id);
    if (attempt !== undefined) return attempt.hurry();
    if (state !== 'open' || room() <= 0 || claiming.has(id)) return;
    claiming.add(id);
    try {
      const claimed = performance.now();
      const job = await leases.claim(id, types, worker, nodeId, of === undefined ? [] : [of]);
      if (job === undefined) return;
      const begun = new Attempt(options, job, claimed);
      running.set(id, begun);
      // A worker that stops meanwhile does not keep what it has just taken.
      if (state !== 'open') begun.shutdown();
      void begun.done.then(() => {
        running.delete(id);
        idle();
        look();
      });
    } finally {
      claiming.delete(id);
      idle();
    }
  }

  /** A node that is away comes back, and its jobs wait for it: to take one would be to let it fail. */
  async function takeLeft(id: string, node: number): Promise<void> {
    if (room() <= 0 || asked.has(node) || (away.get(node) ?? 0) > performance.now()) return;
    asked.add(node);
    try {
      if (await options.nodeAnswers(node)) return await take(id, node);
      away.set(node, performance.now() + AWAY_MS);
    } finally {
      asked.delete(node);
    }
  }

  /** One look at a time; the next follows by itself. */
  function look(): void {
    if (looking || state !== 'open') return;
    looking = true;
    clearTimeout(timer);
    void lookOnce().then((wait) => {
      looking = false;
      if (state === 'open') timer = setTimeout(look, wait);
    });
  }

  async function lookOnce(): Promise<number> {
    try {
      if (room() > 0)
        for (const { id, node } of await leases.due(types, nodeId, peers, room())) {
          if (node === undefined) await take(id);
          else takeLeft(id, node).catch(couldNot(id));
        }
      if (performance.now() - forgotten >= FORGET_MS) {
        forgotten = performance.now();
        const jobs = await leases.forgetOld();
        if (jobs > 0) log.info({ jobs }, 'forgot jobs that ended long ago');
      }
      return LOOK_MS;
    } catch (error) {
      log.warn({ sqlstate: (error as { data?: { sqlstate?: string } }).data?.sqlstate }, 'jobs could not be looked for');
      return LOOK_AGAIN_MS;
    }
  }

  const couldNot = (id: string) => (error: { data?: { sqlstate?: string } }) =>
    log.warn({ job: id, sqlstate: error.data?.sqlstate }, 'a job could not be taken; the next look will');
  doorbell.listen((id) => {
    take(id).catch(couldNot(id));
  });
  look();

  const empty = (give: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      idle = () => {
        if (give.aborted || (running.size === 0 && claiming.size === 0)) resolve();
      };
      give.addEventListener('abort', () => resolve(), { once: true });
      idle();
    });

  return {
    async stop(deadline) {
      if (state === 'stopping') return;
      state = 'stopping';
      clearTimeout(timer);
      await empty(deadline);
      for (const attempt of running.values()) attempt.shutdown();
      await empty(AbortSignal.timeout(HAND_BACK_MS));
      await doorbell.stop();
    },
  };
}
