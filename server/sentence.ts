import { PgPierError } from '../errors.ts';

/** What could not be started, for the person who starts it. Our own errors are for reading; of a defect the stack is needed. */
export function sentence(error: unknown): string {
  if (error instanceof PgPierError)
    return [error.data.message, error.data.detail, error.data.hint].filter((part) => part !== undefined).join(' · ');
  if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) return error.stack ?? error.message;
  return error instanceof Error ? error.message : String(error);
}
