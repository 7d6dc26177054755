import { PgPierError } from '../../errors.ts';

/** A catalog that is away for a moment does not fail a job: the hold on it, which the signal tells of, lasts some seconds without. */
export async function throughOutage<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof PgPierError) || error.data.sqlstate !== '57P03') throw error;
      await new Promise((resolve) => setTimeout(resolve, 500));
      signal.throwIfAborted();
    }
  }
}
