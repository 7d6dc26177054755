/** A native session between two peers of ours, over real sockets. */
import { once } from 'node:events';
import * as net from 'node:net';
import type { FastPath, LeftPath } from '../../server/link/fastPath.ts';
import type { Link } from '../../server/link/link.ts';
import { SocketLink } from '../../server/link/socketLink.ts';
import { type NativeLinks, openNativeLinks } from '../../server/native/nativeLinks.ts';

export interface NativeLab {
  readonly links: NativeLinks;
  readonly client: Link;
  readonly backend: Link;
  readonly fastPath: FastPath;
  /** The other ends. */
  readonly clientPeer: Peer;
  readonly backendPeer: Peer;
  readonly left: LeftPath[];
  /** What JavaScript was told, in order: `client 12` are 12 bytes. */
  readonly told: string[];
  close(): Promise<void>;
}

/** A raw socket that keeps what it hears. */
export class Peer {
  readonly socket: net.Socket;
  heard = Buffer.alloc(0);
  ended = false;

  constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', (bytes: Buffer) => {
      this.heard = Buffer.concat([this.heard, bytes]);
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => {});
  }
}

async function socketPair(): Promise<{ accepted: net.Socket; peer: Peer }> {
  const server = net.createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as net.AddressInfo;
  const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true, noDelay: true });
  const [accepted] = (await once(server, 'connection')) as [net.Socket];
  server.close();
  return { accepted, peer: new Peer(socket) };
}

export async function startNativeLab(): Promise<NativeLab> {
  const [front, back] = [await socketPair(), await socketPair()];
  const links = openNativeLinks();
  const adopted = links.adopt(new SocketLink(front.accepted), new SocketLink(back.accepted));
  if (!adopted?.fastPath) throw new Error('the links were not adopted');
  const { client, backend, fastPath } = adopted;
  const told: string[] = [];
  const left: LeftPath[] = [];
  for (const [name, link] of [
    ['client', client],
    ['backend', backend],
  ] as const) {
    link.onBytes = (bytes) => told.push(`${name} ${bytes.length}`) > 0;
    link.onEnd = () => void told.push(`${name} end`);
    link.onDrain = () => void told.push(`${name} drain`);
    link.onClose = () => void told.push(`${name} close`);
  }
  fastPath.onLeft = (state) => {
    told.push('left');
    left.push(state);
  };
  fastPath.onParameters = (messages) => void told.push(`parameters ${messages.toString('latin1')}`);
  return {
    links,
    client,
    backend,
    fastPath,
    clientPeer: front.peer,
    backendPeer: back.peer,
    left,
    told,
    async close() {
      for (const link of [client, backend]) link.destroy();
      for (const { socket } of [front.peer, back.peer]) socket.destroy();
      await links.closed();
    },
  };
}
