/** A TCP relay that knows nothing of PostgreSQL: what it changes, such as how much the buffers between client and server take, any proxy changes. */
import * as net from 'node:net';

export interface CopyingRelay {
  /** 0: it listens on a Unix socket. */
  readonly port: number;
  stop(): Promise<void>;
}

const options = { allowHalfOpen: true, noDelay: true } as const;

/** @param at a port to listen on, 0: any free one; or the path of a Unix socket */
export async function startCopyingRelay(to: number, at: number | string): Promise<CopyingRelay> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer(options, (client) => {
    const backend = net.connect({ ...options, host: '127.0.0.1', port: to });
    for (const [from, other] of [[client, backend] as const, [backend, client] as const]) {
      sockets.add(from);
      from.pipe(other);
      from.on('error', () => {});
      from.once('close', () => {
        sockets.delete(from);
        other.destroy();
      });
    }
  });
  const listening = typeof at === 'string' ? { path: at } : { port: at, host: '127.0.0.1' };
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(listening, resolve));
  return {
    port: typeof at === 'string' ? 0 : (server.address() as net.AddressInfo).port,
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
