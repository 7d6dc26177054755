/** A TCP relay to PostgreSQL whose answers can be replaced: a server that lies. */
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

export interface LyingPath {
  readonly port: number;
  /** Whatever the server says next, on any of its connections, is replaced by these bytes, and the connection ends with them. */
  lie(bytes: Buffer): void;
  stop(): void;
}

export async function startLyingPath(to: NetConnectOpts): Promise<LyingPath> {
  const fronts = new Set<Socket>();
  let next: Buffer | undefined;
  const server = createServer((front) => {
    const back = connect(to);
    fronts.add(front);
    front.on('error', () => back.destroy()).on('close', () => back.destroy());
    back.on('error', () => front.destroy()).on('close', () => front.destroy());
    front.on('close', () => fronts.delete(front));
    front.pipe(back);
    back.on('data', function answer(chunk: Buffer) {
      if (next === undefined) return void front.write(chunk);
      back.off('data', answer).resume();
      front.end(next);
      next = undefined;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    lie(bytes) {
      next = bytes;
    },
    stop() {
      server.close();
      for (const front of fronts) front.destroy();
    },
  };
}
