/**
 * The TLS parameters of sinks and web servers: `ca_cert`, `client_cert`, `client_key` (PEM in base64) and `insecure_tls_skip_verify`. Pure: the relay
 * reads certificates here, so that a wrong one is refused before anything is dialled.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { PgPierError } from '../errors.ts';
import { base64Error } from './base64.ts';
import { booleanParameter } from './storage/parameters.ts';

export const tlsParameterNames = ['ca_cert', 'client_cert', 'client_key', 'insecure_tls_skip_verify'] as const;

export type TlsParameters = Partial<Readonly<Record<(typeof tlsParameterNames)[number], string>>>;

export interface TlsChoice {
  /** PEM. Beside these authorities none is trusted; without them, those that Node trusts. */
  readonly ca?: string;
  /** PEM; both or neither. */
  readonly client?: { readonly cert: string; readonly key: string };
  readonly skipVerify: boolean;
}

/** @throws PgPierError 22023 `param ca_cert must be base 64 encoded: …`, `failed to parse certificate data`, `client_cert requires client_key to be set`, … */
export function readTls(given: TlsParameters): TlsChoice {
  const skipVerify = booleanParameter('insecure_tls_skip_verify', given.insecure_tls_skip_verify);
  const ca = base64Parameter('ca_cert', given.ca_cert)?.toString('utf8');
  const cert = base64Parameter('client_cert', given.client_cert)?.toString('utf8');
  const key = base64Parameter('client_key', given.client_key)?.toString('utf8');
  if (cert !== undefined && key === undefined)
    throw new PgPierError('parameterRequires', { parameter: 'client_cert', needed: 'client_key to be set' });
  if (key !== undefined && cert === undefined)
    throw new PgPierError('parameterRequires', { parameter: 'client_key', needed: 'client_cert to be set' });
  if (ca !== undefined && readCertificates(ca) === undefined) throw new PgPierError('certificateInvalid');
  if (cert !== undefined && key !== undefined) checkClientCertificate(cert, key);
  return {
    skipVerify,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { client: { cert, key } }),
  };
}

/** `undefined` unless it holds a certificate, and every certificate in it can be read. */
function readCertificates(pem: string): X509Certificate[] | undefined {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  try {
    return blocks.length === 0 ? undefined : blocks.map((block) => new X509Certificate(block));
  } catch {
    return undefined;
  }
}

function checkClientCertificate(cert: string, key: string): void {
  const refuse = (reason: string) => new PgPierError('clientCertificateInvalid', { reason });
  const [own] = readCertificates(cert) ?? [];
  if (own === undefined) throw refuse('client_cert is not a certificate in PEM form');
  let privateKey: KeyObject;
  try {
    privateKey = createPrivateKey(key);
  } catch {
    throw refuse('client_key is not an unencrypted private key in PEM form');
  }
  if (!own.checkPrivateKey(privateKey)) throw refuse('client_key does not belong to client_cert');
}

/**
 * Bytes of a parameter that is given in base64; `undefined` for an absent or empty one. A blank is a `+` that was not written as `%2B`: base64 has none.
 * @throws PgPierError 22023 with Go's words
 */
export function base64Parameter(parameter: string, value: string | undefined): Buffer | undefined {
  if (!value) return undefined;
  const text = value.replaceAll(' ', '+');
  const reason = base64Error(text);
  if (reason !== undefined) throw new PgPierError('parameterNotBase64', { parameter, reason });
  return Buffer.from(text, 'base64');
}
