/**
 * The first packet of a connection: int32 length, int32 code, content; no type byte. The code tells a StartupMessage (the protocol's version)
 * from SSLRequest, GSSENCRequest and CancelRequest (PostgreSQL: ProcessStartupPacket in backend_startup.c), and from PgPier's own.
 */
import { cancelRequestCode } from './cancelRequest.ts';
import { gssencRequestCode } from './gssencRequest.ts';
import { nodeRequestCode } from './nodeRequest.ts';
import { sslRequestCode } from './sslRequest.ts';

/** Limits of the whole packet, its length field included, which PostgreSQL's MAX_STARTUP_PACKET_LENGTH of 10 000 leaves out. */
export const minStartupLength = 8;
export const maxStartupLength = 10_004;

export type StartupPacketKind = 'startup' | 'cancel' | 'ssl' | 'gssenc' | 'node';

/** @param packet at least its first 8 bytes. */
export function startupPacketKind(packet: Buffer): StartupPacketKind {
  switch (packet.readInt32BE(4)) {
    case cancelRequestCode:
      return 'cancel';
    case sslRequestCode:
      return 'ssl';
    case gssencRequestCode:
      return 'gssenc';
    case nodeRequestCode:
      return 'node';
    default:
      return 'startup';
  }
}

export interface StartupMessage {
  readonly major: number;
  readonly minor: number;
  /** In the packet's order; a name may come twice, and then the last one counts. Undecodable bytes are replaced: for logs and decisions only. */
  readonly parameters: readonly (readonly [name: string, value: string])[];
}

/** @param packet the whole packet. Undefined: the layout is wrong ("expected terminator as last byte"). Any version is read as 3.x is. */
export function readStartupMessage(packet: Buffer): StartupMessage | undefined {
  const parameters: [string, string][] = [];
  let offset = 8;
  while (offset < packet.length && packet[offset] !== 0) {
    const nameEnd = packet.indexOf(0, offset);
    if (nameEnd < 0) return undefined;
    const valueEnd = packet.indexOf(0, nameEnd + 1);
    if (valueEnd < 0) return undefined;
    parameters.push([packet.toString('utf8', offset, nameEnd), packet.toString('utf8', nameEnd + 1, valueEnd)]);
    offset = valueEnd + 1;
  }
  if (offset !== packet.length - 1) return undefined;
  return { major: packet.readUInt16BE(4), minor: packet.readUInt16BE(6), parameters };
}

export function startupMessage(version: { major: number; minor: number }, parameters: Iterable<readonly [string, string]>): Buffer {
  const text: string[] = [];
  for (const [name, value] of parameters) {
    if (name === '' || name.includes('\0') || value.includes('\0')) throw new RangeError('a startup parameter cannot be written');
    text.push(`${name}\0${value}\0`);
  }
  const content = Buffer.from(`${text.join('')}\0`, 'utf8');
  const head = Buffer.allocUnsafe(8);
  head.writeInt32BE(8 + content.length, 0);
  head.writeUInt16BE(version.major, 4);
  head.writeUInt16BE(version.minor, 6);
  return Buffer.concat([head, content]);
}

/**
 * Whether the value of `replication` asks for a walsender: `database`, or what PostgreSQL's parse_bool takes for true (a prefix of true or yes,
 * `on`, `1`; any case). What it takes for neither true nor false is answered by the backend with an error.
 */
export function asksForReplication(value: string): boolean {
  if (value === 'database' || value === '1') return true;
  const word = value.toLowerCase();
  return word === 'on' || (word !== '' && ('true'.startsWith(word) || 'yes'.startsWith(word)));
}
