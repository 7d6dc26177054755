import { type TestContext, test } from 'node:test';
import { missingPostgres, type PostgresVersion, startPostgres } from '../servers/postgres.ts';
import { RawConnection } from './rawConnection.ts';

/** A test that runs once on each bare PostgreSQL that we answer for. */
export function testOnEachPostgres(
  name: string,
  body: (connection: RawConnection, version: PostgresVersion, t: TestContext) => Promise<void>,
): void {
  for (const version of [15, 18] as const) {
    test(`${name} (PostgreSQL ${version})`, async (t) => {
      const missing = missingPostgres(version);
      if (missing) return t.skip(`PostgreSQL ${version}: ${missing}`);
      const server = await startPostgres({ version, tcp: false });
      t.after(() => server.stop());
      const connection = await RawConnection.open(server);
      t.after(() => connection.close());
      await body(connection, version, t);
    });
  }
}

/** mulberry32: the same numbers for the same seed, in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

export const pick = <T>(random: () => number, list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
