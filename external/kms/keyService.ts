/**
 * What every key service offers, and promises. `test/external/kms/keyServiceContract.ts` is this page as a test, which all providers run.
 *
 * A key service keeps a master key that nobody ever sees, and encrypts short texts with it: the data keys that files are encrypted with. Every failure is
 * a PgPierError whose text is safe to show (errors.ts, "Key services"): it holds no credentials, no plaintext, and nothing of the other side's answer but its code.
 * A cancelled wait is 57014, and each request has a deadline.
 */
export interface KeyService {
  /** Where this is, without secrets and without the key's name, for messages: `aws-kms:///redacted`. */
  readonly location: string;

  /** The name of the master key as the URI says it, of which what is encrypted keeps a SHA-256, to find the URI that decrypts it. Not a secret. */
  readonly keyId: string;

  /**
   * @param plaintext 1 to 190 bytes, which is what an RSA-OAEP-256 key of 2048 bits takes
   * @returns opaque bytes that `decrypt` of the same key reads, years later too; two calls never return the same
   * @throws PgPierError 28000 refused credentials, 42501 no permission, 42704 no such key, 55000 a disabled key, 08xxx out of reach
   */
  encrypt(plaintext: Buffer, options?: { readonly signal?: AbortSignal }): Promise<Buffer>;

  /** @throws PgPierError as `encrypt`; 22023 `kmsCiphertext` for bytes that this key did not make, or that were changed */
  decrypt(ciphertext: Buffer, options?: { readonly signal?: AbortSignal }): Promise<Buffer>;

  /** Frees sockets. Nothing else may be called afterwards. */
  close(): Promise<void>;
}

/** Bytes that every service takes as one plaintext. */
export const longestPlaintext = 190;
