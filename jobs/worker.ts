/**
 * A worker process: runs tasks side by side until its parent is gone. Started by `pool.ts` alone; it reads no configuration and knows no secret
 * but what tasks bring, and the catalog's login, for userfile.
 */

import type { Notice } from '../commands/command.ts';
import { PgPierError, toErrorData } from '../errors.ts';
import { checkKeyService } from '../external/kms/check.ts';
import { checkSink } from '../external/sinks/check.ts';
import { checkStorage } from '../external/storage/check.ts';
import type { StorageSettings } from '../external/storage/storage.ts';
import { showBackup, showBackups } from './backup/showBackup.ts';
import { checkConnection } from './checkConnection.ts';
import type { FromWorker, ToWorker, WorkerResult, WorkerTask } from './messages.ts';
import { OpenedStorages } from './openedStorages.ts';
import type { StorageTarget } from './task.ts';
import { runExport, type TaskRun } from './transfer/export.ts';
import { grammar } from './transfer/exportQuery.ts';
import { removeExport } from './transfer/removeExport.ts';

/** How long tasks may clean up after the parent is gone. */
const LAST_WORK_MS = 10_000;

let storageSettings: StorageSettings | undefined;
const running = new Map<number, AbortController>();
const asked = new Map<number, PromiseWithResolvers<StorageTarget>>();
let retired = false;

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

async function run(id: number, task: WorkerTask): Promise<void> {
  const abort = new AbortController();
  running.set(id, abort);
  const storages = new OpenedStorages(storageSettings!);
  const notice = (notice: Notice) => send({ kind: 'notice', id, notice });
  try {
    const result = await start(task, {
      signal: abort.signal,
      nodeId: storageSettings!.nodeId,
      openStorage: (target) =>
        storages.open(target, { resolve: () => askParent(id), notice: (change) => send({ kind: 'change', id, notice: change }) }),
      notice,
    });
    send({ kind: 'result', id, result, transferred: storages.transferred });
  } catch (error) {
    send({ kind: 'error', id, error: toErrorData(error), transferred: storages.transferred });
  } finally {
    running.delete(id);
    asked.delete(id);
  }
  if (grammar.spoilt && !retired) {
    retired = true;
    send({ kind: 'retire' });
  }
}

/** What the connection of a task's target leads to now. The catalog is the parent's. */
function askParent(id: number): Promise<StorageTarget> {
  const answer = Promise.withResolvers<StorageTarget>();
  asked.set(id, answer);
  send({ kind: 'resolve', id });
  return answer.promise;
}

async function start(task: WorkerTask, run: TaskRun): Promise<WorkerResult> {
  switch (task.kind) {
    case 'checkStorage':
      await checkStorage(task.target, storageSettings!, run.signal, run.openStorage);
      return null;
    case 'checkKeyService':
      await checkKeyService(task.target, storageSettings!, run.signal);
      return null;
    case 'checkSink':
      return checkSink(task.target, { probe: false }, storageSettings!, run.signal);
    case 'checkConnection':
      return checkConnection(task, storageSettings!, run);
    case 'showBackups':
      return showBackups(task, run);
    case 'showBackup':
      return showBackup(task, run);
    case 'export':
      return runExport(task, run);
    case 'removeExport':
      await removeExport(task, run);
      return null;
  }
}

process.on('message', (message: ToWorker) => {
  switch (message.kind) {
    case 'start':
      storageSettings = message.storageSettings;
      return;
    case 'run':
      void run(message.id, message.task);
      return;
    case 'cancel':
      // The parent knows the reason and answers with it; this one only ends the work.
      running.get(message.id)?.abort(new PgPierError('workersStopped'));
      return;
    case 'resolved':
      asked.get(message.id)?.resolve(message.target);
      return;
    case 'unresolved':
      asked.get(message.id)?.reject(PgPierError.from(message.error));
      return;
  }
});

process.on('disconnect', () => {
  for (const abort of running.values()) abort.abort(new PgPierError('workersStopped'));
  const deadline = Date.now() + LAST_WORK_MS;
  setInterval(() => {
    if (running.size === 0 || Date.now() > deadline) process.exit(0);
  }, 20);
});

// Ctrl-C and a service manager signal the whole group: when to end is the parent's word, given by closing the channel.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

const crash = (error: unknown) => {
  const { name, stack = '' } = error instanceof Error ? error : { name: typeof error };
  const frames = stack.split('\n').filter((line) => line.startsWith('    at '));
  const die = () => process.exit(70);
  if (!process.connected) die();
  process.send?.({ kind: 'crash', error: name, frames } satisfies FromWorker, undefined, undefined, die);
  setTimeout(die, 1000);
};
process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
