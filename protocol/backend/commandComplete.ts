/** CommandComplete: `C`, command tag. */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';

export function commandComplete(tag: string): Buffer {
  return new MessageWriter(backendType.commandComplete).string(tag).finish();
}

export function readCommandTag(message: Buffer): string {
  return new MessageReader(message).name();
}

/** The tag of a statement that returns rows: `SELECT 5`. */
export function rowTag(word: string, rows: number): string {
  return `${word} ${rows}`;
}
