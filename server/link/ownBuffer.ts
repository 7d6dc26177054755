/**
 * A read buffer of its own for an accepted socket. Node offers `onread` to sockets that connect, and to an accepted one only by making a second
 * `net.Socket` of its handle, which is how Node's own cluster module does it. It spares 64 KiB of malloc a read: about 3 µs of CPU a
 * transaction (docs/performance.md). Where this Node does not look as expected, the link stays what it is, slower and right.
 */
import * as net from 'node:net';
import { SocketLink } from './socketLink.ts';

/** Queries are small; a longer message comes in several reads. */
const clientReadBytes = 16 * 1024;

/** What is used of `net.Socket` beyond its documentation. */
interface Accepted extends net.Socket {
  _handle: object | null;
  /** Counts its open sockets, and waits for them when it closes. */
  _server: net.Server | null;
}

/** The same connection, paused, under another link; `link` itself where that cannot be. Set no handler on it before. */
export function withOwnBuffer(link: SocketLink): SocketLink {
  if (link.encrypted || link.destroyed || !link.empty) return link;
  const accepted = link.release() as Accepted;
  const { _handle: handle, _server: server } = accepted;
  const box: { link?: SocketLink } = {};
  const onread = {
    buffer: Buffer.allocUnsafeSlow(clientReadBytes),
    callback: (length: number, bytes: Uint8Array) => box.link!.received(bytes.subarray(0, length) as Buffer),
  };
  if (!handle || !server) return new SocketLink(accepted);
  accepted._handle = null;
  accepted._server = null;
  const options = { handle, onread, allowHalfOpen: true, pauseOnCreate: true };
  const socket = new net.Socket(options as net.SocketConstructorOpts);
  (socket as Accepted)._server = server;
  box.link = new SocketLink(socket, 'onread');
  return box.link;
}
