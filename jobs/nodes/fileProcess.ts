/**
 * Serves the files of this node to other nodes, in a process of its own: the proxy accepts their connections on the clients' port and hands the sockets over, so
 * that no byte of a file and no encryption is its work. The process is started with the first connection.
 */
import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../pool.ts';
import { workerEnvironment } from '../workerProcess.ts';
import type { FromFileProcess, ToFileProcess } from './messages.ts';

export interface FileProcess {
  /** Of the process that runs now, if one does. */
  readonly pid: number | undefined;
  /** Takes a socket from which nothing but the node request was read. */
  take(socket: Socket): void;
  /** Gives what is under way so long, and ends the process. Connections that come later are closed. A second call may give less. */
  stop(withinMs: number): Promise<void>;
}

/** Sockets on their way to the process. A flood of connections is cut off here. */
const mostOnTheirWay = 1024;
/** A process that dies as soon as it starts is not started again at once. */
const restMs = 1_000;
/** Beyond what work is given to end. */
const endMs = 2_000;

type State =
  | { readonly kind: 'none'; readonly restUntil: number }
  | { readonly kind: 'running'; readonly child: ChildProcess }
  | { readonly kind: 'stopped'; readonly child?: ChildProcess };

export function openFileProcess(settings: Extract<ToFileProcess, { kind: 'start' }>['settings'], log: Log): FileProcess {
  let state: State = { kind: 'none', restUntil: 0 };
  let onTheirWay = 0;
  let lastId = 0;

  function started(): ChildProcess | undefined {
    if (state.kind === 'running') return state.child;
    if (state.kind === 'stopped' || performance.now() < state.restUntil) return undefined;
    const script = fileURLToPath(new URL(`./fileProcessMain${extname(import.meta.url)}`, import.meta.url));
    const child = fork(script, [], {
      env: workerEnvironment(process.env),
      execArgv: script.endsWith('.ts') ? ['--liftoff-only'] : [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    state = { kind: 'running', child };
    const end = (how: string) => {
      if (state.kind !== 'running' || state.child !== child) return;
      log.warn({ pid: child.pid, how }, 'the process that serves files to other nodes ended');
      state = { kind: 'none', restUntil: performance.now() + restMs };
    };
    child.on('message', (message: FromFileProcess) => log[message.level](message.fields, message.message));
    child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (child.pid === undefined) end(error.code ?? error.name);
    });
    send(child, { kind: 'start', settings });
    log.info({ pid: child.pid }, 'the process that serves files to other nodes started');
    return child;
  }

  return {
    get pid() {
      return state.kind === 'running' ? state.child.pid : undefined;
    },
    take(socket) {
      const child = onTheirWay < mostOnTheirWay ? started() : undefined;
      if (!child?.connected) return void socket.destroy();
      onTheirWay += 1;
      const id = ++lastId;
      child.send({ kind: 'connection', id } satisfies ToFileProcess, socket, {}, (error) => {
        onTheirWay -= 1;
        if (error) socket.destroy();
        else send(child, { kind: 'released', id });
      });
    },
    async stop(withinMs) {
      const child = state.kind === 'none' ? undefined : state.child;
      state = { kind: 'stopped', ...(child && { child }) };
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      send(child, { kind: 'stop', withinMs });
      const kill = setTimeout(() => child.kill('SIGKILL'), withinMs + endMs);
      await exited;
      clearTimeout(kill);
    },
  };
}

/** A process that is gone reports so by `exit`. */
function send(child: ChildProcess, message: ToFileProcess): void {
  if (child.connected) child.send(message, () => {});
}
