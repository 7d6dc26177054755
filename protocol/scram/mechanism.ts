/** What both sides of SCRAM-SHA-256 share (RFC 5802, 7677). */
import { createHash, createHmac } from 'node:crypto';

export const scramSha256 = 'SCRAM-SHA-256';
export const scramSha256Plus = 'SCRAM-SHA-256-PLUS';

export type ScramMechanism = typeof scramSha256 | typeof scramSha256Plus;

/** 32 bytes. Messages are taken as latin1, one character a byte, so that no byte of a name is lost. */
export function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest();
}

/** H(ClientKey): what a verifier holds as StoredKey. */
export function storedKeyOf(clientKey: Uint8Array): Buffer {
  return createHash('sha256').update(clientKey).digest();
}

/** ClientKey XOR ClientSignature is the proof, and the proof XOR ClientSignature the ClientKey. */
export function exclusiveOr(left: Uint8Array, right: Uint8Array): Buffer {
  return Buffer.from(left.map((byte, index) => byte ^ right[index]!));
}
