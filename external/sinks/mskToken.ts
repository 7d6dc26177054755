/**
 * The token of AWS_MSK_IAM: the URL of a signed request to connect, in base64, which brokers of Amazon MSK take over SASL OAUTHBEARER. The credentials are the
 * machine's, or those of a role that these may assume.
 */
import { createHash, createHmac } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';
import { type AwsKeys, type KeyProvider, keyProvider } from '../aws/awsAccess.ts';
import type { Egress } from '../egress.ts';
import type { KafkaSasl } from './kafkaSasl.ts';

type Msk = Extract<KafkaSasl, { mechanism: 'AWS_MSK_IAM' }>;

/** What Amazon's own libraries ask for: the longest that brokers take. */
const lastsSeconds = 900;

/** Each call gives a new token. */
export class MskToken {
  readonly #region: string;
  readonly #keys: KeyProvider;

  constructor({ region, role }: Msk, egress: Egress) {
    const access = { credentials: { kind: 'implicit' }, roles: role === undefined ? [] : [{ arn: role.arn }] } as const;
    this.#region = region;
    this.#keys = keyProvider(access, { region, endpoint: undefined, egress, sessionName: role?.session ?? 'pgpier' });
  }

  /** @throws PgPierError 28000 without credentials, 42501 when the role is refused, 08xxx when AWS STS is out of reach */
  async value(): Promise<string> {
    return await mskToken(this.#region, await this.#keys(), new Date());
  }
}

/** Exported for its test. */
export async function mskToken(region: string, credentials: AwsKeys, signingDate: Date): Promise<string> {
  const signer = new SignatureV4({ service: 'kafka-cluster', region, credentials, sha256: Sha256, applyChecksum: false });
  const hostname = `kafka.${region}.amazonaws.com`;
  const { query } = await signer.presign(
    { method: 'GET', protocol: 'https:', hostname, path: '/', headers: { host: hostname }, query: { Action: 'kafka-cluster:Connect' } },
    { signingDate, expiresIn: lastsSeconds },
  );
  // Brokers log who made it; it is not signed.
  const parameters = Object.entries({ ...(query as Record<string, string>), 'User-Agent': 'pgpier' });
  const text = parameters.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
  return Buffer.from(`https://${hostname}/?${text}`).toString('base64url');
}

/** As the SDK wants it: HMAC with a secret, else a plain digest. */
class Sha256 {
  readonly #hash: ReturnType<typeof createHmac> | ReturnType<typeof createHash>;

  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytesOf(secret));
  }

  update(data: Uint8Array): void {
    this.#hash.update(data);
  }

  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }

  reset(): void {}
}

function bytesOf(secret: string | ArrayBuffer | ArrayBufferView): Uint8Array | string {
  if (typeof secret === 'string') return secret;
  return ArrayBuffer.isView(secret) ? new Uint8Array(secret.buffer, secret.byteOffset, secret.byteLength) : new Uint8Array(secret);
}
