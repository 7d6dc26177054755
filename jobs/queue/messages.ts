/** What the process that started a job worker and the worker say to each other over Node's IPC channel. */
import type { JobWorkerSettings } from './openJobWorker.ts';

export type ToJobWorker =
  /** The first message. */
  | { readonly kind: 'start'; readonly settings: JobWorkerSettings }
  /** Running jobs have so long; then they are handed back and the process ends. */
  | { readonly kind: 'stop'; readonly withinMs: number };

export type FromJobWorker =
  | { readonly kind: 'log'; readonly level: 'info' | 'warn' | 'error'; readonly fields: object; readonly message: string }
  /** It cannot work: another key, a catalog of another version. */
  | { readonly kind: 'refused'; readonly message: string };
