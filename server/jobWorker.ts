/** `pgpier worker`: carries jobs out and nothing else; and what the proxy tells its own job worker process. */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { SecretKeySource } from '../catalog/catalog.ts';
import { PgPierError } from '../errors.ts';
import type { CatalogLogin, StorageSettings } from '../external/storage/storage.ts';
import { jobKinds } from '../jobs/jobKinds.ts';
import { type JobWorkerSettings, openJobWorker, plainKey } from '../jobs/queue/openJobWorker.ts';
import type { Config } from './config.ts';
import { doorsOf, openDoors } from './hosts/door.ts';
import type { Lifecycle } from './lifecycle.ts';
import type { Log } from './log.ts';
import { catalogLogin, findServiceLogin, loginUrl, type ServiceLogin } from './serviceLogin.ts';

/** Exit code of a process whose work does not stop otherwise (EX_SOFTWARE). */
const DEFECT = 70;

/** @returns the ready line */
export async function startWorker(config: Config, lifecycle: Lifecycle, log: Log, failed: (what: string) => void): Promise<string> {
  if (config.backend.kind !== 'server') throw new Error('pgpier worker needs PGPIER_BACKEND');
  const doors = doorsOf(config, await openDoors(config, lifecycle, failed));
  const service = await findServiceLogin(doors.backend ?? config.backend.target, 'the backend');
  const catalogTarget = doors.catalog ?? config.catalog;
  const elsewhere = catalogTarget && (await findServiceLogin(catalogTarget, 'the catalog'));
  const settings = jobWorkerSettings(config, {
    service,
    catalogUrl: catalogTarget && loginUrl(catalogTarget, elsewhere!),
    secretKey: presentKey(config),
    storageSettings: storageSettingsOf(config, config.dataDirectory, catalogLogin(service, elsewhere)),
  });
  const worker = await openJobWorker(settings, {
    kinds: jobKinds,
    log,
    stuck(job) {
      log.fatal({ job }, 'the work on a lost job does not stop: the process ends');
      process.exit(DEFECT);
    },
  });
  lifecycle.add('job worker', () => worker.stop(AbortSignal.timeout(config.drainTimeoutMs)));
  return `pgpier worker ready: ${config.workers} ${config.workers === 1 ? 'job' : 'jobs'} at a time`;
}

export function jobWorkerSettings(
  config: Config,
  found: {
    readonly service: ServiceLogin;
    readonly catalogUrl: string | undefined;
    readonly secretKey: SecretKeySource;
    readonly storageSettings: StorageSettings;
  },
): JobWorkerSettings {
  const { service, catalogUrl, secretKey, storageSettings } = found;
  return {
    service: service.login,
    attempt: service.attempt,
    ...(catalogUrl !== undefined && { catalogUrl }),
    secretKey: plainKey(secretKey),
    ...(config.adminRole !== undefined && { adminRole: config.adminRole }),
    namedConnectionsOnly: config.namedConnectionsOnly,
    usageRetentionDays: config.usageRetentionDays,
    storageSettings,
    count: config.workers,
  };
}

export function storageSettingsOf(config: Config, dataDirectory: string, catalog: CatalogLogin): StorageSettings {
  const externalDir = config.externalDirectory ?? join(dataDirectory, 'extern');
  mkdirSync(externalDir, { recursive: true });
  const { nodeId, allowNetworks: allowedNetworks, allowedLocations, disableHttp, disableImplicitCredentials } = config;
  const kmsDir = config.localKmsDirectory ?? join(dataDirectory, 'kms');
  return {
    externalDir,
    kmsDir,
    nodeId,
    ...(config.peers && { peers: Object.fromEntries(config.peers.others) }),
    allowedNetworks,
    ...(allowedLocations && { allowedLocations }),
    catalog,
    disableHttp,
    disableImplicitCredentials,
  };
}

/** A worker reads what proxies have encrypted: it never makes a key, and does not begin without theirs. */
function presentKey({ secretKey, dataDirectory }: Config): SecretKeySource {
  if (secretKey?.kind === 'key') return { kind: 'value', value: secretKey.key };
  const path = secretKey?.kind === 'file' ? secretKey.path : join(dataDirectory, 'secret.key');
  if (!existsSync(path)) throw new PgPierError('secretKeyMissing', { where: `no key file at ${path}` });
  return { kind: 'file', path, createIfMissing: false };
}
