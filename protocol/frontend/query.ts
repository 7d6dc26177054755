/** Query: `Q`, string (PostgreSQL: simple query). */
import { headLength } from '../frame.ts';

/** The bytes of the text without the closing NUL; null where the message does not end in its only NUL (PostgreSQL answers such a one 08P01). */
export function queryText(message: Buffer): Buffer | null {
  const end = message.length - 1;
  return end >= headLength && message.indexOf(0, headLength) === end ? message.subarray(headLength, end) : null;
}
