/** Parse: `P`, name, text, int16 count, that many type OIDs (0: not declared). */
import { frontendType, MessageReader, MessageWriter } from '../frame.ts';

export interface Parse {
  /** latin1: one character per byte. */
  readonly name: string;
  readonly text: Buffer;
  readonly typeOids: readonly number[];
}

/** Null where the message is not laid out as a Parse: PostgreSQL is to judge it. */
export function readParse(message: Buffer): Parse | null {
  try {
    const reader = new MessageReader(message);
    const name = reader.name();
    const text = reader.stringBytes();
    const typeOids = Array.from({ length: reader.count() }, () => reader.oid());
    return reader.atEnd ? { name, text, typeOids } : null;
  } catch {
    return null;
  }
}

/** `name` as from `readParse`; `text` in UTF-8. */
export function writeParse(name: string, text: string, typeOids: readonly number[]): Buffer {
  const writer = new MessageWriter(frontendType.parse)
    .bytes(Buffer.from(`${name}\0`, 'latin1'))
    .string(text)
    .count(typeOids.length);
  for (const oid of typeOids) writer.oid(oid);
  return writer.finish();
}
