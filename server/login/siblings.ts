/**
 * Other listeners on our port: the relays of one PgPier, and in a rolling restart the old process beside the new. The kernel gives a CancelRequest to any
 * of them. Each has a Unix-domain socket in one directory, and what a listener cannot deliver itself goes to all the others there.
 */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { PgPierError } from '../../errors.ts';
import { type CancelKey, cancelRequest, readCancelRequest } from '../../protocol/frontend/cancelRequest.ts';
import { cancelTimeoutMs } from './forwardCancel.ts';

/** Room of `sun_path` on Linux, without its final zero byte. */
const maxPathLength = 107;
/** A socket that refuses and is as old as this was left behind by a process that was killed; a younger one may be about to listen. */
const staleAfterMs = 60_000;
/** The longest CancelRequest: its head and a key of 256 bytes. */
const maxRequestLength = 268;

export interface Siblings {
  /** Resolves when all have delivered it or dropped it, or have taken too long. */
  pass(key: CancelKey): Promise<void>;
  /** From now on the others have one sibling less. */
  leave(): void;
}

/**
 * @param directory made when missing, for this account alone
 * @param deliver what to do with a request that a sibling passes on
 * @throws PgPierError `siblingSocket`
 */
export async function joinSiblings(directory: string, deliver: (key: CancelKey) => Promise<void>): Promise<Siblings> {
  const name = `${randomBytes(6).toString('hex')}.sock`;
  const path = join(directory, name);
  const cannot = (reason: string, cause?: unknown): PgPierError => {
    const error = new PgPierError('siblingSocket', { path, reason });
    error.cause = cause;
    return error;
  };
  if (Buffer.byteLength(path) > maxPathLength) throw cannot(`the path is longer than ${maxPathLength} bytes`);
  const server = net.createServer((socket) => receive(socket, deliver));
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(path, resolve);
    });
    chmodSync(path, 0o600);
  } catch (error) {
    throw cannot((error as Error).message, error);
  }
  server.on('error', () => {});
  server.unref();
  return {
    pass: async (key) => {
      const others = readdirSync(directory).filter((other) => other.endsWith('.sock') && other !== name);
      await Promise.all(others.map((other) => send(join(directory, other), key)));
    },
    leave: () => server.close(),
  };
}

/** Reads the one request; closing is the answer. */
function receive(socket: net.Socket, deliver: (key: CancelKey) => Promise<void>): void {
  let received = Buffer.alloc(0);
  socket.on('error', () => {});
  socket.setTimeout(cancelTimeoutMs, () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    const length = received.length < 4 ? maxRequestLength : received.readInt32BE(0);
    if (received.length < length && received.length <= maxRequestLength) return;
    socket.removeAllListeners('data');
    const key = length === received.length ? readCancelRequest(received) : undefined;
    void (key ? deliver(key) : Promise.resolve()).finally(() => socket.destroy());
  });
}

function send(path: string, key: CancelKey): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(path, () => socket.write(cancelRequest(key)));
    socket.setTimeout(cancelTimeoutMs, () => socket.destroy());
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED') removeStale(path);
    });
    socket.once('close', () => resolve());
    socket.resume();
  });
}

function removeStale(path: string): void {
  try {
    if (Date.now() - statSync(path).ctimeMs > staleAfterMs) rmSync(path);
  } catch {
    // Another sibling was quicker.
  }
}
