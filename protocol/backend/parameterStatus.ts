/** ParameterStatus `S`: name and value, two strings. */
import { backendType, MessageReader, MessageWriter } from '../frame.ts';

export function parameterStatus(name: string, value: string): Buffer {
  return new MessageWriter(backendType.parameterStatus).string(name).string(value).finish();
}

/** Throws RangeError where the message is too short. */
export function readParameterStatus(message: Buffer): readonly [name: string, value: string] {
  const reader = new MessageReader(message);
  return [reader.stringBytes().toString('utf8'), reader.stringBytes().toString('utf8')];
}
