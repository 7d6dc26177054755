/** A path that is slow and cuts: a TCP relay that hands bytes on in random pieces after random pauses, each direction in its own order. */
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { keepLastWords } from '../../server/link/lastWords.ts';
import { randomNumbers } from './wireSession.ts';

export interface Delays {
  readonly host: '127.0.0.1';
  readonly port: number;
  stop(): void;
}

const longestPauseMs = 4;

export async function startDelays(to: NetConnectOpts, seed: number): Promise<Delays> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (front) => {
    const back = connect({ ...to, allowHalfOpen: true, noDelay: true } as NetConnectOpts);
    const random = randomNumbers(seed * 7919 + connections++);
    for (const [from, into] of [
      [front, back],
      [back, front],
    ] as const) {
      sockets.add(from);
      // What was read goes on before the end is told, however the socket ended.
      let carried: Promise<void> = Promise.resolve();
      const next = (step: () => Promise<void> | void): void => {
        carried = carried.then(step);
      };
      keepLastWords(from, () => {});
      from.on('error', () => {});
      from.on('data', (chunk: Buffer) => next(async () => carry(chunk, into, random)));
      from.on('end', () => next(() => void into.end()));
      from.on('close', () => {
        sockets.delete(from);
        if (!from.readableEnded) next(() => void into.destroy());
      });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    host: '127.0.0.1',
    port: (server.address() as { port: number }).port,
    stop() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function carry(chunk: Buffer, into: Socket, random: () => number): Promise<void> {
  for (let at = 0; at < chunk.length && !into.destroyed; ) {
    const end = random() < 0.5 ? chunk.length : at + 1 + Math.floor(random() ** 3 * chunk.length);
    if (random() < 0.3) await sleep(random() * longestPauseMs);
    if (!into.destroyed) into.write(chunk.subarray(at, end));
    at = end;
  }
}
