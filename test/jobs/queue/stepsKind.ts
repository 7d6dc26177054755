/** A kind of job for tests: so many steps of so many milliseconds, each written down in a file, so that a test sees who did what and when. */
import { appendFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { PgPierError } from '../../../errors.ts';
import type { JobKind } from '../../../jobs/job.ts';
import type { JobKinds } from '../../../jobs/jobKinds.ts';

export interface Steps {
  /** Lines `<what> <attempt> <pid>`. */
  readonly file: string;
  readonly steps: number;
  readonly stepMs: number;
  /** Fails in this step. */
  readonly failsAt?: number;
  /** So many times. */
  readonly revertFails?: number;
  readonly revertMs?: number;
  /** A storage to open in the first step. */
  readonly uri?: string;
  readonly notice?: string;
  /** Dies in this step, as a process that runs out of memory does. */
  readonly diesAt?: number;
  /** Goes on when it should stop; only a refused checkpoint ends it. */
  readonly deaf?: boolean;
}

/** By file. */
const revertFailures = new Map<string, number>();

const steps: JobKind<Steps> = {
  type: 'BACKUP',
  async run(run) {
    const { payload, signal } = run;
    const note = (what: string) => appendFileSync(payload.file, `${what} ${run.attempt} ${process.pid}\n`);
    const done = (run.checkpoint as { step: number } | undefined)?.step ?? 0;
    note(`begin:${done}`);
    if (payload.notice !== undefined) run.notice({ severity: 'NOTICE', message: payload.notice });
    if (payload.uri !== undefined) {
      const storage = await run.openStorage(payload.uri);
      note(`storage:${storage.location}`);
      await storage.close();
    }
    for (let step = done + 1; step <= payload.steps; step++) {
      await sleep(payload.stepMs, undefined, payload.deaf ? {} : { signal });
      if (payload.failsAt === step) throw new PgPierError('invalidUri', { reason: `step ${step} went wrong` });
      if (payload.diesAt === step) process.kill(process.pid, 'SIGKILL');
      try {
        await run.saveCheckpoint({ step });
      } catch (error) {
        note('refused');
        throw error;
      }
      note(`step:${step}`);
      run.progress({ fraction: step / payload.steps, rows: step * 10, runningStatus: `step ${step}` });
    }
    return { rows: payload.steps * 10 };
  },
  async revert(run) {
    const { payload, signal } = run;
    appendFileSync(payload.file, `revert ${run.attempt} ${process.pid}\n`);
    const { step } = (run.checkpoint ?? { step: 0 }) as { step: number };
    await sleep(payload.revertMs ?? 0, undefined, { signal });
    const failed = revertFailures.get(payload.file) ?? 0;
    revertFailures.set(payload.file, failed + 1);
    if (failed < (payload.revertFails ?? 0)) throw new PgPierError('invalidUri', { reason: 'the revert went wrong' });
    appendFileSync(payload.file, `reverted:${step} ${run.attempt} ${process.pid}\n`);
  },
};

export const stepsKinds: JobKinds = { BACKUP: async () => steps };
