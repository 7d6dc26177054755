/** A key of AWS KMS, or of what speaks its protocol. Loaded in worker processes alone. */
import { DecryptCommand, EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { PgPierError } from '../../errors.ts';
import { attempts, type KeyProvider, keyProvider, requestHandler } from '../aws/awsAccess.ts';
import { type Egress, openEgress } from '../egress.ts';
import { orAborted } from '../orAborted.ts';
import type { StorageSettings } from '../storage/storage.ts';
import { awsKmsError, type KmsRequest } from './awsKmsErrors.ts';
import type { AwsKmsUri } from './awsKmsUri.ts';
import { type KeyService, longestPlaintext } from './keyService.ts';

/** For one call, all attempts together. */
const callMilliseconds = 30_000;
/** Amazon's own limit. */
const longestCiphertext = 6144;

export function openAwsKms(uri: AwsKmsUri, trusted: boolean, settings: StorageSettings): KeyService {
  return new AwsKms(uri, openEgress({ trusted, allowedNetworks: settings.allowedNetworks }), `pgpier-${settings.nodeId}`);
}

class AwsKms implements KeyService {
  readonly location = 'aws-kms:///redacted';
  readonly keyId: string;
  readonly #endpoint: string;
  readonly #egress: Egress;
  readonly #keys: KeyProvider;
  readonly #client: KMSClient;

  constructor({ key, region, access, endpoint }: AwsKmsUri, egress: Egress, sessionName: string) {
    this.keyId = key;
    this.#endpoint = endpoint ?? 'AWS KMS';
    this.#egress = egress;
    this.#keys = keyProvider(access, { region, endpoint, egress, sessionName });
    this.#client = new KMSClient({
      region,
      credentials: this.#keys,
      maxAttempts: attempts,
      requestHandler: requestHandler(egress),
      ...(endpoint === undefined ? {} : { endpoint }),
    });
  }

  async encrypt(plaintext: Buffer, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Buffer> {
    if (plaintext.length === 0 || plaintext.length > longestPlaintext) throw new PgPierError('kmsPlaintext', { most: longestPlaintext });
    const command = new EncryptCommand({ KeyId: this.keyId, Plaintext: plaintext });
    return await this.#call('encrypt', signal, async (abortSignal) => (await this.#client.send(command, { abortSignal })).CiphertextBlob);
  }

  async decrypt(ciphertext: Buffer, { signal }: { readonly signal?: AbortSignal } = {}): Promise<Buffer> {
    if (ciphertext.length === 0 || ciphertext.length > longestCiphertext) throw new PgPierError('kmsCiphertext');
    // The key is named although the ciphertext tells it: another key of the same account must not do.
    const command = new DecryptCommand({ KeyId: this.keyId, CiphertextBlob: ciphertext });
    return await this.#call('decrypt', signal, async (abortSignal) => (await this.#client.send(command, { abortSignal })).Plaintext);
  }

  async close(): Promise<void> {
    this.#client.destroy();
    this.#egress.close();
  }

  async #call(
    operation: KmsRequest['operation'],
    given: AbortSignal | undefined,
    send: (signal: AbortSignal) => Promise<Uint8Array | undefined>,
  ): Promise<Buffer> {
    const limit = AbortSignal.timeout(callMilliseconds);
    const signal = given ? AbortSignal.any([given, limit]) : limit;
    const request = { operation, location: this.location, endpoint: this.#endpoint, signal };
    try {
      await orAborted(this.#keys(), signal);
      const bytes = await send(signal);
      if (bytes === undefined || bytes.length === 0)
        throw new PgPierError('storageProtocol', { endpoint: this.#endpoint, provider: 'AWS KMS', cause: 'no bytes' });
      return Buffer.from(bytes);
    } catch (error) {
      throw awsKmsError(error, request);
    }
  }
}
