/** Connects to the real PostgreSQL: unix socket or TCP, TLS as sslmode says. */
import type * as net from 'node:net';
import { PgPierError } from '../../errors.ts';
import { sslRequest } from '../../protocol/frontend/sslRequest.ts';
import { connectPlainLink, connectSocketLink, SocketLink } from '../link/socketLink.ts';
import { LinkReader, PeerGone } from './linkReader.ts';
import type { BackendTarget, Hosts } from './listenerOptions.ts';
import { connectTls } from './tls.ts';

/** Hosts that failed since they were last asked: more than that do not fail at once. */
const maxTries = 3;

export interface BackendConnection {
  /** Where it leads. */
  readonly host: { readonly host: string; readonly port: number };
  readonly link: SocketLink;
  /** TLS, or a unix socket: nobody on the way can read it. */
  readonly private: boolean;
  /** The server's certificate (DER), where the leg uses TLS. */
  readonly certificate: Buffer | undefined;
  /** Connects to the same address again, the same way: for CancelRequest. */
  again(signal: AbortSignal): Promise<BackendConnection>;
}

/** A connection that cannot be made: a reason fit for an unauthenticated client, and the cause for the log. */
export function backendUnreachable(reason: string, cause?: unknown): PgPierError {
  const error = new PgPierError('backendUnreachable', { reason }, { severity: 'FATAL' });
  error.cause = cause;
  return error;
}

/** Rejects with PgPierError `backendUnreachable`. */
export async function connectBackend(target: BackendTarget, signal: AbortSignal): Promise<BackendConnection> {
  const timeoutMs = target.connectTimeoutMs ?? 10_000;
  // Not AbortSignal.timeout, which nothing can end before its time: a burst of logins would leave thousands.
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), timeoutMs);
  try {
    return await connect(target, undefined, AbortSignal.any([signal, deadline.signal]));
  } catch (error) {
    if (error instanceof PgPierError) throw error;
    if (deadline.signal.aborted) throw backendUnreachable('timeout expired', error);
    throw backendUnreachable(publicReason(error), error);
  } finally {
    clearTimeout(timer);
  }
}

/** To the host that is chosen now; to another, where that fails. As `connectBackend`. */
export async function connectChosen(target: BackendTarget, hosts: Hosts | undefined, signal: AbortSignal): Promise<BackendConnection> {
  if (!hosts) return connectBackend(target, signal);
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
  aborted.catch(() => {});
  for (let tries = 1; ; tries++) {
    const host = await Promise.race([hosts.choose(), aborted]);
    try {
      return await connectBackend({ ...target, ...host }, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      hosts.failed(host);
      if (tries === maxTries) throw error;
    }
  }
}

/** @param sameAs how an earlier connection reached the server, which a name may resolve to differently now. */
async function connect(
  target: BackendTarget,
  sameAs: { readonly address: string | undefined; readonly encrypted: boolean } | undefined,
  signal: AbortSignal,
): Promise<BackendConnection> {
  const unix = target.host.startsWith('/');
  const address: net.NetConnectOpts = unix
    ? { path: `${target.host}/.s.PGSQL.${target.port}` }
    : { host: sameAs?.address ?? target.host, port: target.port };
  const wantsTls = !unix && (sameAs?.encrypted ?? (target.sslmode !== 'disable' && target.sslmode !== 'allow'));
  if (!wantsTls) {
    const { link, remoteAddress } = await connectSocketLink(address, signal, target.keepAliveMs);
    return connection(target, link, undefined, remoteAddress);
  }
  const { link, remoteAddress } = await connectPlainLink(address, signal, target.keepAliveMs);
  const answer = await askForTls(link, signal);
  if (answer === 'S') {
    const secured = await connectTls(link.release(), target, signal);
    return connection(target, new SocketLink(secured), secured.getPeerX509Certificate()?.raw, remoteAddress);
  }
  if (target.sslmode === 'prefer' && !sameAs) return connection(target, link, undefined, remoteAddress);
  link.destroy();
  throw backendUnreachable('it does not support TLS');
}

/** `again` lives as long as the session: it holds on to nothing of how this connection was made. */
function connection(
  target: BackendTarget,
  link: SocketLink,
  certificate: Buffer | undefined,
  address: string | undefined,
): BackendConnection {
  const { encrypted } = link;
  const again = (signal: AbortSignal): Promise<BackendConnection> => connect(target, { address, encrypted }, signal);
  const { host, port } = target;
  return { host: { host, port }, link, private: encrypted || target.host.startsWith('/'), certificate, again };
}

/** Reads exactly one byte: more in the same moment was put there by somebody on the way (CVE-2021-23222). */
async function askForTls(link: SocketLink, signal: AbortSignal): Promise<'S' | 'N'> {
  const abort = (): void => link.destroy();
  signal.addEventListener('abort', abort, { once: true });
  const reader = new LinkReader(link, 'backend');
  try {
    link.write(sslRequest());
    await reader.need(1);
    const answer = String.fromCharCode(reader.byteAt(0));
    const read = reader.detach();
    // An `E` would be an old server's error text: not authenticated, so nobody is shown it.
    if ((answer !== 'S' && answer !== 'N') || read.length > 1) {
      link.destroy();
      throw backendUnreachable('it did not answer the request for TLS as PostgreSQL does');
    }
    return answer;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ENOENT: 'connection refused',
  EACCES: 'permission denied',
  ENOTFOUND: 'its name cannot be resolved',
  EAI_AGAIN: 'its name cannot be resolved',
  ETIMEDOUT: 'timeout expired',
  EHOSTUNREACH: 'no route to it',
  ENETUNREACH: 'no route to it',
  ECONNRESET: 'it closed the connection',
};

/** Certificate errors have many codes, all without a system call. No address and no file name: the reader has not logged in. */
function publicReason(error: unknown): string {
  if (error instanceof PeerGone) return 'it closed the connection';
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  if (typeof code === 'string' && reasons[code]) return reasons[code];
  if (error instanceof AggregateError) return publicReason(error.errors[0]);
  return syscall === undefined ? 'the TLS handshake failed or its certificate is not trusted' : 'connection failed';
}
