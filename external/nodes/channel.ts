/**
 * A connection between two PgPiers of one catalog: TLS 1.3 whose only credential, on both sides, is a key that comes from the catalog's (a pre-shared key, RFC
 * 8446). Who does not have it can neither open a connection nor answer one, and nobody on the way reads or changes what passes, whether or not the
 * nodes have certificates.
 */
import * as net from 'node:net';
import * as tls from 'node:tls';
import { PgPierError } from '../../errors.ts';
import { nodeRequest, nodeRequestTaken } from '../../protocol/frontend/nodeRequest.ts';
import { socketError } from '../socketErrors.ts';

export interface NodeAddress {
  readonly node: number;
  readonly host: string;
  readonly port: number;
}

/** From the first packet to the last of the handshake. */
const openMilliseconds = 10_000;
/** A machine that is gone without a word is noticed some minutes after this. */
const keepAliveMilliseconds = 30_000;

/** The key's own hash is SHA-256, and TLS wants the suite's to be the same. */
const protocol = { minVersion: 'TLSv1.3', ciphers: 'TLS_AES_128_GCM_SHA256' } as const;
const identity = 'pgpier';

/** `node 2 (10.0.0.2:6432)`, for messages. */
export function shownNode({ node, host, port }: NodeAddress): string {
  return `node ${node} (${host.includes(':') ? `[${host}]` : host}:${port})`;
}

/** @throws PgPierError 08001, 08006, 08P01, `nodeKeyRefused` */
export async function dialNode(address: NodeAddress, key: Buffer): Promise<tls.TLSSocket> {
  const socket = net.connect({ host: address.host, port: address.port, noDelay: true });
  const late = setTimeout(() => socket.destroy(Object.assign(new Error('late'), { code: 'ETIMEDOUT' })), openMilliseconds);
  try {
    await happens(socket, 'connect');
    socket.setKeepAlive(true, keepAliveMilliseconds);
    socket.write(nodeRequest());
    const answer = await firstByte(socket);
    if (answer !== nodeRequestTaken) throw new PgPierError('nodeServesNoFiles', { node: shownNode(address) });
    const secured = tls.connect({
      socket,
      ...protocol,
      pskCallback: () => ({ psk: key, identity }),
      // Asked only where the other side showed a certificate in place of the key.
      checkServerIdentity: () => new Error('a certificate is no key'),
    });
    try {
      await happens(secured, 'secureConnect');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ETIMEDOUT') throw error;
      throw new PgPierError('nodeKeyRefused', { node: shownNode(address) });
    }
    secured.on('error', () => {});
    return secured;
  } catch (error) {
    socket.destroy();
    throw nodeError(error, address);
  } finally {
    clearTimeout(late);
  }
}

/** What a socket or a request threw, in our words. */
export function nodeError(error: unknown, address: NodeAddress): PgPierError {
  if (error instanceof PgPierError) return error;
  const thrown = error as { readonly code?: unknown; readonly errors?: readonly { readonly code?: unknown }[] };
  const endpoint = shownNode(address);
  return (
    socketError(thrown, endpoint, 'a PgPier') ??
    socketError(thrown.errors?.[0] ?? {}, endpoint, 'a PgPier') ??
    new PgPierError('storageUnreachable', { endpoint, cause: String(thrown.code ?? 'the connection broke') })
  );
}

/** The other side: takes a socket whose node request has been read. Rejects, with the socket destroyed, when the other has no key, or takes too long. */
export async function acceptNode(socket: net.Socket, key: Buffer): Promise<tls.TLSSocket> {
  socket.on('error', () => {});
  socket.setNoDelay(true).setKeepAlive(true, keepAliveMilliseconds);
  const late = setTimeout(() => socket.destroy(), openMilliseconds);
  try {
    socket.write(nodeRequestTaken);
    const context = tls.createSecureContext(protocol);
    // Node's types leave out that a bare TLSSocket takes a server's options.
    const options = { isServer: true, secureContext: context, ...protocol, pskCallback: () => key } as unknown as tls.TLSSocketOptions;
    const secured = new tls.TLSSocket(socket, options);
    await happens(secured, 'secure');
    secured.on('error', () => {});
    return secured;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(late);
  }
}

function firstByte(socket: net.Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const gone = (error?: Error) => reject(error ?? Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    const settled = () => socket.off('readable', onReadable).off('error', gone).off('end', onEnd).off('close', onEnd);
    const onEnd = () => {
      settled();
      gone();
    };
    const onReadable = () => {
      const read = socket.read(1) as Buffer | null;
      if (read === null) return;
      settled();
      resolve(read.toString('latin1'));
    };
    socket.on('readable', onReadable).once('error', gone).once('end', onEnd).once('close', onEnd);
  });
}

function happens(socket: net.Socket, event: 'connect' | 'secure' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const closed = () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    // A broken record in a bare TLSSocket is told by this event alone.
    socket.once('error', reject).once('_tlsError', reject).once('close', closed);
    socket.once(event, () => {
      socket.off('error', reject).off('_tlsError', reject).off('close', closed);
      resolve();
    });
  });
}
