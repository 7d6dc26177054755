/** A TCP relay that stops reading what its clients send, as a server that hangs does. */
import { connect, createServer, type NetConnectOpts, type Socket } from 'node:net';

export interface Stoppable {
  readonly port: number;
  /** From now on nothing is read from any client of the relay. */
  stopReading(): void;
  readOn(): void;
  stop(): void;
}

export async function startStoppable(to: NetConnectOpts): Promise<Stoppable> {
  const fronts = new Set<Socket>();
  const server = createServer((front) => {
    const back = connect(to);
    fronts.add(front);
    front.on('error', () => back.destroy()).on('close', () => back.destroy());
    back.on('error', () => front.destroy()).on('close', () => front.destroy());
    front.on('close', () => fronts.delete(front));
    back.pipe(front);
    front.pipe(back);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    stopReading() {
      for (const front of fronts) front.pause();
    },
    readOn() {
      for (const front of fronts) front.resume();
    },
    stop() {
      server.close();
      for (const front of fronts) front.destroy();
    },
  };
}
