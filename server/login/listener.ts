/** The listening socket: each accepted connection logs in and becomes a session (connection.ts). */
import * as net from 'node:net';
import { PgPierError } from '../../errors.ts';
import { socketOptions } from '../link/socketLink.ts';
import { CancelRegistry } from './cancel.ts';
import { clientLimits } from './clientLimits.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import { startIdleSweep } from './idleSweep.ts';
import type { Listener, ListenerOptions } from './listenerOptions.ts';
import type { SessionHandle } from './loggedIn.ts';
import type { Peers } from './peers.ts';
import { joinSiblings, type Siblings } from './siblings.ts';
import { listenerEncryption } from './tls.ts';

export type * from './listenerOptions.ts';

const defaultDrainTimeoutMs = 30_000;

/** Rejects with PgPierError: `cannotListen` (port taken, address not ours, …), `siblingSocket` or `tlsKeyPair`. */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const logins = new Map<Connection, Promise<void>>();
  const sessions = new Set<SessionHandle>();
  const counters = { accepted: 0, loggedIn: 0, refused: 0, cancelRequests: 0 };
  let tls = options.tls && listenerEncryption(options.tls);
  const { sharedPort, peers } = options;
  const elsewhere: { siblings?: Siblings; peers?: Peers } = { ...(peers && { peers }) };
  const cancels = new CancelRegistry(elsewhere);
  if (sharedPort) elsewhere.siblings = await joinSiblings(sharedPort.directory, (key) => cancels.cancelHere(key));
  const context: ConnectionContext = {
    options,
    get tls() {
      return tls;
    },
    cancels,
    limits: options.limits ?? clientLimits({}),
  };

  const accept = async (connection: Connection): Promise<void> => {
    const end = await connection.run();
    switch (end.kind) {
      case 'session': {
        const { handle } = end;
        counters.loggedIn++;
        sessions.add(handle);
        const remove = (): void => {
          sessions.delete(handle);
        };
        handle.done.then(remove, remove);
        break;
      }
      case 'cancel':
        counters.cancelRequests++;
        break;
      case 'refused':
        counters.refused++;
        break;
      case 'silent':
        break;
    }
    logins.delete(connection);
  };

  const server = net.createServer({ ...socketOptions(options.keepAliveMs), pauseOnConnect: true }, (socket) => {
    counters.accepted++;
    const connection = new Connection(socket, context);
    logins.set(connection, accept(connection));
  });
  try {
    await listen(server, options);
  } catch (error) {
    elsewhere.siblings?.leave();
    throw error;
  }
  const stopSweep = options.idleTimeoutMs ? startIdleSweep(sessions, options.idleTimeoutMs) : () => {};
  server.on('error', (error) => options.log.error({ reason: error.message }, 'the listening socket failed'));
  const bound = server.address() as net.AddressInfo;

  const handOver = async (): Promise<void> => {
    server.close();
    while (logins.size > 0 || sessions.size > 0) {
      await Promise.all(logins.values());
      await Promise.allSettled([...sessions].map((handle) => handle.done));
    }
  };
  let stopping: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const connection of logins.keys()) connection.stop();
    await Promise.all(logins.values());
    const left = [...sessions];
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, options.drainTimeoutMs ?? defaultDrainTimeoutMs);
    });
    await Promise.race([Promise.allSettled(left.map((handle) => handle.drain())), late]);
    clearTimeout(timer);
    for (const handle of left) if (sessions.has(handle)) handle.destroy();
    await Promise.allSettled(left.map((handle) => handle.done));
    stopSweep();
    elsewhere.siblings?.leave();
    await closed;
    await options.native?.closed();
  };
  return {
    address: { host: bound.address, port: bound.port },
    get sessionCount() {
      return sessions.size;
    },
    counters,
    reloadTls: (files) => {
      tls = listenerEncryption(files);
    },
    handOver,
    stop: () => {
      stopping ??= stop();
      return stopping;
    },
  };
}

function listen(server: net.Server, { host, port, sharedPort }: ListenerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reasons: Readonly<Record<string, string>> = {
        EADDRINUSE: 'the port is in use',
        EACCES: 'permission denied',
        EADDRNOTAVAIL: 'the address is not of this machine',
        ENOTFOUND: 'the name cannot be resolved',
        ENOTSUP: 'this system cannot share a port (SO_REUSEPORT)',
      };
      const failure = new PgPierError('cannotListen', { address: `${host}:${port}`, reason: reasons[error.code ?? ''] ?? error.message });
      failure.cause = error;
      reject(failure);
    });
    // 511 is Node's default; a burst of clients must not be refused by the kernel.
    server.listen({ host, port, backlog: 1024, reusePort: sharedPort !== undefined }, resolve);
  });
}
