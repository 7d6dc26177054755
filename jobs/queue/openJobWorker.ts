/** What a process that carries jobs out has to know, as plain data: it crosses to a process of its own by IPC, where neither `ps` nor environment shows it. */
import type pg from 'pg';
import { type Catalog, openCatalog, type SecretKeySource } from '../../catalog/catalog.ts';
import { nodeAnswers } from '../../external/nodes/remoteFolder.ts';
import type { StorageSettings } from '../../external/storage/storage.ts';
import { tlsAttempts } from '../backendLogin.ts';
import type { JobKinds } from '../jobKinds.ts';
import { createJobLogins } from '../loginRole.ts';
import type { Log } from '../pool.ts';
import type { BackendLogin } from '../task.ts';
import { openDoorbell } from './doorbell.ts';
import { startJobWorker } from './jobWorker.ts';

export interface JobWorkerSettings {
  /** PgPier's own login on the backend. */
  readonly service: BackendLogin;
  /** Which of the ways to connect that its sslmode allows let it in (`tlsAttempts`). */
  readonly attempt: number;
  /** Absent: database `pgpier` on the backend. */
  readonly catalogUrl?: string;
  readonly secretKey:
    | { readonly kind: 'value'; readonly value: string }
    | { readonly kind: 'file'; readonly path: string; readonly createIfMissing: false };
  readonly adminRole?: string;
  readonly namedConnectionsOnly: boolean;
  readonly usageRetentionDays: number;
  readonly storageSettings: StorageSettings;
  /** Jobs side by side. */
  readonly count: number;
}

/** How a key source is told to another process, which never makes a key. */
export function plainKey(source: SecretKeySource): JobWorkerSettings['secretKey'] {
  if (source.kind === 'file') return { kind: 'file', path: source.path, createIfMissing: false };
  if (source.kind === 'none') throw new Error('jobs need a key');
  return { kind: 'value', value: typeof source.value === 'string' ? source.value : source.value.reveal() };
}

export function servicePool({ host, port, user, password, database, ...tls }: BackendLogin, attempt: number): pg.PoolConfig {
  const ssl = tlsAttempts({ host, port, user, password, database, ...tls })[attempt];
  return { host, port, user, password, database, ...(ssl !== undefined && { ssl }) };
}

/** Opens the catalog and carries jobs out. `stop` gives running ones until the signal aborts. Throws what `openCatalog` throws. */
export async function openJobWorker(
  settings: JobWorkerSettings,
  { kinds, log, stuck }: { readonly kinds: JobKinds; readonly log: Log; readonly stuck: (job: string) => void },
): Promise<{ stop(deadline: AbortSignal): Promise<void> }> {
  const { service, catalogUrl, secretKey, adminRole, namedConnectionsOnly, usageRetentionDays, count } = settings;
  const { nodeId, peers = {} } = settings.storageSettings;
  const catalog = await openCatalog({
    service: servicePool(service, settings.attempt),
    ...(catalogUrl !== undefined && { catalogUrl }),
    secretKey,
    ...(adminRole !== undefined && { adminRole }),
    namedConnectionsOnly,
    nodeId,
    usageRetentionDays,
    log,
  });
  const storageSettings = await withNodeKey(settings.storageSettings, catalog);
  const { host, port, sslmode, sslrootcert } = service;
  const logins = createJobLogins({
    service: { query: async (text, values) => ({ rows: await catalog.service.query(text, values) }) },
    backend: { host, port, sslmode, ...(sslrootcert !== undefined && { sslrootcert }) },
    log,
  });
  void logins.sweep();
  const doorbell = openDoorbell(catalog.database, log);
  const worker = startJobWorker({
    catalog,
    kinds,
    logins,
    storageSettings,
    log,
    stuck,
    doorbell,
    count,
    nodeId,
    peers: Object.keys(peers).map(Number),
    nodeAnswers: (node) => nodeAnswers(node, storageSettings),
  });
  return {
    async stop(deadline) {
      await worker.stop(deadline);
      await catalog.close();
    },
  };
}

/** Where other nodes may be reached: with what they ask for. Throws `catalogUnavailable`. */
async function withNodeKey(settings: StorageSettings, catalog: Catalog): Promise<StorageSettings> {
  if (settings.peers === undefined || settings.nodeKey !== undefined) return settings;
  return { ...settings, nodeKey: await catalog.nodeKey() };
}
