/** Close: `C`, `S` or `P`, name of the statement or portal. */
import { MessageReader } from '../frame.ts';

export interface Close {
  readonly of: 'statement' | 'portal';
  readonly name: string;
}

export function readClose(message: Buffer): Close | null {
  try {
    const reader = new MessageReader(message);
    const kind = reader.byte();
    const name = reader.name();
    if (!reader.atEnd || (kind !== 0x53 && kind !== 0x50)) return null;
    return { of: kind === 0x53 ? 'statement' : 'portal', name };
  } catch {
    return null;
  }
}
