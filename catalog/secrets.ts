/**
 * Credentials at rest: AES-256-GCM per value, the row and column as associated data, so that a value moved to another row cannot be read.
 * A value is `version (1) | nonce (12) | ciphertext | tag (16)`.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { inspect } from 'node:util';
import { PgPierError } from '../errors.ts';

/** A value that prints as `***` wherever it is printed by accident. Whoever needs it says `reveal()`. */
export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  [Symbol.toPrimitive](): string {
    return '***';
  }

  [inspect.custom](): string {
    return '***';
  }
}

const version = 1;
const nonceLength = 12;
const tagLength = 16;

/** `place` names the row and column, `external_connection/<id>/uri`. */
export function encrypt(key: Buffer, place: string, plain: Uint8Array): Buffer {
  const nonce = randomBytes(nonceLength);
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagLength }).setAAD(Buffer.from(place));
  const body = Buffer.concat([cipher.update(plain), cipher.final()]);
  return Buffer.concat([Buffer.of(version), nonce, body, cipher.getAuthTag()]);
}

/** Throws `secretUnreadable` for a value that another key wrote, that stood in another place, or that was changed. */
export function decrypt(key: Buffer, place: string, stored: Buffer): Buffer {
  if (stored.length < 1 + nonceLength + tagLength || stored[0] !== version) throw new PgPierError('secretUnreadable', { place });
  const tagAt = stored.length - tagLength;
  const decipher = createDecipheriv('aes-256-gcm', key, stored.subarray(1, 1 + nonceLength), { authTagLength: tagLength });
  decipher.setAAD(Buffer.from(place)).setAuthTag(stored.subarray(tagAt));
  try {
    return Buffer.concat([decipher.update(stored.subarray(1 + nonceLength, tagAt)), decipher.final()]);
  } catch {
    throw new PgPierError('secretUnreadable', { place });
  }
}
