/** BackendKeyData `K`: int32 pid, then the cancel key: 4 bytes in protocol 3.0, up to 256 from 3.2 on. */
import { backendType, headLength, MessageWriter } from '../frame.ts';

export const maxCancelKeyLength = 256;

export interface BackendKeyData {
  readonly pid: number;
  readonly secret: Buffer;
}

export function backendKeyData(key: BackendKeyData): Buffer {
  return new MessageWriter(backendType.backendKeyData).int32(key.pid).bytes(key.secret).finish();
}

/** The key is a copy. Undefined where it is empty or too long: no cancel can be sent with it. */
export function readBackendKeyData(message: Buffer): BackendKeyData | undefined {
  const length = message.length - headLength - 4;
  if (length < 1 || length > maxCancelKeyLength) return undefined;
  return { pid: message.readInt32BE(headLength), secret: Buffer.from(message.subarray(headLength + 4)) };
}
