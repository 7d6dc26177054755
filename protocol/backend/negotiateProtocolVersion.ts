/**
 * NegotiateProtocolVersion `v`: the newest version the server speaks (full number, e.g. 0x00030002; before PostgreSQL 18 the minor alone was documented),
 * then the `_pq_.` options it does not know. The backend's own goes to the client as it is: nobody then promises more than the backend keeps.
 */
import { MessageReader, MessageWriter } from '../frame.ts';

export const negotiateProtocolVersionType = 0x76;

export interface NegotiateProtocolVersion {
  readonly version: number;
  readonly unknownOptions: readonly string[];
}

export function negotiateProtocolVersion(answer: NegotiateProtocolVersion): Buffer {
  const writer = new MessageWriter(negotiateProtocolVersionType).int32(answer.version).int32(answer.unknownOptions.length);
  for (const option of answer.unknownOptions) writer.string(option);
  return writer.finish();
}

/** Throws RangeError where the message is too short. */
export function readNegotiateProtocolVersion(message: Buffer): NegotiateProtocolVersion {
  const reader = new MessageReader(message);
  const version = reader.int32();
  const unknownOptions: string[] = [];
  for (let left = reader.int32(); left > 0; left--) unknownOptions.push(reader.name());
  return { version, unknownOptions };
}
