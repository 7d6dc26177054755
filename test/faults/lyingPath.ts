/** A TCP relay to PostgreSQL whose answers can be replaced: a server that lies. */
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

export interface LyingPath {
  readonly port: number;
  /**
   * Whatever the server says after so many more true answers is replaced by these bytes, and the connection ends with them. On any connection, or on those alone whose
   * first packet holds `to`.
   */
  lie(bytes: Buffer, truths?: number, to?: string): void;
  /** Nothing is replaced that has not been. */
  tellTruth(): void;
  stop(): void;
}

export async function startLyingPath(to: NetConnectOpts): Promise<LyingPath> {
  const fronts = new Set<Socket>();
  let next: Buffer | undefined;
  let truthsLeft = 0;
  let liedTo = '';
  const server = createServer({ allowHalfOpen: true }, (front) => {
    const back = connect({ ...to, allowHalfOpen: true } as NetConnectOpts);
    fronts.add(front);
    front.on('error', () => back.destroy()).on('close', () => back.destroy());
    back.on('error', () => front.destroy()).on('close', () => front.destroy());
    front.on('close', () => fronts.delete(front));
    let first = '';
    front.once('data', (chunk: Buffer) => {
      first = chunk.toString('latin1');
    });
    front.pipe(back);
    back.on('end', () => front.end());
    back.on('data', function answer(chunk: Buffer) {
      if (next === undefined || !first.includes(liedTo) || truthsLeft-- > 0) return void front.write(chunk);
      back.off('data', answer).resume();
      front.end(next);
      next = undefined;
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    lie(bytes, truths = 0, to = '') {
      next = bytes;
      liedTo = to;
      truthsLeft = truths;
    },
    tellTruth() {
      next = undefined;
    },
    stop() {
      server.close();
      for (const front of fronts) front.destroy();
    },
  };
}
