/** What the relay and a worker process say to each other over Node's IPC channel (advanced serialization: bigint, Map, Date survive). */
import type { Notice } from '../commands/command.ts';
import type { ErrorData } from '../errors.ts';
import type { StorageSettings } from '../external/storage/storage.ts';
import type { ExportTask, StorageTarget, Task, TaskResults, Transferred } from './task.ts';

/** Removes what an export left whose worker died: files with its id, finished or not. */
export interface RemoveExportTask {
  readonly kind: 'removeExport';
  readonly target: StorageTarget;
  readonly exportId: ExportTask['exportId'];
}

export type WorkerTask = Task | RemoveExportTask;
/** `removeExport` results in nothing. */
export type WorkerResult = TaskResults[Task['kind']] | null;

export type ToWorker =
  /** The first message. */
  | { readonly kind: 'start'; readonly storageSettings: StorageSettings }
  | { readonly kind: 'run'; readonly id: number; readonly task: WorkerTask }
  | { readonly kind: 'cancel'; readonly id: number }
  /** The answer to `resolve`. */
  | { readonly kind: 'resolved'; readonly id: number; readonly target: StorageTarget }
  | { readonly kind: 'unresolved'; readonly id: number; readonly error: ErrorData };

export type FromWorker =
  | { readonly kind: 'notice'; readonly id: number; readonly notice: Notice }
  /** What became of the connection of the task's target: a notice that the log has, too. */
  | { readonly kind: 'change'; readonly id: number; readonly notice: Notice }
  /** Asks what the connection of the task's target leads to now; one question of a task at a time. */
  | { readonly kind: 'resolve'; readonly id: number }
  | { readonly kind: 'result'; readonly id: number; readonly result: WorkerResult; readonly transferred: Transferred }
  | { readonly kind: 'error'; readonly id: number; readonly error: ErrorData; readonly transferred: Transferred }
  /** Gives this worker no more tasks: it ends when those it has are done. */
  | { readonly kind: 'retire' }
  /** The process ends at once; where it failed, without the message, which may quote anything. */
  | { readonly kind: 'crash'; readonly error: string; readonly frames: readonly string[] };
