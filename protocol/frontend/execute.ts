/** Execute: `E`, portal, int32 row limit (0: none). */
import { MessageReader } from '../frame.ts';

export interface Execute {
  readonly portal: string;
  readonly maxRows: number;
}

export function readExecute(message: Buffer): Execute | null {
  try {
    const reader = new MessageReader(message);
    const portal = reader.name();
    const maxRows = reader.int32();
    return reader.atEnd ? { portal, maxRows } : null;
  } catch {
    return null;
  }
}
