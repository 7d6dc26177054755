/** TLS on either leg, always put on a socket that has spoken in clear before; ALPN `postgresql` as PostgreSQL 17 has it. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import * as net from 'node:net';
import * as tls from 'node:tls';
import { PgPierError } from '../../errors.ts';
import type { BackendTarget, ListenerTls } from './listenerOptions.ts';

const alpn = 'postgresql';
const minVersion = 'TLSv1.2';

export interface ListenerEncryption {
  readonly context: tls.SecureContext;
  /** A client that does not ask for TLS is refused. */
  readonly required: boolean;
  /** The handshake asks the client for a certificate. */
  readonly asksCertificate: boolean;
}

/** Throws PgPierError `tlsKeyPair` where the texts are no certificate and its key, or no authorities. */
export function listenerEncryption(files: ListenerTls): ListenerEncryption {
  const { clientCa } = files;
  return { context: secureContext(files), required: files.required ?? false, asksCertificate: clientCa !== undefined };
}

function secureContext({ cert, key, clientCa }: ListenerTls): tls.SecureContext {
  try {
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error('the key does not belong to the certificate');
    if (clientCa !== undefined) new X509Certificate(clientCa);
    return tls.createSecureContext({ cert, key, minVersion, ...(clientCa !== undefined && { ca: clientCa }) });
  } catch (error) {
    throw new PgPierError('tlsKeyPair', { reason: tlsReason(error) });
  }
}

/** OpenSSL's and our own words, never a piece of the key: Node's messages hold none. */
function tlsReason(error: unknown): string {
  return error instanceof Error ? error.message.split('\n')[0]!.slice(0, 200) : 'unknown';
}

/** The certificate that a client showed, if it was asked for one. */
export type ClientCertificate =
  | { readonly kind: 'none' }
  | { readonly kind: 'untrusted'; readonly reason: string }
  /** Undefined: its subject has no common name, or several. */
  | { readonly kind: 'trusted'; readonly commonName: string | undefined };

export interface Certificates {
  /** Ours (DER), as this client was shown it. */
  readonly own: Buffer | undefined;
  readonly client: ClientCertificate;
}

export type Handshake =
  | { readonly kind: 'done'; readonly socket: tls.TLSSocket; readonly alpn: boolean; readonly certificates: Certificates }
  | { readonly kind: 'failed'; readonly error?: Error };

/**
 * A session's buffer for encrypted bytes is made by Node as large as what it is given first, but at least 1 KiB: for a read of its own from the socket 64 KiB. What
 * fits leaves it at that; longer messages get 16 KiB when they come.
 */
const pieceLength = 1000;

/** What Node's own code calls for bytes that were `unshift`ed to the socket, all at once. */
interface Receiving {
  readonly _handle: { receive?(encrypted: Buffer): void } | null;
}

/**
 * The server's side of a handshake. Never rejects; has no time limit of its own.
 * @param read the beginning of it, which was read already: 1 byte at least
 */
export function acceptTls(socket: net.Socket, read: Buffer, { context, asksCertificate }: ListenerEncryption): Promise<Handshake> {
  return new Promise((resolve) => {
    const secured = new tls.TLSSocket(socket, {
      isServer: true,
      secureContext: context,
      ALPNProtocols: [alpn],
      requestCert: asksCertificate,
      // What is wrong with it is told in an ErrorResponse, which says more than an alert.
      rejectUnauthorized: false,
    });
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
      const certificates = { own: secured.getX509Certificate()?.raw, client: clientCertificate(secured, asksCertificate) };
      resolve({ kind: 'done', socket: secured, alpn: secured.alpnProtocol === alpn, certificates });
    });
    const handle = (): Receiving['_handle'] => (secured as unknown as Receiving)._handle;
    if (!handle()?.receive) socket.unshift(read);
    // Behind Node's own first step, which sets the socket up.
    else
      process.nextTick(() => {
        for (let from = 0; from < read.length; from += pieceLength) handle()?.receive?.(read.subarray(from, from + pieceLength));
      });
  });
}

function clientCertificate(socket: tls.TLSSocket, asked: boolean): ClientCertificate {
  const certificate = asked ? socket.getPeerCertificate() : undefined;
  // Without one Node gives an empty object.
  if (!certificate || Object.keys(certificate).length === 0) return { kind: 'none' };
  // What a tls.Server reads into `authorizationError`; a TLSSocket that was made by hand leaves it to us.
  const error = (socket as unknown as { ssl: { verifyError(): (Error & { code?: string }) | null } }).ssl.verifyError();
  if (error) return { kind: 'untrusted', reason: error.code ?? error.message };
  const name: unknown = certificate.subject.CN;
  return { kind: 'trusted', commonName: typeof name === 'string' ? name : undefined };
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
