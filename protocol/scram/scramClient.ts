/**
 * The client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677; PostgreSQL leaves the user name empty). Pure but for the
 * key derivation, which runs on Node's thread pool. What the server sends is held to limits: a hostile one could ask for hours of work.
 */
import { pbkdf2, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { exclusiveOr, hmac, type ScramMechanism, scramSha256, scramSha256Plus, storedKeyOf } from './mechanism.ts';
import { saslPrep } from './saslPrep.ts';

const derive = promisify(pbkdf2);

/** PostgreSQL's default is 4096; a million take about a third of a second. */
export const maxIterations = 1_000_000;
const maxNonceLength = 1024;
const maxSaltLength = 1024;

/** The server's part is not valid, or it does not know the password's verifier. */
export class ScramError extends Error {}

export interface ScramOptions {
  /** Printable ASCII without a comma. */
  readonly nonce: string;
  /** Not used by PostgreSQL, which takes the startup packet's. */
  readonly user?: string;
  /** tls-server-end-point data: the mechanism is then SCRAM-SHA-256-PLUS. Without it the flag is `n`, never `y`. */
  readonly channelBinding?: Uint8Array;
}

/** The server's first message, read. */
export interface ServerFirst {
  readonly nonce: string;
  readonly salt: Buffer;
  readonly iterations: number;
}

/** What proves to know the password without it, and what proves that the server knows it. */
export interface ScramKeys {
  readonly clientKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** @param password as typed */
export async function scramKeys(password: Uint8Array, { salt, iterations }: ServerFirst): Promise<ScramKeys> {
  const salted = await derive(saslPrep(password), salt, iterations, 32, 'sha256');
  return { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') };
}

export class ScramClient {
  readonly mechanism: ScramMechanism;
  readonly #nonce: string;
  readonly #channelBinding: Uint8Array;
  readonly #header: string;
  readonly #firstBare: string;
  #serverFirst: { readonly text: string; readonly read: ServerFirst } | undefined;
  #serverSignature: Buffer | undefined;

  constructor({ nonce, user = '', channelBinding }: ScramOptions) {
    this.#nonce = nonce;
    this.#channelBinding = channelBinding ?? Buffer.alloc(0);
    this.mechanism = channelBinding ? scramSha256Plus : scramSha256;
    this.#header = channelBinding ? 'p=tls-server-end-point,,' : 'n,,';
    this.#firstBare = `n=${user.replaceAll('=', '=3D').replaceAll(',', '=2C')},r=${nonce}`;
  }

  clientFirst(): Buffer {
    return Buffer.from(this.#header + this.#firstBare);
  }

  /** Throws ScramError where it is not valid. */
  serverFirst(message: Uint8Array): ServerFirst {
    const text = Buffer.from(message).toString('latin1');
    this.#serverFirst = { text, read: readServerFirst(text, this.#nonce) };
    return this.#serverFirst.read;
  }

  /** The proof. After `serverFirst`. */
  clientFinal({ clientKey, serverKey }: ScramKeys): Buffer {
    const { text, read } = this.#serverFirst!;
    const binding = Buffer.concat([Buffer.from(this.#header), this.#channelBinding]).toString('base64');
    const withoutProof = `c=${binding},r=${read.nonce}`;
    const authMessage = `${this.#firstBare},${text},${withoutProof}`;
    const proof = exclusiveOr(clientKey, hmac(storedKeyOf(clientKey), authMessage));
    this.#serverSignature = hmac(serverKey, authMessage);
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

function readServerFirst(text: string, clientNonce: string): ServerFirst {
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
