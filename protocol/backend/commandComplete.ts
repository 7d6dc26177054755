/** CommandComplete: `C`, command tag. */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';

export function commandComplete(tag: string): Buffer {
  return new MessageWriter(backendType.commandComplete).string(tag).finish();
}

export function readCommandTag(message: Buffer): string {
  return new MessageReader(message).name();
}
