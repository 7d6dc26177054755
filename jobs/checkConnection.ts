import { PgPierError } from '../errors.ts';
import { measureStorage } from '../external/storage/measure.ts';
import type { StorageSettings } from '../external/storage/storage.ts';
import type { CheckConnectionTask, CheckedConnection } from './task.ts';

/** One run of CHECK EXTERNAL CONNECTION on this machine. A location that fails is an answer; a cancel rejects. */
export async function checkConnection(
  { target, size, milliseconds }: CheckConnectionTask,
  settings: StorageSettings,
  signal: AbortSignal,
): Promise<CheckedConnection> {
  const node = settings.nodeId;
  try {
    return { kind: 'done', node, ...(await measureStorage(target, { size, milliseconds }, settings, signal)) };
  } catch (error) {
    if (signal.aborted || !(error instanceof PgPierError)) throw error;
    return { kind: 'failed', node, error: error.message };
  }
}
