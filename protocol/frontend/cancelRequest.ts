/** CancelRequest: length, code 80877102, int32 pid, the key (4 bytes in protocol 3.0, up to 256 from 3.2 on). */
import { maxCancelKeyLength } from '../backend/backendKeyData.ts';

export const cancelRequestCode = 80877102;

export interface CancelKey {
  readonly pid: number;
  readonly secret: Buffer;
}

export function cancelRequest(key: CancelKey): Buffer {
  const packet = Buffer.allocUnsafe(12 + key.secret.length);
  packet.writeInt32BE(packet.length, 0);
  packet.writeInt32BE(cancelRequestCode, 4);
  packet.writeInt32BE(key.pid, 8);
  key.secret.copy(packet, 12);
  return packet;
}

/** @param packet the whole packet, its length included. Undefined where it cannot be one: PostgreSQL closes without a word then. */
export function readCancelRequest(packet: Buffer): CancelKey | undefined {
  if (packet.length <= 12 || packet.length > 12 + maxCancelKeyLength) return undefined;
  return { pid: packet.readInt32BE(8), secret: packet.subarray(12) };
}
