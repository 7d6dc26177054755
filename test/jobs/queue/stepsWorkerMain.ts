/** A job worker process that knows the kind of `stepsKind.ts` alone. */
import { runAsJobWorker } from '../../../jobs/queue/jobWorkerChild.ts';
import { stepsKinds } from './stepsKind.ts';

runAsJobWorker(stepsKinds);
