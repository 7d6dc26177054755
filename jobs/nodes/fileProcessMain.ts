/** The inside of the process that serves the files of this node. It ends with its parent. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { acceptNode } from '../../external/nodes/channel.ts';
import { nodeFileServer } from '../../external/nodes/fileServer.ts';
import { openNodelocal } from '../../external/storage/nodelocal.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import type { FromFileProcess, ToFileProcess } from './messages.ts';

/** Connections whose other side has not shown its key yet. */
const mostHandshakes = 128;
const mostConnections = 1024;
/** What writers of a process that was killed have left is removed when nobody has written to it for so long. */
const debrisMs = 3 * 24 * 3_600_000;
/** What is under way when the parent is gone. */
const orphanMs = 1_000;
const defect = 70;

let server: Server | undefined;
let key = Buffer.alloc(0);
let stopping: NodeJS.Timeout | undefined;
const refusals: { count: number; timer: NodeJS.Timeout | undefined } = { count: 0, timer: undefined };
/** The oldest first: it gives way where there are too many, since who has the key shows it within moments. */
const handshakes = new Set<Socket>();
const connections = new Map<Socket, { requests: number }>();
/** Sockets that the proxy has not let go of yet. */
const arriving = new Map<number, Socket>();

function log(level: FromFileProcess['level'], fields: object, message: string): void {
  if (process.connected) process.send?.({ kind: 'log', level, fields, message } satisfies FromFileProcess);
}

function start(settings: StorageSettings & { readonly nodeKey: string }): void {
  key = Buffer.from(settings.nodeKey, 'base64');
  server = nodeFileServer(settings);
  for (const event of ['request', 'checkContinue'] as const)
    server.on(event, (request, response) => {
      const connection = connections.get(request.socket);
      if (connection === undefined) return;
      connection.requests += 1;
      response.once('close', () => {
        connection.requests -= 1;
        if (stopping) endIdle();
      });
    });
  void removeDebris(settings);
}

async function removeDebris(settings: StorageSettings): Promise<void> {
  try {
    const storage = await openNodelocal({ host: 'self', segments: [] }, settings);
    const files = await storage.removePartial('', { before: new Date(Date.now() - debrisMs) });
    if (files > 0) log('info', { files }, 'removed unfinished files of writers that are gone');
  } catch (error) {
    log('warn', { sqlstate: (error as { data?: { sqlstate?: string } }).data?.sqlstate }, 'unfinished files could not be looked for');
  }
}

async function take(socket: Socket): Promise<void> {
  if (stopping || connections.size >= mostConnections) return void socket.destroy();
  const [oldest] = handshakes;
  if (handshakes.size >= mostHandshakes) oldest?.destroy();
  handshakes.add(socket);
  try {
    const secured = await acceptNode(socket, key);
    connections.set(secured, { requests: 0 });
    secured.once('close', () => {
      connections.delete(secured);
      if (stopping) endIdle();
    });
    server!.emit('connection', secured);
  } catch {
    refusals.count += 1;
    if (refusals.timer === undefined) tellRefusals();
  } finally {
    handshakes.delete(socket);
  }
}

/** Anybody who reaches the port can make one: a line a minute says how many. */
function tellRefusals(): void {
  if (refusals.count === 0) {
    refusals.timer = undefined;
    return;
  }
  log(
    'warn',
    { connections: refusals.count },
    'connections that asked for files of this node did not have the key of this catalog, or broke',
  );
  refusals.count = 0;
  refusals.timer = setTimeout(tellRefusals, 60_000);
}

function stop(withinMs: number): void {
  clearTimeout(stopping);
  stopping = setTimeout(() => process.exit(0), withinMs);
  endIdle();
}

function endIdle(): void {
  for (const [socket, { requests }] of connections) if (requests === 0) socket.destroy();
  if (connections.size === 0) process.exit(0);
}

process.on('message', (message: ToFileProcess, socket?: Socket) => {
  switch (message.kind) {
    case 'start':
      return start(message.settings);
    case 'connection':
      // Undefined where its other side was quicker to leave.
      if (socket)
        arriving.set(
          message.id,
          socket.on('error', () => {}),
        );
      return;
    case 'released': {
      const released = arriving.get(message.id);
      arriving.delete(message.id);
      return released && void take(released);
    }
    case 'stop':
      return stop(message.withinMs);
  }
});
process.on('disconnect', () => stop(orphanMs));
// Ctrl-C and a service manager signal the whole group: when to end is the parent's word.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const crash = (error: unknown): void => {
  const { name, stack = '' } = error instanceof Error ? error : { name: typeof error };
  log(
    'error',
    { error: name, at: stack.split('\n').filter((line) => line.startsWith('    at ')) },
    'the process that serves files crashed',
  );
  setTimeout(() => process.exit(defect), 100);
};
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
