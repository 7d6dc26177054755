/** Two runs of a check side by side. */
import type { Item } from './check.ts';

export interface Row {
  readonly check: string;
  readonly items: number;
  /** Not run on PostgreSQL alone, by the check's own decision; no items. */
  readonly skipped: number;
  readonly passedBare: number;
  readonly passedPgpier: number;
  /** What fails on PostgreSQL alone too. */
  readonly failBoth: readonly string[];
  /** What PostgreSQL alone does otherwise: each is a defect. */
  readonly differences: readonly string[];
  /** What PostgreSQL alone does now so, now otherwise. */
  readonly unsteady: readonly string[];
  /** What a relay that only copies bytes makes differ, too. */
  readonly anyRelay: readonly string[];
}

/** Names of items that ran on both and ended otherwise. */
export function differing(bare: readonly Item[], pgpier: readonly Item[]): string[] {
  const through = new Map(pgpier.map((item) => [item.name, item]));
  return bare.filter((item) => through.has(item.name) && verdict(item) !== verdict(through.get(item.name)!)).map(({ name }) => name);
}

export const verdict = ({ failure, skipped }: Item): 'passed' | 'failed' | 'skipped' =>
  skipped ? 'skipped' : failure === undefined ? 'passed' : 'failed';

export function compare(check: string, bare: readonly Item[], pgpier: readonly Item[]): Row {
  const through = new Map(pgpier.map((item) => [item.name, item]));
  /** Passed with other output is not passed. */
  const same = new Set(bare.filter((item) => item.output === through.get(item.name)?.output).map(({ name }) => name));
  const differences = bare.flatMap((item) => {
    const other = through.get(item.name);
    if (other === undefined) return [`${item.name}: missing through PgPier`];
    if (item.failure === undefined && other.failure !== undefined) return [`${item.name}: ${other.failure}`];
    if (verdict(item) !== verdict(other)) return [`${item.name}: ${verdict(other)}, bare ${verdict(item)}`];
    if (item.output === other.output) return [];
    return [`${item.name}: ${firstDifference(item.output ?? '', other.output ?? '')}`];
  });
  const failBoth = bare.flatMap(({ name, failure }) =>
    failure !== undefined && through.get(name)?.failure !== undefined ? [`${name}: ${failure}`] : [],
  );
  if (bare.length === 0) differences.push('nothing was run');
  else if (passed(bare) === 0) differences.push('nothing passes on PostgreSQL alone');
  const known = new Set(bare.map(({ name }) => name));
  for (const { name } of pgpier) if (!known.has(name)) differences.push(`${name}: only through PgPier`);
  return {
    check,
    items: bare.filter(({ skipped }) => !skipped).length,
    skipped: bare.filter(({ skipped }) => skipped).length,
    passedBare: passed(bare),
    passedPgpier: passed(pgpier.filter((item) => same.has(item.name))),
    failBoth,
    differences,
    unsteady: [],
    anyRelay: [],
  };
}

const passed = (items: readonly Item[]): number => items.filter((item) => verdict(item) === 'passed').length;

function firstDifference(bare: string, pgpier: string): string {
  const [lines, others] = [bare.split('\n'), pgpier.split('\n')];
  const at = lines.findIndex((line, i) => line !== others[i]);
  const shown = (line: string | undefined): string => (line === undefined ? 'nothing' : JSON.stringify(line.slice(0, 160)));
  return at < 0 ? `more output: ${shown(others[lines.length])}` : `line ${at + 1} is ${shown(others[at])}, bare ${shown(lines[at])}`;
}
