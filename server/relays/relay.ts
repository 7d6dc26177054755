/** All that one event loop needs to serve clients, from a backend that is up. The first relay runs on the main thread, each other on one of its own. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Catalog, openCatalog, type SecretKeySource } from '../../catalog/catalog.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { createJobLogins } from '../../jobs/loginRole.ts';
import { openFileProcess } from '../../jobs/nodes/fileProcess.ts';
import { startWorkers } from '../../jobs/pool.ts';
import { openDoorbell } from '../../jobs/queue/doorbell.ts';
import { statementJobs } from '../../jobs/queue/statementJobs.ts';
import { decideAuthPolicy } from '../authPolicy.ts';
import type { Config } from '../config.ts';
import type { Doors } from '../hosts/door.ts';
import { HostChoice } from '../hosts/hostChoice.ts';
import { probesOf } from '../hosts/probe.ts';
import { storageSettingsOf } from '../jobWorker.ts';
import type { Lifecycle } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import type { ClientLimits } from '../login/clientLimits.ts';
import { type AuthPolicy, type Listener, type ListenerTls, startListener } from '../login/listener.ts';
import { chosenForwardPath } from '../native/chosenForwardPath.ts';
import { PasswordVerifiers } from '../passwordVerifiers.ts';
import { catalogLogin, findServiceLogin, loginUrl, type ServiceLogin } from '../serviceLogin.ts';
import { createStartSession } from '../session/session.ts';
import { type Backend, backendTargetOf } from './backend.ts';

/** What is under way for other nodes when the port is left to a successor. */
const HAND_OVER_MS = 24 * 3_600_000;
/** What workers are given to end their tasks once no session is left. */
const WORKERS_STOP_MS = 5_000;

export interface RelayOptions {
  readonly backend: Backend;
  /** By which our own logins reach what has several hosts. */
  readonly doors: Doors;
  /** Where to listen; port 0 takes any free one. */
  readonly listen: Config['listen'];
  /** Whether other listeners may have this port too. */
  readonly sharedPort: boolean;
  readonly limits: ClientLimits;
  /** Whether the first worker process is started at once, or with the first export. */
  readonly warmWorkers: boolean;
}

export interface Relay extends Pick<Listener, 'address' | 'counters' | 'handOver' | 'stop'> {
  readonly sessionCount: number;
  readonly catalog: Catalog;
  /** For others that work for the same catalog. */
  readonly found: {
    readonly service: ServiceLogin;
    readonly catalogUrl: string | undefined;
    readonly secretKey: SecretKeySource;
    readonly storageSettings: StorageSettings;
  };
  /** Removes the logins of jobs that ended without doing so. */
  sweepLogins(): void;
  /** Reads again what may change under running sessions: certificates, and whether verifiers may be read. Never throws; the log tells. */
  reload(): void;
}

/**
 * @param prepare between the catalog and the first client
 * @throws PgPierError or Error, in words for the person who starts it
 */
export async function startRelay(
  config: Config,
  { backend: { target, dataDirectory }, doors, listen, sharedPort, limits, warmWorkers }: RelayOptions,
  lifecycle: Lifecycle,
  log: Log,
  prepare: (relay: Pick<Relay, 'catalog' | 'found'>) => Promise<void> = async () => {},
): Promise<Relay> {
  const service = await findServiceLogin(doors.backend ?? target, 'the backend');
  const secretKey = secretKeySource(config, dataDirectory);
  const catalogTarget = doors.catalog ?? config.catalog;
  const elsewhere = catalogTarget && (await findServiceLogin(catalogTarget, 'the catalog'));
  const catalogUrl = catalogTarget && loginUrl(catalogTarget, elsewhere!);
  const catalog = await openCatalog({
    service: service.config,
    ...(catalogUrl !== undefined && { catalogUrl }),
    secretKey,
    ...(config.adminRole !== undefined && { adminRole: config.adminRole }),
    namedConnectionsOnly: config.namedConnectionsOnly,
    nodeId: config.nodeId,
    usageRetentionDays: config.usageRetentionDays,
    log,
  });
  lifecycle.add('catalog', () => catalog.close());
  const alone = storageSettingsOf(config, dataDirectory, catalogLogin(service, elsewhere));
  const withNodes = config.peers && { ...alone, nodeKey: await catalog.nodeKey() };
  const storageSettings = withNodes ?? alone;
  const found = { service, catalogUrl, secretKey, storageSettings };
  await prepare({ catalog, found });

  const workers = startWorkers({ count: config.workers, warm: warmWorkers, storageSettings, log });
  lifecycle.add('workers', () => workers.stop(AbortSignal.timeout(WORKERS_STOP_MS)));
  const doorbell = openDoorbell(catalog.database, log);
  lifecycle.add('queue', () => doorbell.stop());
  const jobs = statementJobs({ catalog, doorbell, nodeId: config.nodeId, log });
  lifecycle.add('jobs of statements', () => jobs.settled());
  const { host, port, sslmode, sslrootcert } = doors.backend ?? target;
  const logins = createJobLogins({
    service: { query: async (text, values) => ({ rows: await catalog.service.query(text, values) }) },
    backend: { host, port, sslmode, ...(sslrootcert !== undefined && { sslrootcert }) },
    log,
  });

  const probes = target.choice && probesOf(target);
  const hosts = target.choice && new HostChoice(target.choice, probes!.probe, log);
  // Asked before the first login wants to know.
  hosts?.choose().catch(() => {});
  lifecycle.add('questions to the hosts', () => probes?.close());
  const passwordless = config.backend.kind === 'embedded' && config.backend.password === undefined;
  const verifiers = new PasswordVerifiers(service.config, log);
  lifecycle.add('password verifiers', () => verifiers.close());
  const decide = (): Promise<AuthPolicy> => decideAuthPolicy(config, { target, verifiers, passwordless }, log);
  let policy = await decide();
  const files = withNodes && openFileProcess(withNodes, log);
  const native = chosenForwardPath(config.native, log);
  const listener = await startListener({
    ...listen,
    ...(sharedPort && { sharedPort: { directory: join(dataDirectory, 'relays') } }),
    ...(config.tls && { tls: readTls(config.tls) }),
    backend: backendTargetOf(target, config),
    ...(hosts && { hosts }),
    auth: () => policy,
    startSession: createStartSession({ catalog, workers, jobs: jobs.of, logins, log }),
    ...(native && { native }),
    log,
    limits,
    ...(config.peers && { peers: config.peers }),
    ...(files && { takeNode: files.take }),
    loginTimeoutMs: config.loginTimeoutMs,
    idleTimeoutMs: config.idleTimeoutMs,
    keepAliveMs: config.keepAliveMs,
    drainTimeoutMs: config.drainTimeoutMs,
  });
  // Side by side: the listening socket counts those that were handed over, and closes after them.
  const stop = async (): Promise<void> => {
    await Promise.all([listener.stop(), files?.stop(config.drainTimeoutMs)]);
  };
  lifecycle.add('listener', stop);
  return {
    address: listener.address,
    counters: listener.counters,
    // What other nodes write and read here is under way as sessions are.
    handOver: async () => {
      await Promise.all([listener.handOver(), files?.stop(HAND_OVER_MS)]);
    },
    stop,
    get sessionCount() {
      return listener.sessionCount;
    },
    catalog,
    found,
    sweepLogins: () => void logins.sweep(),
    reload: () => {
      reloadCertificate(config, listener.reloadTls, log);
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

export function secretKeySource(config: Config, dataDirectory: string): SecretKeySource {
  if (config.secretKey?.kind === 'key') return { kind: 'value', value: config.secretKey.key };
  if (config.secretKey?.kind === 'file') return { kind: 'file', path: config.secretKey.path, createIfMissing: true };
  mkdirSync(dataDirectory, { recursive: true, mode: 0o700 });
  return { kind: 'file', path: join(dataDirectory, 'secret.key'), createIfMissing: true };
}
