/**
 * What differs is run again, alone, on both, and through a relay that only copies bytes. A test that PostgreSQL alone now passes and now fails tells
 * nothing about PgPier; one that any relay fails tells of the distance that it puts between client and server.
 */
import type { Endpoint, Item } from './check.ts';
import { differing, verdict } from './compare.ts';

const rounds = 3;
const sides = ['bare', 'pgpier', 'relay'] as const;

export interface Settled {
  /** Without what is unsteady on PostgreSQL alone, and what any relay does. */
  readonly bare: readonly Item[];
  readonly pgpier: readonly Item[];
  /** Sentences, one for each name left out. */
  readonly unsteady: readonly string[];
  readonly anyRelay: readonly string[];
}

/** A difference stays one, however rarely it shows, unless PostgreSQL alone shows both verdicts, or a relay shows PgPier's. */
export async function settle(
  bare: readonly Item[],
  pgpier: readonly Item[],
  rerun: (side: Endpoint['name'], names: readonly string[]) => Promise<readonly Item[]>,
): Promise<Settled> {
  const names = differing(bare, pgpier);
  if (names.length === 0) return { bare, pgpier, unsteady: [], anyRelay: [] };
  const seen: Record<Endpoint['name'], (readonly Item[])[]> = { bare: [bare], pgpier: [pgpier], relay: [] };
  for (let round = 0; round < rounds; round++) {
    for (const side of sides) seen[side].push(await rerun(side, names));
  }
  const verdicts = (side: Endpoint['name'], name: string): string[] =>
    seen[side].flatMap((items) => items.filter((item) => item.name === name).map(verdict));
  const told = (name: string): string =>
    `alone ${verdicts('bare', name).join(', ')}; through PgPier ${verdicts('pgpier', name).join(', ')}; through a relay that only copies ${verdicts('relay', name).join(', ')}`;
  const unsteady = new Set(names.filter((name) => new Set(verdicts('bare', name)).size > 1));
  const otherwise = new Map(pgpier.map((item) => [item.name, verdict(item)]));
  const relayed = new Set(names.filter((name) => !unsteady.has(name) && verdicts('relay', name).includes(otherwise.get(name)!)));
  const kept = (items: readonly Item[]): Item[] => items.filter(({ name }) => !unsteady.has(name) && !relayed.has(name));
  return {
    bare: kept(bare),
    pgpier: kept(pgpier).map((item) =>
      names.includes(item.name) && item.failure !== undefined ? { ...item, failure: `${item.failure} (${told(item.name)})` } : item,
    ),
    unsteady: [...unsteady].map((name) => `${name}: ${told(name)}`),
    anyRelay: [...relayed].map((name) => `${name}: ${told(name)}`),
  };
}
