/** A process that starts an EXPORT and does nothing else: pool.test.ts kills it. Told what to do by IPC; says the worker's pid. */
import { startWorkers } from '../../jobs/pool.ts';
import type { ExportTask } from '../../jobs/task.ts';

const tell = (fields: object) => 'pid' in fields && process.send!(fields.pid);

process.once('message', ({ task, externalDir }: { task: ExportTask; externalDir: string }) => {
  const log = { info: tell, warn() {}, error() {} };
  const workers = startWorkers({ count: 1, storageSettings: { externalDir, nodeId: 1, allowedNetworks: [] }, log });
  void workers.run(task, { signal: new AbortController().signal });
});
