/** Prints messages as libpq's PQtrace does, one line each, for tests and debugging: direction, length, name. Contents are left out: they may hold secrets. */
import { backendType, frontendType, headLength } from './frame.ts';

const names = (types: Readonly<Record<string, number>>): ReadonlyMap<number, string> =>
  new Map(Object.entries(types).map(([name, type]) => [type, name[0]!.toUpperCase() + name.slice(1)]));

const frontendNames = names(frontendType);
const backendNames = names(backendType);

/** One line a whole message in `bytes`; `F` from the client, `B` from the backend. A cut message is named as such. */
export function trace(direction: 'F' | 'B', bytes: Buffer): string[] {
  const known = direction === 'F' ? frontendNames : backendNames;
  const lines: string[] = [];
  for (let position = 0; position < bytes.length; ) {
    if (bytes.length - position < headLength) return [...lines, `${direction}\t${bytes.length - position}\t(cut)`];
    const length = bytes.readInt32BE(position + 1);
    const type = bytes[position]!;
    lines.push(`${direction}\t${length}\t${known.get(type) ?? `unknown 0x${type.toString(16)}`}`);
    if (length < 4) return lines;
    position += 1 + length;
  }
  return lines;
}
