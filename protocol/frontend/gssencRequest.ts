/** GSSENCRequest: length 8, code 80877104; answered with the one byte `G` or `N`. */
export const gssencRequestCode = 80877104;

export function gssencRequest(): Buffer {
  const packet = Buffer.allocUnsafe(8);
  packet.writeInt32BE(8, 0);
  packet.writeInt32BE(gssencRequestCode, 4);
  return packet;
}
