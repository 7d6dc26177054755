/** The inside of a job worker process: settings and the word to stop come by IPC, log lines go back. Ends when its parent is gone. */
import { PgPierError } from '../../errors.ts';
import type { JobKinds } from '../jobKinds.ts';
import type { Log } from '../pool.ts';
import type { FromJobWorker, ToJobWorker } from './messages.ts';
import { openJobWorker } from './openJobWorker.ts';

/** What jobs are given when the parent is gone: another start of it may be waiting for them. */
const ORPHAN_MS = 1_000;
const DEFECT = 70;

export function runAsJobWorker(kinds: JobKinds): void {
  let worker: ReturnType<typeof openJobWorker> | undefined;
  let stopping = false;

  const send = (message: FromJobWorker, sent: () => void = () => {}): void => {
    if (process.connected) process.send?.(message, undefined, undefined, sent);
    else sent();
  };
  const line = (level: 'info' | 'warn' | 'error') => (fields: object, message: string) => send({ kind: 'log', level, fields, message });
  const log: Log = { info: line('info'), warn: line('warn'), error: line('error') };
  const exit = (code: number): void => {
    setTimeout(() => process.exit(code), 1_000);
    send({ kind: 'log', level: 'info', fields: { code }, message: 'the job worker process ends' }, () => process.exit(code));
  };

  function stop(withinMs: number): void {
    if (stopping) return;
    stopping = true;
    void (async () => {
      await (await worker?.catch(() => undefined))?.stop(AbortSignal.timeout(withinMs));
      exit(0);
    })();
  }

  process.on('message', (message: ToJobWorker) => {
    if (message.kind === 'stop') return stop(message.withinMs);
    worker = openJobWorker(message.settings, {
      kinds,
      log,
      stuck(job) {
        log.error({ job }, 'the work on a lost job does not stop: the process ends');
        exit(DEFECT);
      },
    });
    worker.catch((error) => {
      const reason = error instanceof PgPierError ? error.message : error instanceof Error ? error.name : typeof error;
      send({ kind: 'refused', message: reason }, () => process.exit(1));
      setTimeout(() => process.exit(1), 1_000);
    });
  });
  process.on('disconnect', () => stop(ORPHAN_MS));
  // Ctrl-C and a service manager signal the whole group: when to end is the parent's word.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  process.on('SIGHUP', () => {});

  const crash = (error: unknown): void => {
    const { name, stack = '' } = error instanceof Error ? error : { name: typeof error };
    log.error({ error: name, at: stack.split('\n').filter((line) => line.startsWith('    at ')) }, 'the job worker process crashed');
    exit(DEFECT);
  };
  process.on('uncaughtException', crash);
  process.on('unhandledRejection', crash);
}
