/** Another session beside the measured one: how long its small queries take, now and then. */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';

/** Long enough between two queries that the neighbour itself is no load. */
const PAUSE_MS = 3;

export interface Neighbour {
  /** Runs `work`; the median latency of the queries meanwhile, in µs. NaN if none ended meanwhile. */
  during<T>(work: () => Promise<T>): Promise<{ readonly result: T; readonly p50: number }>;
  stop(): Promise<void>;
}

/** Connects to `url` and asks `select 1` again and again. The measuring process must not block meanwhile. */
export async function startNeighbour(url: string): Promise<Neighbour> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const latencies: number[] = [];
  let running = true;
  const loop = (async () => {
    while (running) {
      const begun = performance.now();
      await client.query('select 1');
      latencies.push((performance.now() - begun) * 1000);
      await sleep(PAUSE_MS);
    }
  })();
  return {
    async during(work) {
      const from = latencies.length;
      const result = await work();
      const sorted = latencies.slice(from).sort((a, b) => a - b);
      return { result, p50: sorted[sorted.length >> 1] ?? Number.NaN };
    },
    async stop() {
      running = false;
      await loop;
      await client.end();
    },
  };
}
