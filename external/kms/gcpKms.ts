/** A key of Google Cloud KMS, by its JSON API. Loaded in worker processes alone. */
import { PgPierError } from '../../errors.ts';
import { Crc32c } from '../../formats/crc32c.ts';
import { type Egress, openEgress } from '../egress.ts';
import { GoogleClient } from '../google/client.ts';
import { googleError } from '../google/errors.ts';
import type { GoogleFailure } from '../google/http.ts';
import { keepAmbientTokens } from '../google/login.ts';
import { openTokens } from '../google/tokens.ts';
import type { StorageSettings } from '../storage/storage.ts';
import type { GcpKmsUri } from './gcpKmsUri.ts';
import { type KeyService, longestPlaintext } from './keyService.ts';

const googleEndpoint = 'https://cloudkms.googleapis.com';
const scope = 'https://www.googleapis.com/auth/cloudkms';
const provider = 'Google Cloud KMS';
/** For one call, all attempts together. */
const callMilliseconds = 30_000;
/** A plaintext may have 64 KiB at Google, of which we use 190 bytes. */
const longestCiphertext = 64 * 1024;

export function openGcpKms(uri: GcpKmsUri, trusted: boolean, settings: Pick<StorageSettings, 'allowedNetworks'>): KeyService {
  keepAmbientTokens(uri, trusted);
  return new GcpKms(uri, openEgress({ trusted, allowedNetworks: settings.allowedNetworks }));
}

type Options = { readonly signal?: AbortSignal };

class GcpKms implements KeyService {
  readonly location = 'gcp-kms:///redacted';
  readonly keyId: string;
  readonly #endpoint: string;
  readonly #client: GoogleClient;

  constructor({ key, login, endpoint = googleEndpoint }: GcpKmsUri, egress: Egress) {
    this.keyId = key;
    this.#endpoint = endpoint;
    const tokens = openTokens(login, { egress, location: this.location, scope });
    this.#client = new GoogleClient({ endpoint, provider }, { egress, tokens });
  }

  async encrypt(plaintext: Buffer, { signal }: Options = {}): Promise<Buffer> {
    if (plaintext.length === 0 || plaintext.length > longestPlaintext) throw new PgPierError('kmsPlaintext', { most: longestPlaintext });
    const body = { plaintext: plaintext.toString('base64'), plaintextCrc32c: sumOf(plaintext) };
    const made = await this.#call('encrypt', body, signal);
    if (made.verifiedPlaintextCrc32c !== true) throw this.#client.stranger('no checksum');
    return this.#bytes(made.ciphertext, made.ciphertextCrc32c);
  }

  async decrypt(ciphertext: Buffer, { signal }: Options = {}): Promise<Buffer> {
    if (ciphertext.length === 0 || ciphertext.length > longestCiphertext) throw new PgPierError('kmsCiphertext');
    const body = { ciphertext: ciphertext.toString('base64'), ciphertextCrc32c: sumOf(ciphertext) };
    const made = await this.#call('decrypt', body, signal);
    return this.#bytes(made.plaintext, made.plaintextCrc32c);
  }

  async close(): Promise<void> {
    this.#client.close();
  }

  async #call(operation: 'encrypt' | 'decrypt', body: object, given: AbortSignal | undefined): Promise<Answer> {
    const limit = AbortSignal.timeout(callMilliseconds);
    const signal = given ? AbortSignal.any([given, limit]) : limit;
    const request = { operation, location: this.location, endpoint: this.#endpoint, provider, signal };
    try {
      return await this.#client.json({
        method: 'POST',
        url: `/v1/${this.keyId}:${operation}`,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal,
      });
    } catch (error) {
      throw googleError(error, request, (failure) => this.#refusal(operation, failure));
    }
  }

  #refusal(operation: 'encrypt' | 'decrypt', { status, code }: GoogleFailure): PgPierError | undefined {
    const { location } = this;
    // A page of something else that says 403 or 404 says nothing about the key.
    if (code === undefined) return undefined;
    if (status === 403) return new PgPierError('kmsDenied', { operation, location });
    if (status === 404) return new PgPierError('kmsNoSuchKey', { location });
    if (code === 'FAILED_PRECONDITION') return new PgPierError('kmsKeyUnusable', { location, cause: code });
    if (code === 'INVALID_ARGUMENT' && operation === 'decrypt') return new PgPierError('kmsCiphertext');
    return undefined;
  }

  #bytes(text: unknown, sum: unknown): Buffer {
    if (typeof text !== 'string' || text === '' || typeof sum !== 'string') throw this.#client.stranger('no bytes');
    const bytes = Buffer.from(text, 'base64');
    if (sumOf(bytes) !== sum) throw new PgPierError('kmsDamaged', { location: this.location });
    return bytes;
  }
}

/** Of both calls. */
interface Answer {
  readonly ciphertext?: unknown;
  readonly ciphertextCrc32c?: unknown;
  readonly verifiedPlaintextCrc32c?: unknown;
  readonly plaintext?: unknown;
  readonly plaintextCrc32c?: unknown;
}

/** CRC-32C as JSON writes a number of 64 bits. */
function sumOf(bytes: Buffer): string {
  const sum = new Crc32c();
  sum.update(bytes);
  return String(sum.value());
}
