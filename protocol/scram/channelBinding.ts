/**
 * tls-server-end-point (RFC 5929): the server certificate's hash, by the hash of its own signature, MD5 and SHA-1 raised to SHA-256. The
 * algorithm is read from the DER, as Node before 24.9 does not tell it.
 */
import { createHash } from 'node:crypto';

/** Content bytes of the signature algorithm's OID, in hex. RSASSA-PSS and EdDSA are absent: libpq and PostgreSQL before 16 have no binding for them. */
const hashBySignature: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a864886f70d01010e': 'sha224',
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};

/** Undefined where the certificate's signature has no hash of its own or one that is not known. */
export function tlsServerEndPoint(certificate: Uint8Array): Buffer | undefined {
  const der = Buffer.from(certificate.buffer, certificate.byteOffset, certificate.byteLength);
  try {
    // Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, … }, … }
    const tbs = element(der, element(der, 0, 0x30).start, 0x30);
    const algorithm = element(der, tbs.end, 0x30);
    const oid = element(der, algorithm.start, 0x06);
    const hash = hashBySignature[der.toString('hex', oid.start, oid.end)];
    return hash === undefined ? undefined : createHash(hash).update(der).digest();
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

/** Where the content of the DER element at `at` begins and ends. */
function element(der: Buffer, at: number, tag: number): { start: number; end: number } {
  if (der.readUInt8(at) !== tag) throw new RangeError('unexpected DER tag');
  const short = der.readUInt8(at + 1);
  const lengthBytes = short < 0x80 ? 0 : short & 0x7f;
  if (lengthBytes > 4) throw new RangeError('DER length');
  const start = at + 2 + lengthBytes;
  const length = lengthBytes === 0 ? short : der.readUIntBE(at + 2, lengthBytes);
  if (start + length > der.length) throw new RangeError('DER ends too early');
  return { start, end: start + length };
}
