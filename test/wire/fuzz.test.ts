/** Seeded random walks, on bare PostgreSQL and through the proxy. PGPIER_FUZZ_WALKS and PGPIER_FUZZ_SEED choose others. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Pgpier, startPgpier } from '../servers/pgpier.ts';
import { missingPostgres } from '../servers/postgres.ts';
import { normalise, randomWalk } from './walk.ts';
import { startWireLab, type WireLab } from './wireLab.ts';
import { type Endpoint, randomCuts, randomNumbers, WireSession, whole } from './wireSession.ts';

const walks = Number(process.env.PGPIER_FUZZ_WALKS ?? 150);
const firstSeed = Number(process.env.PGPIER_FUZZ_SEED ?? 1);

describe('random walks over the protocol', { skip: missingPostgres(15) }, () => {
  let lab: WireLab;
  let pgpier: Pgpier;
  before(async () => {
    lab = await startWireLab(15);
    await lab.reset();
    pgpier = await startPgpier({ backend: lab.postgres });
  });
  after(async () => {
    await pgpier?.stop();
    await lab?.stop();
  });

  const run = async (endpoint: Endpoint, lines: string[], cut: typeof whole): Promise<string[]> => {
    await lab.sql('truncate t');
    const session = await WireSession.open(endpoint, lab.login, cut);
    try {
      await session.send(...lines);
      const heard: string[] = [];
      for (let end = false; !end; ) {
        const part = await session.until('Z');
        heard.push(...part);
        end = part.includes('D ("end of walk")') || part.at(-1) === 'eof';
      }
      return heard;
    } catch (error) {
      return [`${(error as Error).message}`];
    } finally {
      session.close();
    }
  };

  for (const [title, withOwn] of [
    ['foreign messages alone', false],
    ['our statements among them', true],
  ] as const) {
    test(`${walks} walks of ${title} answer as PostgreSQL does`, async () => {
      for (let seed = firstSeed; seed < firstSeed + walks; seed++) {
        const random = randomNumbers(seed * 2 + (withOwn ? 1 : 0));
        const walk = randomWalk(random, 5 + Math.floor(random() * 25), withOwn);
        const truth = await run(
          lab.bare,
          walk.map((step) => step.bare),
          whole,
        );
        const cut = seed % 3 === 0 ? whole : randomCuts(seed);
        const heard = await run(
          { host: pgpier.host, port: pgpier.port },
          walk.map((step) => step.proxied),
          cut,
        );
        const script = walk.map((step) => `> ${step.proxied}`).join('\n');
        assert.equal(normalise(heard).join('\n'), normalise(truth).join('\n'), `seed ${seed}, sent:\n${script}`);
      }
    });
  }
});
