/** TLS on either leg, always put on a socket that has spoken in clear before; ALPN `postgresql` as PostgreSQL 17 has it. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { PgPierError } from '../../errors.ts';
import type { BackendTarget, ListenerTls } from './listenerOptions.ts';

const alpn = 'postgresql';
const minVersion = 'TLSv1.2';

/** Throws PgPierError `tlsKeyPair` where the texts are no certificate and its key. */
export function listenerTlsContext(files: ListenerTls): tls.SecureContext {
  try {
    if (!new X509Certificate(files.cert).checkPrivateKey(createPrivateKey(files.key)))
      throw new Error('the key does not belong to the certificate');
    return tls.createSecureContext({ cert: files.cert, key: files.key, minVersion });
  } catch (error) {
    throw new PgPierError('tlsKeyPair', { reason: tlsReason(error) });
  }
}

/** OpenSSL's and our own words, never a piece of the key: Node's messages hold none. */
function tlsReason(error: unknown): string {
  return error instanceof Error ? error.message.split('\n')[0]!.slice(0, 200) : 'unknown';
}

export type Handshake =
  | { readonly kind: 'done'; readonly socket: tls.TLSSocket; readonly alpn: boolean }
  | { readonly kind: 'failed'; readonly error?: Error };

/** The server's side of a handshake. Bytes of it that were read already must have been `unshift`ed to the socket. Never rejects; has no time limit of its own. */
export function acceptTls(socket: net.Socket, secureContext: tls.SecureContext): Promise<Handshake> {
  return new Promise((resolve) => {
    const secured = new tls.TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: [alpn] });
    secured.disableRenegotiation();
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure ??= error;
    };
    const onClose = (): void => resolve(failure ? { kind: 'failed', error: failure } : { kind: 'failed' });
    secured.on('error', onError);
    secured.on('_tlsError', onError);
    secured.once('close', onClose);
    // Not 'secureConnect', which is the client's.
    secured.once('secure', () => {
      secured.off('close', onClose);
      secured.pause();
      resolve({ kind: 'done', socket: secured, alpn: secured.alpnProtocol === alpn });
    });
  });
}

/** The client's side, checked as the target's sslmode says. Rejects with Node's error. The socket is destroyed when `signal` aborts. */
export function connectTls(socket: net.Socket, target: BackendTarget, signal: AbortSignal): Promise<tls.TLSSocket> {
  // libpq: `require` with a root certificate is verify-ca.
  const verifies =
    target.sslmode === 'verify-ca' ||
    target.sslmode === 'verify-full' ||
    (target.sslmode === 'require' && target.sslrootcert !== undefined);
  const secured = tls.connect({
    socket,
    minVersion,
    ALPNProtocols: [alpn],
    // SNI holds names only.
    servername: net.isIP(target.host) ? '' : target.host,
    ...(target.sslrootcert === undefined ? {} : { ca: target.sslrootcert }),
    rejectUnauthorized: verifies,
    checkServerIdentity: (_, certificate) =>
      target.sslmode === 'verify-full' ? tls.checkServerIdentity(target.host, certificate) : undefined,
  });
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy();
      secured.destroy();
      reject(signal.reason as Error);
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    secured.on('error', reject);
    secured.once('close', () => reject(new Error('closed during the TLS handshake')));
    secured.once('secureConnect', () => {
      signal.removeEventListener('abort', abort);
      secured.pause();
      resolve(secured);
    });
  });
}
