/** One worker process: forked with a small environment, spoken to over IPC. */
import { fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { StorageSettings } from '../external/storage/storage.ts';
import type { FromWorker, ToWorker } from './messages.ts';

export interface WorkerProcess {
  readonly pid: number | undefined;
  send(message: ToWorker): void;
  /** Ends it: it cancels what it runs, cleans up and exits; one that does not is killed. */
  disconnect(): void;
  readonly ended: Promise<void>;
}

export interface WorkerEvents {
  onMessage(message: FromWorker): void;
  /** Called once; `how` is an exit code, a signal or an error's code. */
  onEnd(how: string): void;
}

/** Longer than worker.ts takes to clean up at most. */
const KILL_MS = 15_000;

/**
 * What a worker may know of the environment: the machine's own credentials for the clouds (`AUTH=implicit`), how to trust certificates, and
 * where a home and a temporary folder are. PGPIER_SECRET_KEY, PGPASSWORD and the like stay with the relay.
 */
const environment = {
  names: ['HOME', 'USERPROFILE', 'APPDATA', 'PATH', 'SystemRoot', 'TMPDIR', 'TEMP', 'TMP', 'TZ', 'LANG', 'LC_ALL'],
  tls: ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'NODE_USE_SYSTEM_CA'],
  prefixes: ['AWS_', 'GOOGLE_', 'GCE_', 'CLOUDSDK_', 'AZURE_', 'MSI_', 'IDENTITY_'],
} as const;

/** Exported for its test. */
export function workerEnvironment(from: Readonly<NodeJS.ProcessEnv>): NodeJS.ProcessEnv {
  const named = new Set<string>([...environment.names, ...environment.tls]);
  return Object.fromEntries(
    Object.entries(from).filter(([name]) => named.has(name) || environment.prefixes.some((prefix) => name.startsWith(prefix))),
  );
}

export function forkWorker(storageSettings: StorageSettings, events: WorkerEvents): WorkerProcess {
  const script = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));
  const child = fork(script, [], {
    env: workerEnvironment(process.env),
    // Node reads TypeScript by a WebAssembly program; to optimise that, V8 takes some 500 MB for a moment. Compiled packages need no such thing.
    execArgv: script.endsWith('.ts') ? ['--liftoff-only'] : [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let over = false;
  const end = (how: string) => {
    if (over) return;
    over = true;
    resolve();
    events.onEnd(how);
  };
  child.on('message', (message) => events.onMessage(message as FromWorker));
  child.on('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  // Not started at all, or the channel broke: `exit` may never come in the first case.
  child.on('error', (error: NodeJS.ErrnoException) => {
    if (child.pid === undefined) end(error.code ?? error.name);
  });
  const send = (message: ToWorker) => {
    // A process that is already gone reports so by `exit`.
    if (child.connected) child.send(message, () => {});
  };
  send({ kind: 'start', storageSettings });
  return {
    pid: child.pid,
    send,
    ended,
    disconnect() {
      if (child.connected) child.disconnect();
      const timer = setTimeout(() => child.kill('SIGKILL'), KILL_MS);
      timer.unref();
      child.once('exit', () => clearTimeout(timer));
    },
  };
}
