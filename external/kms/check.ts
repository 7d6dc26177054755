/** Proves that a key encrypts and decrypts, as CREATE EXTERNAL CONNECTION promises (spec: cockroachdb §1.3). */
import { PgPierError, toErrorData } from '../../errors.ts';
import type { ProviderTarget } from '../provider.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { openKeyService } from './keyServices.ts';

/** CockroachDB's text. */
const markerText = 'a CockroachDB cluster has been configured to interact with this KMS';

/** For everything together. A client waits, and so does its transaction. */
const checkMilliseconds = 15_000;

/**
 * @returns the bytes that were encrypted
 * @throws PgPierError: CockroachDB's words for the step, then the cause, with the cause's SQLSTATE
 */
export async function checkKeyService(target: ProviderTarget, settings: StorageSettings, signal: AbortSignal): Promise<number> {
  const limited = AbortSignal.any([signal, AbortSignal.timeout(checkMilliseconds)]);
  const service = await openKeyService(target, settings);
  try {
    const marker = Buffer.from(markerText);
    const encrypted = await step('encrypt', () => service.encrypt(marker, { signal: limited }));
    const decrypted = await step('decrypt', () => service.decrypt(encrypted, { signal: limited }));
    // The bytes are not shown: they are what some key made of some text.
    if (!decrypted.equals(marker)) throw new PgPierError('kmsMarkerMismatch');
    return marker.length;
  } finally {
    await service.close();
  }
}

async function step<T>(word: 'encrypt' | 'decrypt', work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const cause = toErrorData(error);
    throw PgPierError.from({ ...cause, message: `failed to ${word} marker content when setting up External Connection: ${cause.message}` });
  }
}
