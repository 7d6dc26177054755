/** From a configuration to a proxy that clients can reach; every part is entered into the lifecycle as soon as it runs. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type pg from 'pg';
import type { Catalog } from '../catalog/catalog.ts';
import { startJobWorkerProcess } from '../jobs/queue/jobWorkerProcess.ts';
import type { Config } from './config.ts';
import { formatAddress } from './configuration/address.ts';
import { startEmbedded } from './embedded.ts';
import { doorsOf, openDoors } from './hosts/door.ts';
import { jobWorkerSettings } from './jobWorker.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Log } from './log.ts';
import { clientLimits } from './login/clientLimits.ts';
import { type HttpServer, startHttp } from './metrics.ts';
import { backendOf, type EmbeddedAt } from './relays/backend.ts';
import { portMustBeFree } from './relays/freePort.ts';
import { startRelay } from './relays/relay.ts';
import { startRelayThreads } from './relays/threads.ts';

/** What a job's work is given to stop once no session is left. */
const JOBS_STOP_MS = 5_000;

export interface Started {
  readonly readyLine: string;
  /** Reads again what may change under running sessions: certificates, and whether verifiers may be read. Never throws; the log tells. */
  reload(): void;
  /** Leaves the port and the jobs to a successor; resolves when the last session has ended by itself. */
  handOver(): Promise<void>;
}

/** @param failed called when something that was started goes away by itself */
export async function start(
  config: Config,
  lifecycle: Lifecycle,
  log: Log,
  signal: AbortSignal,
  failed: (what: string) => void,
): Promise<Started> {
  const embedded = await startBackend(config, lifecycle, log, signal, failed);
  signal.throwIfAborted();
  const backend = backendOf(config, embedded);
  const doors = await openDoors(config, lifecycle, failed);
  const limits = clientLimits(config.limits);
  const several = config.relays > 1;
  // Others may only have our port where the operator wants it; else a second PgPier would take half of the clients unseen.
  if (several && !config.reusePort) await portMustBeFree(config.listen);

  let http: HttpServer | undefined;
  lifecycle.add('http', () => http?.stop());
  let stopJobs = async (): Promise<void> => {};
  const options = {
    backend,
    doors: doorsOf(config, doors),
    listen: config.listen,
    sharedPort: several || config.reusePort,
    limits,
    warmWorkers: true,
  };
  const first = await startRelay(config, options, lifecycle, log, async ({ catalog, found }) => {
    await mustAnswer(catalog, found.service.config);
    signal.throwIfAborted();
    if (config.workers === 0) return;
    const jobWorker = startJobWorkerProcess({ settings: jobWorkerSettings(config, found), log });
    stopJobs = () => jobWorker.stop(Math.min(config.drainTimeoutMs, JOBS_STOP_MS));
    lifecycle.add('job worker', stopJobs);
  });
  signal.throwIfAborted();
  first.sweepLogins();

  const threads = await startRelayThreads(
    Array.from({ length: config.relays - 1 }, (_, index) => ({
      number: index + 2,
      argv: process.argv.slice(2),
      listen: first.address,
      ...(embedded && { embedded }),
      doors,
      counted: config.limits.maxConnections !== undefined || config.limits.maxConnectionsPerRole !== undefined,
    })),
    limits,
    failed,
  );
  lifecycle.add('relays', async () => {
    http?.draining();
    await Promise.all([first.stop(), threads.stop()]);
  });
  signal.throwIfAborted();

  const figures = async () => [{ ...first.counters, sessions: first.sessionCount }, ...(await threads.figures())];
  if (config.http) {
    http = await startHttp(config.http, { figures, sharedPort: config.reusePort });
    log.info({}, `metrics: http://${formatAddress(http.address)}/metrics`);
  }
  signal.throwIfAborted();
  const host = ['::', '0.0.0.0'].includes(config.listen.host) ? '127.0.0.1' : config.listen.host;
  const { user, database } = backend.target;
  const encode = encodeURIComponent;
  return {
    readyLine: `pgpier ready: postgres://${encode(user)}@${formatAddress({ host, port: first.address.port })}/${encode(database)}`,
    reload: () => {
      first.reload();
      threads.reload();
    },
    handOver: async () => {
      await Promise.all([http?.stop(), stopJobs(), first.handOver(), threads.handOver()]);
    },
  };
}

async function startBackend(
  config: Config,
  lifecycle: Lifecycle,
  log: Log,
  signal: AbortSignal,
  failed: (what: string) => void,
): Promise<EmbeddedAt | undefined> {
  if (config.backend.kind === 'server') return undefined;
  const { password } = config.backend;
  const embedded = await startEmbedded({ dataDirectory: config.dataDirectory, ...(password && { password }), log, signal });
  lifecycle.add('embedded PostgreSQL', () => embedded.stop());
  void embedded.exited.then((how) =>
    failed(`the embedded PostgreSQL ended by itself (${how}); its log is ${join(embedded.dataDirectory, 'postgres.log')}`),
  );
  const { host, port, dataDirectory } = embedded;
  return { host, port, dataDirectory };
}

/** The catalog bears an outage once it runs; a start without it would hide a wrong setting. */
async function mustAnswer(catalog: Catalog, service: pg.PoolConfig): Promise<void> {
  const role = service.user ?? 'postgres';
  await catalog.transaction({ session: randomUUID(), role, sessionUser: role, stamp: { kind: 'immediate' } }, async () => {});
}
