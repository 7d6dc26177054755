import { PgPierError } from '../errors.ts';

const largest = 2n ** 63n - 1n;

/** A job's id as PostgreSQL would read an int8. Throws `jobIdInvalid`. */
export function jobIdOf(text: string): string {
  const id = /^\s*(\d{1,30})\s*$/.exec(text)?.[1];
  if (id === undefined || BigInt(id) > largest) throw new PgPierError('jobIdInvalid', { id: text.slice(0, 40) });
  return String(BigInt(id));
}
