/**
 * Interleaved rounds and their table. Every second round goes in reverse order, and what is printed are medians of the ratios per round, with the
 * least and the largest behind: a machine's hiccup then hits neighbours alike.
 */
import type { Endpoint } from './endpoint.ts';

/** One measurement: amount per second, CPU seconds of the proxy per unit of amount, median latency in µs. */
export interface Sample {
  readonly rate: number;
  readonly cpu: number;
  readonly p50?: number;
}

const columns = [
  ['case', 22],
  ['endpoint', 14],
  ['rate', 9],
  ['/direct', 8],
  ['/pgbouncer', 18],
  ['cpu µs', 8],
  ['cpu/pgbouncer', 18],
  ['p50 µs', 8],
  ['added', 6],
] as const;

export function printHead(): void {
  printRow(columns.map(([title]) => title));
}

/** Measures each endpoint `rounds` times and prints a line for each. The first is the base (`direct`), the second the reference (PgBouncer). */
export async function compare(
  label: string,
  rounds: number,
  endpoints: readonly Endpoint[],
  measure: (endpoint: Endpoint) => Promise<Sample>,
): Promise<void> {
  const samples = new Map<string, Sample[]>(endpoints.map(({ name }) => [name, []]));
  for (let round = 0; round < rounds; round++) {
    for (const endpoint of round % 2 ? [...endpoints].reverse() : endpoints) samples.get(endpoint.name)!.push(await measure(endpoint));
  }
  const base = samples.get('direct');
  const reference = samples.get(endpoints.find(({ name }) => name.startsWith('pgbouncer'))?.name ?? '');
  for (const { name, pid } of endpoints) {
    const own = samples.get(name)!;
    const ratios = (to: Sample[] | undefined, of: (sample: Sample) => number) =>
      own.map((sample, i) => of(sample) / (to ? of(to[i]!) : Number.NaN));
    const p50 = own[0]?.p50 === undefined ? undefined : median(own.map((sample) => sample.p50!));
    printRow([
      label,
      name,
      median(own.map(({ rate }) => rate)).toFixed(0),
      spread(
        ratios(base, ({ rate }) => rate),
        false,
      ),
      spread(ratios(reference, ({ rate }) => rate)),
      pid ? (median(own.map(({ cpu }) => cpu)) * 1e6).toFixed(1) : '-',
      pid ? spread(ratios(reference, ({ cpu }) => cpu)) : '-',
      p50?.toFixed(0) ?? '-',
      p50 === undefined || base === undefined ? '-' : (p50 - median(base.map((sample) => sample.p50!))).toFixed(0),
    ]);
  }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].filter(Number.isFinite).sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return sorted.length % 2 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

function spread(ratios: readonly number[], range = true): string {
  const finite = ratios.filter(Number.isFinite);
  if (finite.length === 0) return '-';
  const middle = median(finite).toFixed(2);
  return range ? `${middle} (${Math.min(...finite).toFixed(2)}-${Math.max(...finite).toFixed(2)})` : middle;
}

function printRow(cells: readonly string[]): void {
  process.stdout.write(
    `${cells
      .map((text, i) => text.padEnd(columns[i]![1]))
      .join(' ')
      .trimEnd()}\n`,
  );
}
