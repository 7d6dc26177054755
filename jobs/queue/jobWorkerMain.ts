/** A job worker process with every kind of job; started by `jobWorkerProcess.ts` alone. */
import { jobKinds } from '../jobKinds.ts';
import { runAsJobWorker } from './jobWorkerChild.ts';

runAsJobWorker(jobKinds);
