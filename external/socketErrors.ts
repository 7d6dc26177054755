/** What Node says when a connection cannot be made, breaks, or cannot be trusted, as an error of ours: the same for every provider that speaks HTTP. */
import { PgPierError } from '../errors.ts';

const unreachable = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EHOSTDOWN',
  'EADDRNOTAVAIL',
]);

/**
 * @param thrown what a socket, an agent or an SDK threw; its `name` and `code` are looked at
 * @param endpoint `https://host:port`, or a word for the provider's own
 * @param provider what the other side was expected to be: `S3`
 * @returns undefined if it is no socket's error
 */
export function socketError(
  thrown: { readonly name?: unknown; readonly code?: unknown },
  endpoint: string,
  provider: string,
): PgPierError | undefined {
  const code = String(thrown.code ?? '');
  // The AWS SDK gives a connection that was reset the name of one that was silent: the code goes first.
  if (code === 'ETIMEDOUT' || (thrown.name === 'TimeoutError' && !unreachable.has(code)))
    return new PgPierError('storageTimeout', { endpoint });
  if (unreachable.has(code)) return new PgPierError('storageUnreachable', { endpoint, cause: code });
  if (code.startsWith('HPE_')) return new PgPierError('storageProtocol', { endpoint, provider, cause: 'not HTTP' });
  if (/^(CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|ERR_TLS_|ERR_SSL_|EPROTO|HOSTNAME_MISMATCH)/.test(code)) {
    return new PgPierError('storageTls', { endpoint, cause: code });
  }
  return undefined;
}
