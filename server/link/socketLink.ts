/**
 * Link over a node socket. Plain sockets read into one buffer of their own (`onread`; accepted ones from login's end on, ownBuffer.ts); TLS comes by
 * 'data' events, because Node offers `onread` there no way. Writes take no callback: it costs more than the write (docs/performance.md).
 */
import * as net from 'node:net';
import type * as tls from 'node:tls';
import { keepLastWords, letGo } from './lastWords.ts';
import type { Link } from './link.ts';

const backendReadBytes = 64 * 1024;
/** For TLS alone, where chunks are copied: how much may wait before the reading side is told to stop. */
const tlsWaiting = 256 * 1024;
const defaultKeepAliveMs = 60_000;
const nothing = Buffer.alloc(0);
const ignore = (): void => {};

/**
 * For every socket of ours, accepted ones too. Without noDelay a 70 KB row waits 40 ms for an acknowledgement.
 * @param keepAliveMs silence after which the kernel asks whether the peer is still there; 0: never
 */
export function socketOptions(keepAliveMs = defaultKeepAliveMs) {
  return { allowHalfOpen: true, noDelay: true, keepAlive: keepAliveMs > 0, keepAliveInitialDelay: keepAliveMs } as const;
}

export class SocketLink implements Link {
  onBytes: Link['onBytes'] = () => false;
  onEnd: Link['onEnd'] = () => {};
  onClose: Link['onClose'] = () => {};
  onDrain: Link['onDrain'] = () => {};
  readonly encrypted: boolean;
  readonly #socket: net.Socket;
  #error: Error | undefined;
  #waitsForDrain = false;
  #paused = true;
  /** What came all the same after `pause()`: Node starts an `onread` socket again where a resume() and a pause() met in one tick. */
  #held: { bytes?: Buffer; ended?: boolean } = {};
  readonly #onData = (chunk: Buffer): void => {
    if (!this.received(chunk)) this.#socket.pause();
  };
  readonly #onEnd = (): void => {
    if (this.#paused) this.#held.ended = true;
    else this.#end();
  };
  readonly #onError = (error: Error): void => {
    this.#error ??= error;
  };
  #deaf = false;
  readonly #onClose = (): void => this.onClose(this.#error);

  /** Starts paused: set the handlers, then `resume()`. @param events 'data': bytes come by events; 'onread': the socket's own callback calls `received`. */
  constructor(socket: net.Socket | tls.TLSSocket, events: 'data' | 'onread' = 'data') {
    this.#socket = socket;
    this.encrypted = 'encrypted' in socket;
    socket.pause();
    if (events === 'data') socket.on('data', this.#onData);
    socket.pause();
    socket.on('end', this.#onEnd);
    // Errors are told by onClose: an unheard 'error' event would end the process. After the handshake a bare TLSSocket tells of broken
    // records by '_tlsError' alone and stays open.
    socket.on('error', this.#onError);
    socket.on('close', this.#onClose);
    keepLastWords(socket, (error) => {
      this.#deaf = true;
      this.#onError(error);
    });
    if (this.encrypted) socket.on('_tlsError', (error: Error) => socket.destroy(error));
  }

  /** To a peer that closed nothing can be written: its end is no FIN, but that of both directions. */
  #end(): void {
    if (this.#deaf) this.#socket.destroy();
    else this.onEnd();
  }

  /** For `onread`. False: stop reading. */
  received(chunk: Buffer): boolean {
    if (this.#paused) {
      this.#held.bytes = Buffer.concat([this.#held.bytes ?? nothing, chunk]);
      return false;
    }
    if (this.onBytes(chunk)) return true;
    this.#paused = true;
    return false;
  }

  write(chunk: Uint8Array): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || this.#deaf) return true;
    if (this.encrypted) {
      // TLS keeps what it could not take at once; the copy lets the reader use its buffer again at once.
      socket.write(Buffer.from(chunk));
      if (socket.writableLength < tlsWaiting) return true;
    } else {
      socket.write(chunk);
      if (socket.writableLength === 0) return true;
    }
    if (!this.#waitsForDrain) this.#awaitDrain();
    return false;
  }

  /** 'drain' does not come when less than the high-water mark waits; an empty write's callback tells of everything before it. */
  #awaitDrain(): void {
    this.#waitsForDrain = true;
    this.#socket.write(nothing, (error) => {
      this.#waitsForDrain = false;
      if (error || this.#socket.destroyed) return;
      if (this.#socket.writableLength > 0) this.#awaitDrain();
      else this.onDrain();
    });
  }

  pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    if (this.#held.bytes || this.#held.ended) process.nextTick(() => this.#deliverHeld());
    else this.#socket.resume();
  }

  #deliverHeld(): void {
    if (this.#paused) return;
    const { bytes } = this.#held;
    delete this.#held.bytes;
    if (bytes && !this.onBytes(bytes)) {
      this.#paused = true;
    } else if (this.#held.ended) {
      delete this.#held.ended;
      this.#end();
    } else this.#socket.resume();
  }

  end(): void {
    if (!this.#socket.destroyed && !this.#socket.writableEnded) this.#socket.end();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  get bytesRead(): number {
    return this.#socket.bytesRead;
  }

  get destroyed(): boolean {
    return this.#socket.destroyed;
  }

  /** Nothing waits here or in Node's socket, in neither direction, and no FIN was read: another link may take the socket over. */
  get empty(): boolean {
    const socket: net.Socket & { readonly _readableState?: { readonly ended?: boolean } } = this.#socket;
    const untouched = socket.readableLength === 0 && socket.writableLength === 0 && socket._readableState?.ended === false;
    return untouched && this.#held.bytes === undefined && this.#held.ended === undefined;
  }

  /** The socket's file descriptor; undefined where this Node does not tell it. */
  get descriptor(): number | undefined {
    const { _handle: handle } = this.#socket as net.Socket & { readonly _handle?: { readonly fd?: number } | null };
    return handle?.fd !== undefined && handle.fd >= 0 ? handle.fd : undefined;
  }

  /** Gives the socket back, paused, for a TLS handshake on it. Errors stay caught. Bytes that Node has read and not delivered stay in the socket. */
  release(): net.Socket {
    const socket = this.#socket;
    socket.pause();
    letGo(socket);
    socket.off('data', this.#onData).off('end', this.#onEnd).off('close', this.#onClose);
    // Another listener, that does not hold on to this link and what it led to.
    socket.on('error', ignore).off('error', this.#onError);
    return socket;
  }
}

/** Connects with a read buffer of the socket's own; resolves once connected, rejects with node's error, or AbortError. */
export function connectSocketLink(
  address: net.TcpNetConnectOpts | net.IpcNetConnectOpts,
  signal: AbortSignal,
  keepAliveMs?: number,
): Promise<ConnectedLink> {
  const box: { link?: SocketLink } = {};
  const buffer = Buffer.allocUnsafeSlow(backendReadBytes);
  const onread = { buffer, callback: (length: number, bytes: Uint8Array) => box.link!.received(bytes.subarray(0, length) as Buffer) };
  const socket = net.connect({ ...socketOptions(keepAliveMs), ...address, onread });
  box.link = new SocketLink(socket, 'onread');
  return connected(socket, box.link, signal);
}

/** The same by 'data' events: for a socket that TLS may be put on. */
export function connectPlainLink(
  address: net.TcpNetConnectOpts | net.IpcNetConnectOpts,
  signal: AbortSignal,
  keepAliveMs?: number,
): Promise<ConnectedLink> {
  const socket = net.connect({ ...socketOptions(keepAliveMs), ...address });
  return connected(socket, new SocketLink(socket), signal);
}

export interface ConnectedLink {
  readonly link: SocketLink;
  /** The peer's address; undefined for a unix socket. */
  readonly remoteAddress: string | undefined;
}

function connected(socket: net.Socket, link: SocketLink, signal: AbortSignal): Promise<ConnectedLink> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy();
      reject(signal.reason as Error);
    };
    const settled = (): void => {
      signal.removeEventListener('abort', abort);
      socket.off('connect', onConnect).off('error', onError);
    };
    const onConnect = (): void => {
      settled();
      link.pause();
      resolve({ link, remoteAddress: socket.remoteAddress });
    };
    const onError = (error: Error): void => {
      settled();
      reject(error);
    };
    if (signal.aborted) return abort();
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', onConnect).once('error', onError);
  });
}
