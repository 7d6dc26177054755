/**
 * Seeded random walks, on bare PostgreSQL and through the proxy. PGPIER_FUZZ_WALKS and PGPIER_FUZZ_SEED choose others; `npm run fuzz` takes 100,000.
 * A walk that differs is made as short as it can be and kept as a wire script.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { type Delays, startDelays } from './delays.ts';
import { asScript, reduce } from './reduce.ts';
import { runWalk } from './runWalk.ts';
import { endOfWalk, normalise, randomWalk, type WalkStep } from './walk.ts';
import { startWireLab, type WireLab } from './wireLab.ts';
import { type Cutter, type Endpoint, randomCuts, randomNumbers, whole } from './wireSession.ts';

const walks = Number(process.env.PGPIER_FUZZ_WALKS ?? 1_000);
const firstSeed = Number(process.env.PGPIER_FUZZ_SEED ?? 1);
const keepIn = process.env.PGPIER_FUZZ_KEEP ?? join(tmpdir(), 'pgpier-fuzz');
/** Each with a schema of its own, so that walks side by side do not meet in `t`. */
const lanes = 3;
const key = Buffer.alloc(32, 7).toString('base64');

describe('random walks over the protocol', { skip: missingPostgres(15) }, () => {
  let lab: WireLab;
  let pgpier: Pgpier;
  /** A proxy whose backend is far away, reached by a path that is slow as well. */
  let behindDelays: Pgpier;
  const delays: Delays[] = [];
  let proxied: Endpoint;
  let slow: Endpoint;
  before(async () => {
    lab = await startWireLab(15);
    await lab.reset();
    for (let lane = 0; lane < lanes; lane++) await lab.sql(`create schema lane${lane} create table t (id int primary key, v text)`);
    pgpier = await startPgpier({ backend: lab.postgres, env: { PGPIER_SECRET_KEY: key } });
    proxied = { host: pgpier.host, port: pgpier.port };
    const far = await startDelays({ path: `${lab.postgres.socketDir}/.s.PGSQL.${lab.postgres.port}` }, 1);
    delays.push(far);
    const env = { PGPIER_SECRET_KEY: key, PGPIER_BACKEND: `postgres://postgres@127.0.0.1:${far.port}/postgres` };
    behindDelays = await startPgpier({ backend: lab.postgres, env });
    const near = await startDelays({ host: behindDelays.host, port: behindDelays.port }, 2);
    delays.push(near);
    slow = { host: near.host, port: near.port };
  });
  after(async () => {
    for (const each of delays) each.stop();
    await pgpier?.stop();
    await behindDelays?.stop();
    await lab?.stop();
  });

  const asleepSince = async (pid: number): Promise<string | undefined> => {
    const [row] = await lab.sql(`select query_start::text from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'`, [pid]);
    return row?.query_start as string | undefined;
  };

  /** What both sides answered, made comparable. */
  const both = async (
    steps: readonly WalkStep[],
    lane: number,
    endpoint: Endpoint,
    cut: Cutter,
  ): Promise<{ truth: string; heard: string }> => {
    const login = { ...lab.login, options: `-c search_path=lane${lane}` };
    const side = async (which: 'bare' | 'proxied', to: Endpoint, cutter: Cutter): Promise<string> => {
      await lab.sql(`truncate lane${lane}.t`);
      return normalise(await runWalk(steps, { endpoint: to, login, side: which, cut: cutter, asleepSince })).join('\n');
    };
    return { truth: await side('bare', lab.bare, whole), heard: await side('proxied', endpoint, cut) };
  };

  for (const [title, withOwn] of [
    ['foreign messages alone', false],
    ['our statements among them', true],
  ] as const) {
    test(`${walks} walks of ${title} answer as PostgreSQL does`, async () => {
      let next = firstSeed;
      const walkOn = async (lane: number): Promise<void> => {
        while (next < firstSeed + walks) {
          const seed = next++;
          const random = randomNumbers(seed * 2 + (withOwn ? 1 : 0));
          const steps = randomWalk(random, 5 + Math.floor(random() * 25), withOwn);
          const endpoint = seed % 5 === 0 ? slow : proxied;
          const cut = seed % 3 === 0 ? whole : randomCuts(seed);
          const { truth, heard } = await both(steps, lane, endpoint, cut);
          if (truth === heard) continue;
          next = Number.POSITIVE_INFINITY;
          const least = await reduce(steps, async (fewer) => {
            const again = await both(fewer, lane, endpoint, cut);
            return again.truth !== again.heard;
          });
          const script = asScript(`found by seed ${seed}${withOwn ? ', with our statements' : ''}`, least, endOfWalk.lines);
          mkdirSync(keepIn, { recursive: true });
          const file = join(keepIn, `seed-${seed}${withOwn ? '-own' : ''}.txt`);
          writeFileSync(file, script);
          const shown = await both(least, lane, endpoint, cut);
          assert.equal(shown.heard, shown.truth, `seed ${seed}; kept in ${file}:\n${script}`);
          assert.equal(heard, truth, `seed ${seed}, not again when it was made shorter; kept in ${file}:\n${script}`);
        }
      };
      await Promise.all(Array.from({ length: lanes }, (_, lane) => walkOn(lane)));
    });
  }
});
