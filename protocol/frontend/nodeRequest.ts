/**
 * A packet of PgPier's own: another PgPier of the same catalog asks, on the port of the clients, for the files of this node. Length 8 and a code, which
 * PostgreSQL takes for a protocol version that it does not know. Answered with the one byte `P`; TLS follows. Another way of talking gets another code.
 */
export const nodeRequestCode = 0x50675031;

export const nodeRequestTaken = 'P';

export function nodeRequest(): Buffer {
  const packet = Buffer.allocUnsafe(8);
  packet.writeInt32BE(8, 0);
  packet.writeInt32BE(nodeRequestCode, 4);
  return packet;
}
