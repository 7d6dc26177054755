/** SSLRequest: length 8, code 80877103; answered with the one byte `S` or `N`. */
export const sslRequestCode = 80877103;

export function sslRequest(): Buffer {
  const packet = Buffer.allocUnsafe(8);
  packet.writeInt32BE(8, 0);
  packet.writeInt32BE(sslRequestCode, 4);
  return packet;
}
