/**
 * A master key in a file, for people without a cloud: 32 bytes in base64 or hex, of mode 0600, in the operator's directory. AES-256-GCM.
 *
 * What is encrypted: one byte for the format (1), 8 bytes that tell the key apart, 12 of nonce, the ciphertext, 16 of tag. The first 9 bytes are the associated
 * data. With random nonces of 12 bytes a key is good for some 2^32 texts, which is a data key for each of four thousand million backups.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { PgPierError } from '../../errors.ts';
import { readKeyText } from '../../formats/keyText.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { type KeyService, longestPlaintext } from './keyService.ts';

const format = 1;
const headBytes = 9;
const nonceBytes = 12;
const tagBytes = 16;
const longestFile = 4096;

/** @throws PgPierError `localKmsKey`: the file is not there, cannot be read, may be read by others, or holds no key */
export async function openLocalKms(name: string, settings: Pick<StorageSettings, 'kmsDir'>): Promise<KeyService> {
  const key = readKey(name, await readKeyFile(name, join(settings.kmsDir!, name)));
  const head = Buffer.from([format, ...Buffer.from(hkdfSync('sha256', key, '', 'pgpier local-kms key id', headBytes - 1))]);
  return {
    location: 'local-kms:///redacted',
    keyId: name,

    async encrypt(plaintext, { signal } = {}) {
      refuseAborted(signal);
      if (plaintext.length === 0 || plaintext.length > longestPlaintext) throw new PgPierError('kmsPlaintext', { most: longestPlaintext });
      const nonce = randomBytes(nonceBytes);
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(head);
      return Buffer.concat([head, nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    },

    async decrypt(ciphertext, { signal } = {}) {
      refuseAborted(signal);
      if (ciphertext.length <= headBytes + nonceBytes + tagBytes || ciphertext[0] !== format) throw new PgPierError('kmsCiphertext');
      const [nonceAt, tagAt] = [headBytes + nonceBytes, ciphertext.length - tagBytes];
      if (!ciphertext.subarray(0, headBytes).equals(head)) throw new PgPierError('kmsCiphertext');
      const decipher = createDecipheriv('aes-256-gcm', key, ciphertext.subarray(headBytes, nonceAt)).setAAD(head);
      try {
        decipher.setAuthTag(ciphertext.subarray(tagAt));
        return Buffer.concat([decipher.update(ciphertext.subarray(nonceAt, tagAt)), decipher.final()]);
      } catch {
        throw new PgPierError('kmsCiphertext');
      }
    },

    async close() {
      key.fill(0);
    },
  };
}

/** Judged by the open file, not by its name: it cannot be another one by then. */
async function readKeyFile(name: string, path: string): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
    const about = await file.stat();
    if (!about.isFile() || about.size > longestFile) throw new PgPierError('localKmsKey', { name, reason: 'it is no key file' });
    if (process.platform !== 'win32' && (about.mode & 0o077) !== 0)
      throw new PgPierError('localKmsKey', {
        name,
        reason: `others may read its file (mode ${(about.mode & 0o777).toString(8).padStart(4, '0')})`,
      });
    return await file.readFile('utf8');
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw new PgPierError('localKmsKeyMissing', { name });
    throw new PgPierError('localKmsKey', { name, reason: `its file cannot be read (${code ?? 'unknown'})` });
  } finally {
    await file?.close();
  }
}

function readKey(name: string, text: string): Buffer {
  const key = readKeyText(text);
  if (key === undefined) throw new PgPierError('localKmsKey', { name, reason: 'it does not hold 32 bytes in base64 or hex' });
  return key;
}

function refuseAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new PgPierError('storageCanceled', { location: 'local-kms:///redacted' });
}
