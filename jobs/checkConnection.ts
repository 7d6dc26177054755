import { PgPierError } from '../errors.ts';
import { checkKeyService } from '../external/kms/check.ts';
import { checkSink } from '../external/sinks/check.ts';
import { measureStorage } from '../external/storage/measure.ts';
import type { StorageSettings } from '../external/storage/storage.ts';
import { nodeOf } from './destination.ts';
import type { CheckConnectionTask, CheckedConnection } from './task.ts';
import type { TaskRun } from './transfer/export.ts';

/** One run of CHECK EXTERNAL CONNECTION on this machine. A place that fails is an answer; a cancel rejects. */
export async function checkConnection(
  { place }: CheckConnectionTask,
  settings: StorageSettings,
  run: Pick<TaskRun, 'signal' | 'openStorage'>,
): Promise<CheckedConnection> {
  const of = place.kind === 'storage' ? nodeOf(place.target) : undefined;
  const node = typeof of === 'number' ? of : settings.nodeId;
  const { signal } = run;
  try {
    switch (place.kind) {
      case 'storage': {
        const storage = await run.openStorage(place.target);
        try {
          return { kind: 'measured', node, ...(await measureStorage(storage, place, signal)) };
        } finally {
          await storage.close();
        }
      }
      case 'keyService': {
        const bytes = await checkKeyService(place.target, settings, signal);
        return { kind: 'answered', node, bytes, found: 'the key encrypted a text and decrypted it again' };
      }
      case 'sink': {
        const report = await checkSink(place.target, { probe: true }, settings, signal);
        if (report.kind === 'failed') return { kind: 'failed', node, error: report.error };
        const { description, probe } = report;
        return { kind: 'answered', node, bytes: probe!.bytes, found: `${description.summary}; a message was sent to ${probe!.where}` };
      }
    }
  } catch (error) {
    if (signal.aborted || !(error instanceof PgPierError)) throw error;
    return { kind: 'failed', node, error: error.message };
  }
}
