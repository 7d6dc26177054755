import type * as net from 'node:net';

type Written = (error?: Error | null) => void;

const peerClosed = new Set(['EPIPE', 'ECONNRESET']);

/**
 * Lets a socket be read to its end where a write finds that the peer has closed. Node destroys it there, with everything unread: a backend that ends says why before
 * it closes (57P01, 08P01), and a client that was writing just then would never hear it.
 * Undone by `letGo`.
 * @param failed told of each such write, whose bytes are dropped; the end of what can be read follows, and is the end of both directions
 */
export function keepLastWords(socket: net.Socket, failed: (error: Error) => void): void {
  const outliving =
    (written: Written): Written =>
    (error) => {
      if (!error || !peerClosed.has((error as NodeJS.ErrnoException).code ?? '')) return written(error);
      failed(error);
      written();
    };
  const { _write: write, _writev: writeAll } = socket;
  socket._write = (chunk, encoding, written) => write.call(socket, chunk, encoding, outliving(written));
  socket._writev = (chunks, written) => writeAll!.call(socket, chunks, outliving(written));
}

/** Gives the socket its own writes back. */
export function letGo(socket: net.Socket): void {
  Reflect.deleteProperty(socket, '_write');
  Reflect.deleteProperty(socket, '_writev');
}
