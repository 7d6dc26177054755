/** From a configuration to a proxy that clients can reach; every part is entered into the lifecycle as soon as it runs. */
import { randomUUID } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type pg from 'pg';
import { type Catalog, openCatalog, type SecretKeySource } from '../catalog/catalog.ts';
import { createJobLogins } from '../jobs/loginRole.ts';
import { startWorkers } from '../jobs/pool.ts';
import { openDoorbell } from '../jobs/queue/doorbell.ts';
import { startJobWorkerProcess } from '../jobs/queue/jobWorkerProcess.ts';
import { statementJobs } from '../jobs/queue/statementJobs.ts';
import { decideAuthPolicy } from './authPolicy.ts';
import type { Config } from './config.ts';
import { formatAddress } from './configuration/address.ts';
import type { ConnectionTarget } from './configuration/connectionUri.ts';
import { startEmbedded } from './embedded.ts';
import { jobWorkerSettings, storageSettingsOf } from './jobWorker.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Log } from './log.ts';
import { type AuthPolicy, type Listener, type ListenerTls, startListener } from './login/listener.ts';
import { type Figure, startHttp } from './metrics.ts';
import { PasswordVerifiers } from './passwordVerifiers.ts';
import { catalogLogin, findServiceLogin, loginUrl } from './serviceLogin.ts';
import { createStartSession } from './session/session.ts';

/** What workers are given to end their tasks once no session is left. */
const WORKERS_STOP_MS = 5_000;

export interface Started {
  readonly readyLine: string;
  /** Reads again what may change under running sessions: certificates, and whether verifiers may be read. Never throws; the log tells. */
  reload(): void;
}

/** @param failed called when something that was started goes away by itself */
export async function start(
  config: Config,
  lifecycle: Lifecycle,
  log: Log,
  signal: AbortSignal,
  failed: (what: string) => void,
): Promise<Started> {
  const { target, dataDirectory } = await findBackend(config, lifecycle, log, signal, failed);
  signal.throwIfAborted();
  const service = await findServiceLogin(target, 'the backend');

  const secretKey = secretKeySource(config, dataDirectory);
  const elsewhere = config.catalog && (await findServiceLogin(config.catalog, 'the catalog'));
  const catalogUrl = config.catalog && loginUrl(config.catalog, elsewhere!);
  const catalog = await openCatalog({
    service: service.config,
    ...(catalogUrl !== undefined && { catalogUrl }),
    secretKey,
    ...(config.adminRole !== undefined && { adminRole: config.adminRole }),
    log,
  });
  lifecycle.add('catalog', () => catalog.close());
  await mustAnswer(catalog, service.config);
  signal.throwIfAborted();

  const storageSettings = storageSettingsOf(config, dataDirectory, catalogLogin(service, elsewhere));
  const workers = startWorkers({ count: config.workers, storageSettings, log });
  lifecycle.add('workers', () => workers.stop(AbortSignal.timeout(WORKERS_STOP_MS)));
  if (config.workers > 0) {
    const settings = jobWorkerSettings(config, { service, catalogUrl, secretKey, storageSettings });
    const jobWorker = startJobWorkerProcess({ settings, log });
    lifecycle.add('job worker', () => jobWorker.stop(Math.min(config.drainTimeoutMs, WORKERS_STOP_MS)));
  }
  const doorbell = openDoorbell(catalog.database, log);
  lifecycle.add('queue', () => doorbell.stop());
  const jobs = statementJobs({ catalog, doorbell, nodeId: config.nodeId, log });
  lifecycle.add('jobs of statements', () => jobs.settled());

  const logins = createJobLogins({
    service: { query: async (text, values) => ({ rows: await catalog.service.query(text, values) }) },
    backend: loginPath(target),
    log,
  });
  void logins.sweep();

  let listener: Listener | undefined;
  const http = config.http && (await startHttp(config.http, () => figures(listener)));
  if (http) {
    lifecycle.add('http', () => http.stop());
    log.info({}, `metrics: http://${formatAddress(http.address)}/metrics`);
  }

  const passwordless = config.backend.kind === 'embedded' && config.backend.password === undefined;
  const verifiers = new PasswordVerifiers(service.config, log);
  lifecycle.add('password verifiers', () => verifiers.close());
  const decide = (): Promise<AuthPolicy> => decideAuthPolicy(config, { target, verifiers, passwordless }, log);
  let policy = await decide();
  listener = await startListener({
    ...config.listen,
    ...(config.tls && { tls: readTls(config.tls) }),
    backend: { ...loginPath(target), ...rootCertificate(target), keepAliveMs: config.keepAliveMs },
    auth: () => policy,
    startSession: createStartSession({ catalog, workers, jobs: jobs.of, logins, log }),
    log,
    limits: config.limits,
    ...(config.peers && { peers: config.peers }),
    loginTimeoutMs: config.loginTimeoutMs,
    idleTimeoutMs: config.idleTimeoutMs,
    keepAliveMs: config.keepAliveMs,
    drainTimeoutMs: config.drainTimeoutMs,
  });
  const { stop, address, reloadTls } = listener;
  lifecycle.add('listener', () => {
    http?.draining();
    return stop();
  });
  signal.throwIfAborted();
  const host = ['::', '0.0.0.0'].includes(config.listen.host) ? '127.0.0.1' : config.listen.host;
  const encode = encodeURIComponent;
  return {
    readyLine: `pgpier ready: postgres://${encode(target.user)}@${formatAddress({ host, port: address.port })}/${encode(target.database)}`,
    reload: () => {
      reloadCertificate(config, reloadTls, log);
      const stays = (error: Error): void => log.error({ reason: error.message }, 'SIGHUP: how passwords are carried stays as it was');
      decide().then((decided) => {
        policy = decided;
      }, stays);
    },
  };
}

function reloadCertificate({ tls }: Config, reloadTls: Listener['reloadTls'], log: Log): void {
  if (tls === undefined) return log.info({}, 'SIGHUP: there is no certificate to read again');
  try {
    reloadTls(readTls(tls));
    log.info({ certificate: tls.certFile }, 'SIGHUP: certificate and key read again; handshakes from now on show them');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log.error({ certificate: tls.certFile, reason }, 'SIGHUP: certificate and key cannot be used; the old ones stay in use');
  }
}

function readTls({ certFile, keyFile, clientCaFile, required }: NonNullable<Config['tls']>): ListenerTls {
  const read = (file: string): string => readFileSync(file, 'utf8');
  return { cert: read(certFile), key: read(keyFile), required, ...(clientCaFile !== undefined && { clientCa: read(clientCaFile) }) };
}

interface Backend {
  readonly target: ConnectionTarget;
  readonly dataDirectory: string;
}

async function findBackend(
  config: Config,
  lifecycle: Lifecycle,
  log: Log,
  signal: AbortSignal,
  failed: (what: string) => void,
): Promise<Backend> {
  if (config.backend.kind === 'server') return { target: config.backend.target, dataDirectory: config.dataDirectory };
  const { password } = config.backend;
  const embedded = await startEmbedded({ dataDirectory: config.dataDirectory, ...(password && { password }), log, signal });
  lifecycle.add('embedded PostgreSQL', () => embedded.stop());
  void embedded.exited.then((how) =>
    failed(`the embedded PostgreSQL ended by itself (${how}); its log is ${join(embedded.dataDirectory, 'postgres.log')}`),
  );
  const { host, port, dataDirectory } = embedded;
  return {
    target: { host, port, user: 'postgres', database: 'postgres', sslmode: 'disable', ...(password && { password }) },
    dataDirectory,
  };
}

export function secretKeySource(config: Config, dataDirectory: string): SecretKeySource {
  if (config.secretKey?.kind === 'key') return { kind: 'value', value: config.secretKey.key };
  if (config.secretKey?.kind === 'file') return { kind: 'file', path: config.secretKey.path, createIfMissing: true };
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  return { kind: 'file', path: join(dataDirectory, 'secret.key'), createIfMissing: true };
}

/** The catalog bears an outage once it runs; a start without it would hide a wrong setting. */
async function mustAnswer(catalog: Catalog, service: pg.PoolConfig): Promise<void> {
  const role = service.user ?? 'postgres';
  await catalog.transaction({ session: randomUUID(), role, sessionUser: role, stamp: { kind: 'immediate' } }, async () => {});
}

const loginPath = ({ host, port, sslmode, sslrootcert }: ConnectionTarget) => ({
  host,
  port,
  sslmode,
  ...(sslrootcert !== undefined && { sslrootcert }),
});

/** The listener takes the text, not the file; absent for `system`, which is what Node trusts. */
function rootCertificate({ sslrootcert }: ConnectionTarget): { sslrootcert?: string } {
  return sslrootcert === undefined || sslrootcert === 'system' ? {} : { sslrootcert: readFileSync(sslrootcert, 'utf8') };
}

function figures(listener: Listener | undefined): readonly Figure[] {
  if (listener === undefined) return [];
  const counter = (name: keyof Listener['counters'], text: string, help: string): Figure => ({
    name: `pgpier_${text}_total`,
    help,
    kind: 'counter',
    read: () => listener.counters[name],
  });
  return [
    { name: 'pgpier_sessions', help: 'Clients that are logged in', kind: 'gauge', read: () => listener.sessionCount },
    counter('accepted', 'connections_accepted', 'Connections accepted, cancel requests included'),
    counter('loggedIn', 'logins', 'Clients that logged in'),
    counter('refused', 'logins_refused', 'Clients that were refused, by PgPier or by the backend'),
    counter('cancelRequests', 'cancel_requests', 'Cancel requests received'),
  ];
}
