/** A process that keeps a job worker process, as a proxy does, and is killed by its test. Told what to do by IPC; says the worker's pid. */
import { fileURLToPath } from 'node:url';
import { startJobWorkerProcess } from '../../../jobs/queue/jobWorkerProcess.ts';
import type { JobWorkerSettings } from '../../../jobs/queue/openJobWorker.ts';

const script = fileURLToPath(new URL('./stepsWorkerMain.ts', import.meta.url));
const quiet = () => {};

process.once('message', (settings: JobWorkerSettings) => {
  const { pid } = startJobWorkerProcess({ settings, log: { info: quiet, warn: quiet, error: quiet }, script });
  process.send!(pid);
});
