/** A PostgreSQL with a catalog, job worker processes that know the kind of `stepsKind.ts`, and statements that begin such jobs. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { CatalogView, Stamp } from '../../../catalog/catalog.ts';
import type { Job } from '../../../catalog/jobs.ts';
import type { Notice } from '../../../commands/command.ts';
import type { JobSpec, Jobs } from '../../../jobs/job.ts';
import { type Doorbell, openDoorbell } from '../../../jobs/queue/doorbell.ts';
import { type JobWorkerProcess, startJobWorkerProcess } from '../../../jobs/queue/jobWorkerProcess.ts';
import type { JobWorkerSettings } from '../../../jobs/queue/openJobWorker.ts';
import { statementJobs } from '../../../jobs/queue/statementJobs.ts';
import { collectingLog, Lab, masterKey } from '../../catalog/lab.ts';
import type { PostgresVersion } from '../../servers/postgres.ts';
import type { Steps } from './stepsKind.ts';

const script = fileURLToPath(new URL('./stepsWorkerMain.ts', import.meta.url));

/** What a job may take to be with another worker. */
export const TAKEN_OVER_MS = 10_000;

export const pidOf = (line: string): number => Number(line.split(' ')[2]);
export const attemptOf = (line: string): number => Number(line.split(' ')[1]);

export interface Begun {
  readonly notices: readonly Notice[];
  readonly cancel: AbortController;
  readonly jobs: Jobs;
}

export class QueueLab {
  readonly lab: Lab;
  readonly log = collectingLog();
  readonly directory = mkdtempSync(join(tmpdir(), 'pgpier-queue-'));
  readonly #bell: Doorbell;
  readonly #workers: JobWorkerProcess[] = [];
  #files = 0;

  constructor(lab: Lab) {
    this.lab = lab;
    this.#bell = openDoorbell(lab.catalog.database, this.log);
  }

  static async start(version: PostgresVersion): Promise<QueueLab> {
    return new QueueLab(await Lab.start(version));
  }

  settings(nodeId = 1, count = 2): JobWorkerSettings {
    const { server } = this.lab;
    if (masterKey.kind !== 'value' || typeof masterKey.value !== 'string') throw new Error('another key was expected');
    return {
      service: { host: server.socketDir, port: server.port, database: 'postgres', user: 'postgres', password: '', sslmode: 'disable' },
      attempt: 0,
      namedConnectionsOnly: false,
      usageRetentionDays: 90,
      secretKey: { kind: 'value', value: masterKey.value },
      storageSettings: { externalDir: this.directory, nodeId, allowedNetworks: [] },
      count,
    };
  }

  /** `through`: another address of the same server. */
  worker(nodeId = 1, count = 2, through?: { readonly host: string; readonly port: number }): JobWorkerProcess {
    const settings = this.settings(nodeId, count);
    const worker = startJobWorkerProcess({
      settings: { ...settings, service: { ...settings.service, ...through } },
      log: this.log,
      script,
    });
    this.#workers.push(worker);
    return worker;
  }

  /** What a statement of that role has; `stamp` for one in a transaction. */
  async statement<T>(
    work: (begun: Begun) => Promise<T>,
    { role = 'postgres', stamp = { kind: 'immediate' } as Stamp, session = randomUUID() as string } = {},
  ): Promise<T> {
    const view: CatalogView = { session, role, sessionUser: role, stamp };
    const notices: Notice[] = [];
    const cancel = new AbortController();
    const factory = statementJobs({ catalog: this.lab.catalog, doorbell: this.#bell, nodeId: 1, log: this.log });
    return this.lab.catalog.transaction(view, (catalog) =>
      work({
        notices,
        cancel,
        jobs: factory.of({
          asker: { role, sessionUser: role, database: 'postgres', searchPath: 'public', settings: {} },
          catalog,
          notice: (notice) => void notices.push(notice),
          signal: cancel.signal,
        }),
      }),
    );
  }

  /** A job of steps, and the file in which they are written down. */
  spec(payload: Omit<Steps, 'file'>): JobSpec & { readonly file: string } {
    const file = join(this.directory, `steps-${++this.#files}`);
    return { type: 'BACKUP', description: 'BACKUP DATABASE d INTO ***', payload: { ...payload, file }, connections: [], file };
  }

  detached(spec: JobSpec, role = 'postgres'): Promise<string> {
    return this.statement(({ jobs }) => jobs.create(spec), { role });
  }

  async job(id: string): Promise<Job | undefined> {
    const view: CatalogView = { session: randomUUID(), role: 'postgres', sessionUser: 'postgres', stamp: { kind: 'immediate' } };
    return this.lab.catalog.transaction(view, ({ jobs }) => jobs.find(id));
  }

  /** Waits until it is in one of these states. */
  async reaches(id: string, ...states: readonly string[]): Promise<Job> {
    let job: Job | undefined;
    for (let waited = 0; waited < 25_000; waited += 50) {
      job = await this.job(id).catch(() => undefined);
      if (job !== undefined && states.includes(job.state)) return job;
      await sleep(50);
    }
    throw new Error(`job ${id} is ${job?.state} (${job?.error?.message}), not ${states.join(' or ')}\n${this.log.lines.join('\n')}`);
  }

  /** Lines `<what> <attempt> <pid>`, empty before the first. */
  lines(file: string): readonly string[] {
    try {
      return readFileSync(file, 'utf8').split('\n').slice(0, -1);
    } catch {
      return [];
    }
  }

  /** The first words of the lines. */
  happened(file: string): readonly string[] {
    return this.lines(file).map((line) => line.split(' ')[0]!);
  }

  /** It was taken back at last, by the checkpoint of the last step. */
  takenBack(file: string): void {
    const happened = this.happened(file);
    const last = happened.findLast((what) => what.startsWith('step:'))?.slice(5) ?? '0';
    assert.equal(happened.at(-1), `reverted:${last}`, happened.join(' '));
  }

  async until(file: string, what: string): Promise<string> {
    for (let waited = 0; waited < 20_000; waited += 20) {
      const line = this.lines(file).find((each) => each.startsWith(`${what} `));
      if (line !== undefined) return line;
      await sleep(20);
    }
    throw new Error(`${what} did not happen: ${this.lines(file).join('; ')}\n${this.log.lines.join('\n')}`);
  }

  /** Waits for the second attempt to begin and tells how long that took. */
  async takenOver(file: string): Promise<{ readonly line: string; readonly ms: number }> {
    const from = performance.now();
    for (;;) {
      const line = this.lines(file).find((each) => each.startsWith('begin:') && attemptOf(each) === 2);
      if (line !== undefined) return { line, ms: performance.now() - from };
      if (performance.now() - from > 20_000) throw new Error(`nobody took it over: ${this.lines(file)}\n${this.log.lines.join('\n')}`);
      await sleep(20);
    }
  }

  /** Ends the workers started so far. */
  async stopWorkers(): Promise<void> {
    await Promise.all(this.#workers.splice(0).map((worker) => worker.stop(0)));
  }

  async stop(): Promise<void> {
    await this.stopWorkers();
    await this.#bell.stop();
    await this.lab.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
