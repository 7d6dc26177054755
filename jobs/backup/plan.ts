/** Which connection copies what: whole tables where that balances, parts of tables where one table would keep the others waiting. Pure. */

export interface PlannedTable {
  /** Bytes on disk with TOAST: what copying it costs, about. */
  readonly size: number;
  /** Blocks of its main fork, counted in the snapshot's transaction. */
  readonly blocks: number;
  /** Whether parts of it can be read by themselves: a heap, and a server that scans ranges of ctid. */
  readonly divisible: boolean;
}

/** `range`: blocks from and up to but without; without `to`, to the end, since a table may grow while its size is asked. */
export interface PlannedCopy {
  readonly table: number;
  readonly size: number;
  readonly range?: { readonly from: number; readonly to?: number };
}

/** Below this a table is copied whole: the other connections have enough to do meanwhile. */
const SMALLEST_DIVIDED = 256 * 1024 * 1024;
const SMALLEST_PART = 128 * 1024 * 1024;
/** A range of ctid costs the server some 12 % more than the whole table, so an imbalance of less than half a share is borne. */
const TOLERATED = 1.5;

/**
 * The copies, largest first. A table is divided when it is half as large again as a connection's share of everything.
 * @param connections at least 1
 */
export function planCopies(tables: readonly PlannedTable[], connections: number): PlannedCopy[] {
  const share = tables.reduce((sum, { size }) => sum + size, 0) / connections;
  const copies = tables.flatMap((table, index): PlannedCopy[] => {
    const { size, blocks } = table;
    if (!table.divisible || connections < 2 || size < SMALLEST_DIVIDED || size <= TOLERATED * share) return [{ table: index, size }];
    // Four parts for each connection: the last ones to end leave others idle for a quarter of a share at most.
    const parts = Math.min(Math.ceil(size / Math.max(SMALLEST_PART, share / 4)), blocks);
    if (parts < 2) return [{ table: index, size }];
    return Array.from({ length: parts }, (_, part) => {
      const from = Math.floor((blocks * part) / parts);
      const to = Math.floor((blocks * (part + 1)) / parts);
      return { table: index, size: size / parts, range: part === parts - 1 ? { from } : { from, to } };
    });
  });
  return copies.sort((a, b) => b.size - a.size);
}
