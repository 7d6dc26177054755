/**
 * The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677; PostgreSQL leaves the user name empty). Pure but for the
 * key derivation, which runs on Node's thread pool. What the server sends is held to limits: a hostile one could ask for hours of work.
 */
import { createHash, createHmac, pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { saslPrep } from './saslPrep.ts';

const derive = promisify(pbkdf2);

export const scramSha256 = 'SCRAM-SHA-256';
export const scramSha256Plus = 'SCRAM-SHA-256-PLUS';

/** PostgreSQL's default is 4096; a million take about a third of a second. */
export const maxIterations = 1_000_000;
const maxNonceLength = 1024;
const maxSaltLength = 1024;

/** The server's part is not valid, or it does not know the password's verifier. */
export class ScramError extends Error {}

export interface ScramCredentials {
  readonly password: Uint8Array;
  /** Printable ASCII without a comma. */
  readonly nonce: string;
  /** Not used by PostgreSQL, which takes the startup packet's. */
  readonly user?: string;
  /** tls-server-end-point data: the mechanism is then SCRAM-SHA-256-PLUS. Without it the flag is `n`, never `y`. */
  readonly channelBinding?: Uint8Array;
}

export class ScramClient {
  readonly mechanism: typeof scramSha256 | typeof scramSha256Plus;
  readonly #credentials: ScramCredentials;
  readonly #header: string;
  readonly #firstBare: string;
  #serverSignature: Buffer | undefined;

  constructor(credentials: ScramCredentials) {
    this.#credentials = credentials;
    this.mechanism = credentials.channelBinding ? scramSha256Plus : scramSha256;
    this.#header = credentials.channelBinding ? 'p=tls-server-end-point,,' : 'n,,';
    const user = (credentials.user ?? '').replaceAll('=', '=3D').replaceAll(',', '=2C');
    this.#firstBare = `n=${user},r=${credentials.nonce}`;
  }

  clientFirst(): Buffer {
    return Buffer.from(this.#header + this.#firstBare);
  }

  /** The proof. Throws ScramError where the server's first message is not valid. */
  async clientFinal(serverFirst: Uint8Array): Promise<Buffer> {
    const text = Buffer.from(serverFirst).toString('latin1');
    const { nonce, salt, iterations } = readServerFirst(text, this.#credentials.nonce);
    const salted = await derive(saslPrep(this.#credentials.password), salt, iterations, 32, 'sha256');
    const binding = Buffer.concat([Buffer.from(this.#header), this.#credentials.channelBinding ?? Buffer.alloc(0)]).toString('base64');
    const withoutProof = `c=${binding},r=${nonce}`;
    const authMessage = `${this.#firstBare},${text},${withoutProof}`;
    const clientKey = hmac(salted, 'Client Key');
    const signature = hmac(createHash('sha256').update(clientKey).digest(), authMessage);
    const proof = Buffer.from(clientKey.map((byte, index) => byte ^ signature[index]!));
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authMessage);
    return Buffer.from(`${withoutProof},p=${proof.toString('base64')}`, 'latin1');
  }

  /** Throws ScramError unless the server's last message proves that it holds the verifier. */
  verifyServerFinal(serverFinal: Uint8Array): void {
    const match = /^v=([A-Za-z0-9+/]+={0,2})$/.exec(Buffer.from(serverFinal).toString('latin1'));
    const signature = match ? Buffer.from(match[1]!, 'base64') : undefined;
    const expected = this.#serverSignature;
    if (!signature || !expected || signature.length !== expected.length || !timingSafeEqual(signature, expected)) {
      throw new ScramError('its signature is wrong');
    }
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text, 'latin1').digest();
}

function readServerFirst(text: string, clientNonce: string): { nonce: string; salt: Buffer; iterations: number } {
  const match = /^r=([\x21-\x2b\x2d-\x7e]+),s=([A-Za-z0-9+/]+={0,2}),i=([0-9]{1,10})$/.exec(text);
  if (!match) throw new ScramError('its first message is malformed');
  const nonce = match[1]!;
  if (!nonce.startsWith(clientNonce) || nonce.length === clientNonce.length) throw new ScramError('its nonce does not continue ours');
  if (nonce.length > maxNonceLength) throw new ScramError('its nonce is too long');
  if (match[2]!.length > maxSaltLength) throw new ScramError('its salt is too long');
  const iterations = Number(match[3]);
  if (iterations < 1 || iterations > maxIterations) throw new ScramError('its iteration count is out of bounds');
  return { nonce, salt: Buffer.from(match[2]!, 'base64'), iterations };
}
